"""Video tokens of a running vision-language model: cut to a selection, measured, or read."""

from stgraph.vlm.checkpoint import load as load
from stgraph.vlm.checkpoint import load_model as load_model
from stgraph.vlm.checkpoint import load_processor as load_processor

__all__ = ["load", "load_model", "load_processor"]
