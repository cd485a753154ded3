"""Graph analytics of video tokens for efficient video-language models.

The names below are imported on first use, so that ``import stgraph`` stays light.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stgraph.community.agreement import agreement as agreement
    from stgraph.community.base import available_backends as available_backends
    from stgraph.community.base import backends as backends
    from stgraph.community.detect import detect_communities as detect_communities
    from stgraph.community.partition import Partition as Partition
    from stgraph.community.size_cap import splitters as splitters
    from stgraph.dump import iter_frames as iter_frames
    from stgraph.dump import sample as sample
    from stgraph.dump import save_query as save_query
    from stgraph.edges import EdgeList as EdgeList
    from stgraph.graph import TokenGraph as TokenGraph
    from stgraph.graph import build_graph as build_graph
    from stgraph.grid import TokenGrid as TokenGrid
    from stgraph.kernels.cpu.threads import num_threads as num_threads
    from stgraph.kernels.cpu.threads import set_num_threads as set_num_threads
    from stgraph.pages import compare as compare
    from stgraph.pages import view as view
    from stgraph.selection.base import selector as selector
    from stgraph.selection.base import selectors as selectors
    from stgraph.selection.budget import Budget as Budget
    from stgraph.selection.capture import capture as capture
    from stgraph.selection.keeping import Kept as Kept
    from stgraph.selection.keeping import keep as keep
    from stgraph.selection.result import Selection as Selection
    from stgraph.selection.settings import Setting as Setting
    from stgraph.selection.stream import stream as stream
    from stgraph.tokens import VideoTokens as VideoTokens
    from stgraph.vlm.compress import compress as compress
    from stgraph.vlm.from_video import from_video as from_video
    from stgraph.vlm.opening import load as load

if os.path.isfile(os.path.join(os.path.dirname(__file__), "community")):
    raise ImportError(
        "the links inside stgraph/ are plain files: this checkout was made without symbolic links, so that four "
        "sub-packages are missing. Clone again with: git -c core.symlinks=true clone ..."
    )

__version__ = "0.1.0.dev0"

_HOME = {
    "Budget": "stgraph.selection.budget",
    "EdgeList": "stgraph.edges",
    "Kept": "stgraph.selection.keeping",
    "Partition": "stgraph.community.partition",
    "Selection": "stgraph.selection.result",
    "Setting": "stgraph.selection.settings",
    "TokenGraph": "stgraph.graph",
    "TokenGrid": "stgraph.grid",
    "VideoTokens": "stgraph.tokens",
    "agreement": "stgraph.community.agreement",
    "available_backends": "stgraph.community.base",
    "backends": "stgraph.community.base",
    "build_graph": "stgraph.graph",
    "capture": "stgraph.selection.capture",
    "compare": "stgraph.pages",
    "compress": "stgraph.vlm.compress",
    "detect_communities": "stgraph.community.detect",
    "from_video": "stgraph.vlm.from_video",
    "iter_frames": "stgraph.dump",
    "keep": "stgraph.selection.keeping",
    "load": "stgraph.vlm.opening",
    "num_threads": "stgraph.kernels.cpu.threads",
    "sample": "stgraph.dump",
    "save_query": "stgraph.dump",
    "selector": "stgraph.selection.base",
    "selectors": "stgraph.selection.base",
    "set_num_threads": "stgraph.kernels.cpu.threads",
    "splitters": "stgraph.community.size_cap",
    "view": "stgraph.pages",
    "stream": "stgraph.selection.stream",
}
__all__ = sorted(_HOME)


if not TYPE_CHECKING:  # a type checker must still refuse names that do not exist

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            from stgraph.spelling import no_attribute

            raise no_attribute("module 'stgraph'", name, __all__)
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
