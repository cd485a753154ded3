"""Checkpoints in their authors' own layouts, read into classes of transformers. One file per layout."""
