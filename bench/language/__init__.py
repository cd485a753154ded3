"""Check of cuts inside a real language model, with words in place of a video's tokens."""
