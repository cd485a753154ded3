"""Video tokens of a running vision-language model: cut to a selection, measured, or read."""
