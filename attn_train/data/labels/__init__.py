"""The labels that training is given where they are not all right."""
