"""Documentation tables, made from rows."""
