"""Signals, in the form selectors read them."""
