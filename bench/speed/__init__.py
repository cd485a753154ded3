"""Speed compared with peers and with a plain read."""
