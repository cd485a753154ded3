"""Interactive pages: one file each, offline."""
