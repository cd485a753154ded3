"""Does serving hold with these versions? The installed engine, started on a tiny checkpoint, against what must hold."""
