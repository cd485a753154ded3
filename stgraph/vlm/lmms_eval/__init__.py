"""The model for lmms-eval, found by entry point."""
