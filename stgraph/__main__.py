"""``python -m stgraph``."""

from stgraph.cli import main

raise SystemExit(main())
