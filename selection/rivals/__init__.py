"""Competing methods, one file per method, and separate files for the ideas they share."""
