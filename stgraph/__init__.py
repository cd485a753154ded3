"""Graph analytics of video tokens for efficient video-language models."""

__version__ = "0.1.0"

from stgraph.community.detect import detect_communities
from stgraph.dump import load, sample
from stgraph.graph import build_graph
