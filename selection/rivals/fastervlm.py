"""FasterVLM: the tokens most attended to by the vision encoder's CLS token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.selection.budget import Budget, per_frame_counts
from stgraph.selection.encoder_attention import ByEncoderAttention
from stgraph.selection.method import Choice
from stgraph.selection.reasons import ATTENTION
from stgraph.tokens import VideoTokens


def most_attended(attention: Array, counts: Array) -> Array:
    """[T*P] bool: the counts[t] most-attended tokens of each frame t, ties to the smaller index.

    Parameters
    ----------
    attention : [T, P] float32
    counts : [T] integers, at most P
    """
    from stgraph.kernels.cpu.top import top_of_groups

    T, P = attention.shape
    nodes, starts = np.arange(T * P, dtype=np.int32), np.arange(T + 1) * P
    return top_of_groups(attention.reshape(-1), nodes, starts, counts)


def attention_kept(attention: Array, kept: Array) -> float:
    """Share of all attention ([T, P]) held by the kept nodes; 1 if there is no attention at all."""
    total = float(attention.sum(dtype=np.float64))
    return float(attention.reshape(-1)[kept].sum(dtype=np.float64)) / total if total else 1.0


@dataclass(frozen=True, kw_only=True)
class FasterVlm(ByEncoderAttention):
    """FasterVLM (arXiv 2412.01818; ``llava/model/llava_arch.py``, branch ``video``): in every frame, the tokens with
    the most attention from the encoder's CLS token, mean over heads. The features are not read.

    The budget is spread evenly over the frames. Scores are the attention.

    Attributes
    ----------
    attention : see :class:`ByEncoderAttention`
    """

    name: ClassVar[str] = "fastervlm"
    paper: ClassVar[str] = "FasterVLM, 2024"
    on_gpu: ClassVar[bool] = True

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """In each frame, keep its share of ``n_keep`` with the most attention."""
        attention = self.ranked_by(tokens)
        nodes = np.flatnonzero(most_attended(attention, per_frame_counts(n_keep, tokens.grid.T)))
        return Choice(
            nodes,
            ATTENTION,
            attention.reshape(-1)[nodes],
            exactness=self.closeness(tokens),
            report={"attention_kept": attention_kept(attention, nodes)},
        )
