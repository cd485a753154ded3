"""A model's answers to questions about videos."""
