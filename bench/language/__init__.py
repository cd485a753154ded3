"""A real language model as a check of cuts inside it: words stand where a video's tokens would."""
