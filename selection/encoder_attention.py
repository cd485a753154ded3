"""Base of selectors that rank tokens by attention in the vision encoder: from its CLS token, or received per patch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError
from stgraph.selection.method import Method
from stgraph.selection.signals.encoder_grid import exactness, on_lattice
from stgraph.tokens import VideoTokens

RECEIVED = "ranks by the attention each patch receives; the authors take the CLS token's"


@dataclass(frozen=True, kw_only=True)
class ByEncoderAttention(Method):
    """Base of selectors whose authors rank by the CLS token's attention.

    Attributes
    ----------
    attention : "cls", as the authors do; or "received", the attention each patch receives, mean over heads and all
        queries, which public ports use for towers without a CLS token (SigLIP, Qwen's)
    """

    attention: str = "cls"

    also: ClassVar[frozenset[str]] = frozenset()  # signals that are needed beside the attention
    sources: ClassVar[Mapping[str, str]] = MappingProxyType({"cls": "enc_cls_attn", "received": "enc_recv_attn"})

    def __post_init__(self) -> None:
        if self.attention not in self.sources:
            raise InputError(f"attention is {self.attention!r}; it must be one of {', '.join(self.sources)}")

    @property
    def requires(self) -> frozenset[str]:  # type: ignore[override]
        """The attention, and any further signals."""
        return self.also | {self.source}

    @property
    def source(self) -> str:
        """The signal of the attention."""
        return self.sources[self.attention]

    def ranked_by(self, tokens: VideoTokens) -> Array:
        """[T, P] float32: the attention of each token, mean over heads.

        Raises
        ------
        MissingSignalError, GridError, InputError
            the signal is missing, or cannot be mapped to the tokens
        """
        saved = tokens.signal(self.source, self.name)
        over_heads = saved.mean(axis=1, dtype=np.float32) if saved.ndim == 3 else saved
        return on_lattice(tokens, over_heads, self.source)

    def n_patches(self, tokens: VideoTokens) -> int:
        """Encoder patches per frame."""
        return int(tokens.signals[self.source].shape[-1])

    def closeness(self, tokens: VideoTokens, *reasons: str, merges: bool = False) -> str:
        """The exactness of a choice by this attention that departs for further ``reasons``, see
        :func:`stgraph.selection.signals.encoder_grid.exactness`."""
        others = [RECEIVED] if self.attention == "received" else []
        return exactness(tokens, self.n_patches(tokens), *others, *reasons, merges=merges)
