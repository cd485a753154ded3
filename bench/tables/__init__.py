"""Tables of result rows: their columns and key, the files that hold them, and how a run goes on from such a file."""
