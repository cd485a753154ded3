"""Check of serving with the installed versions: the engine, started on a tiny checkpoint, against stgraph's
promises."""
