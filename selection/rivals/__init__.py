"""Competing methods, one file each, with separate files for the ideas they share."""
