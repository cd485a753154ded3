"""The competing methods, one file each (and what a file needs that is an idea of its own beside it)."""
