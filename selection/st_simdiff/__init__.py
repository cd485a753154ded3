"""ST-SimDiff: the paper's method, its parts, and its published code."""
