"""Reproduction of the paper's tables and figures, beside the printed numbers."""
