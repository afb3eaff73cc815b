"""What an attention module keeps, what symmetries it has and what it costs, found by calls: for people and tests."""
