"""Video tokens of a running vision-language model: cut to a selection, measured, or read."""

from stgraph.vlm.checkpoint import load as load

__all__ = ["load"]
