"""Tables of result rows: their columns and key, the files that hold them, and resumption from such a file."""
