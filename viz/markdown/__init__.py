"""Tables of the documentation, from rows."""
