"""What a person asks for: train, a sweep, a test, an export."""
