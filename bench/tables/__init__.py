"""Tables of result rows: columns and key, files, and resumption from a file."""
