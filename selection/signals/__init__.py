"""Signals as selectors read them."""
