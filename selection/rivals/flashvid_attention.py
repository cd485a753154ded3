"""FlashVID in full: merging before the LLM, and a cut inside it by the attention of the last prompt token."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

from stgraph.selection.algorithms.inner_cut import InnerCut
from stgraph.selection.budget import exact_ratio
from stgraph.selection.rivals.flashvid import FlashVid


@dataclass(frozen=True, kw_only=True)
class FlashVidAttention(InnerCut, FlashVid):
    """FlashVID in full (ICLR 2026, arXiv 2602.08024; ``flashvid/utils.py``, ``fastv_prune``): merged as in
    :class:`FlashVid`, then only the most-attended share is kept from decoder layer ``layer`` on.

    The authors merge to 1.25 times the ratio, so that with 0.3 of that from layer 20 on the mean over 28 layers is the
    ratio; ``measured="layers"`` achieves this for any number of layers.

    Attributes
    ----------
    layer, share, n_layers : see :class:`InnerCut`
    exact_count : False keeps ceil(1.25 P r) tokens per frame and ceil(their share) clusters, then ceil(``share``) of
        all
    """

    layer: int = 20
    share: float = 0.3

    name: ClassVar[str] = "flashvid-attention"
    requires: ClassVar[frozenset[str]] = FlashVid.requires | InnerCut.needs
    left_out: ClassVar[tuple[str, ...]] = ()

    def their_count(self, n: int) -> int:
        """The share, rounded up."""
        return ceil(n * exact_ratio(self.share))
