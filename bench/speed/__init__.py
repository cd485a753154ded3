"""Speed beside peers and beside a plain read."""
