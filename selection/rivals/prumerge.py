"""LLaVA-PruMerge and PruMerge+: outliers of the encoder's attention, with their most similar tokens merged into
them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.selection.assignment import assignment
from stgraph.selection.budget import Budget, per_frame_counts
from stgraph.selection.encoder_attention import ByEncoderAttention
from stgraph.selection.method import Choice, FittedMethod
from stgraph.selection.reasons import ATTENTION, CONTEXT, SAMPLE
from stgraph.selection.rivals.fastervlm import attention_kept
from stgraph.selection.signals.encoder_grid import on_lattice
from stgraph.tokens import VideoTokens

NEIGHBOURS = 32  # most similar tokens added to a kept one


@dataclass(frozen=True, kw_only=True)
class PruMerge(ByEncoderAttention, FittedMethod):
    """LLaVA-PruMerge (arXiv 2403.15388; ``llava/model/multimodal_encoder/clip_encoder.py``): in every frame, the tokens
    with the most CLS attention. Each adds its min(32, P - 1) most similar others (cosine of keys), weighted by their
    attention, without normalisation. All dropped tokens form one extra token, their attention-weighted sum, at the
    position of the most-attended one.

    The budget is spread evenly over the frames: k - 1 kept tokens and the extra one; k = 1 keeps the top token without
    an extra one, k = P all tokens unchanged. Scores are the attention. Time is quadratic in the tokens of a frame.

    Attributes
    ----------
    attention : see :class:`stgraph.selection.encoder_attention.ByEncoderAttention`; the authors' is of all heads as one
    exact_count : False keeps each frame's attention outliers, above Q3 + 1.5 IQR, and the extra token
    """

    name: ClassVar[str] = "prumerge"
    paper: ClassVar[str] = "LLaVA-PruMerge, ICCV 2025"
    on_gpu: ClassVar[bool] = True
    quadratic: ClassVar[bool] = True
    also: ClassVar[frozenset[str]] = frozenset({"enc_keys_full"})
    sources: ClassVar[Mapping[str, str]] = MappingProxyType({"cls": "prumerge_cls_attn", "received": "enc_recv_attn"})

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """In each frame, the tokens of :meth:`ranked` and :meth:`sampled`, merged with their neighbours, and the extra
        token."""
        from stgraph.kernels.cpu.threads import run_blocks

        T, P = tokens.grid.T, tokens.grid.H * tokens.grid.W
        attention = self.ranked_by(tokens)
        keys = on_lattice(tokens, tokens.signal("enc_keys_full", self.name), "enc_keys_full")
        counts = per_frame_counts(n_keep, T).tolist()
        n_outliers = outlier_counts(attention)
        order = np.argsort(-attention, axis=1, kind="stable")
        reason = np.zeros((T, P), np.uint8)
        for t in range(T):
            room = None if not self.exact_count else counts[t] if counts[t] in (0, 1, P) else counts[t] - 1
            n_ranked = self.ranked(int(n_outliers[t]), P, room)
            reason[t, order[t, :n_ranked]] = ATTENTION
            rest = np.flatnonzero(reason[t] == 0)
            reason[t, rest[self.sampled(rest, int(n_outliers[t]), P, room)]] = SAMPLE
        chosen = reason > 0
        n_chosen = chosen.sum(axis=1)
        with_extra = (n_chosen < P) & (n_chosen > 0)
        if self.exact_count:
            with_extra &= np.array(counts) > 1
        extra = order[np.arange(T), np.argmin(np.take_along_axis(chosen, order, axis=1), axis=1)]
        whole = self.exact_count & (n_chosen == P)

        def merged(t: int) -> tuple[Array, Array, Array]:
            return _merged(attention[t], keys[t], chosen[t], int(extra[t]) if with_extra[t] else None, bool(whole[t]))

        frames = run_blocks(merged, range(T))
        kept, members = (np.concatenate([t * P + part[i] for t, part in enumerate(frames)]) for i in (0, 1))
        reason[with_extra, extra[with_extra]] = CONTEXT
        nodes = np.flatnonzero(reason)
        return Choice(
            nodes,
            reason.reshape(-1)[nodes],
            attention.reshape(-1)[nodes],
            merge=assignment(nodes, kept, members, np.concatenate([part[2] for part in frames]), T * P),
            exactness=self.closeness(tokens, *self._fitted(), merges=True),
            report={
                "n_outliers": int(n_outliers.sum()),
                "n_ranked": int(np.count_nonzero(reason == ATTENTION)),
                "n_sampled": int(np.count_nonzero(reason == SAMPLE)),
                "n_extra": int(with_extra.sum()),
                "attention_kept": attention_kept(attention, np.flatnonzero(chosen)),
            },
        )

    def _fitted(self) -> list[str]:
        return ["the count follows the budget, not the outliers"] if self.exact_count else []

    def ranked(self, n_outliers: int, P: int, room: int | None) -> int:
        """Number of tokens in a frame kept for their attention; ``room`` is the total kept, None for the authors'
        count."""
        return max(1, int(P * (n_outliers / P))) if room is None else room

    def sampled(self, rest: Array, n_outliers: int, P: int, room: int | None) -> Array:
        """Places in ``rest``, the other tokens of the frame (ascending), that are kept for their position."""
        return np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class PruMergePlus(PruMerge):
    """PruMerge+, which the authors' code runs by default: the outliers plus evenly spaced tokens between them;
    otherwise as :class:`PruMerge`.

    A frame that keeps b tokens takes q = max(1, int(P share of outliers)) by attention and b - q evenly spaced among
    the others; the b most-attended ones if b <= q.

    Attributes
    ----------
    exact_count : False keeps each frame's attention outliers and the tokens 0, g, 2g, ... < P - 1 with g = max(1,
        int(int(1 / share) / 3)), where no outlier counts as one
    """

    name: ClassVar[str] = "prumerge+"

    def _fitted(self) -> list[str]:
        return ["the count follows the budget, not the outliers"] if self.exact_count else []

    def ranked(self, n_outliers: int, P: int, room: int | None) -> int:
        """The outliers, up to the room there is."""
        outliers = super().ranked(n_outliers, P, None)
        return outliers if room is None else min(outliers, room)

    def sampled(self, rest: Array, n_outliers: int, P: int, room: int | None) -> Array:
        """Evenly spaced places in ``rest``; the authors' grid with ``exact_count=False``."""
        if room is None:
            step = max(1, int(1 / (max(1, n_outliers) / P)) // 3)
            return np.flatnonzero((rest % step == 0) & (rest < P - 1))
        m = room - (P - rest.size)
        return (2 * np.arange(m) + 1) * rest.size // (2 * m) if m else np.zeros(0, np.int64)


def outlier_counts(attention: Array) -> Array:
    """[T] int64: number of values per row of [T, P] strictly above Q3 + 1.5 IQR (linear percentiles)."""
    low, high = (np.percentile(attention, q, axis=1, keepdims=True) for q in (25, 75))
    counts: Array = np.count_nonzero(attention > high + 1.5 * (high - low), axis=1)
    return counts


def _merged(attention: Array, keys: Array, chosen: Array, extra: int | None, whole: bool) -> tuple[Array, Array, Array]:
    """(kept token, member, weight) triples of one frame.

    Parameters
    ----------
    attention, keys, chosen : [P] float32, [P, c] float32, [P] bool
    extra : position of the sum of all tokens not chosen
    whole : whether the chosen tokens stay unchanged
    """
    at, P = np.flatnonzero(chosen), chosen.size
    n_added = 0 if whole else min(NEIGHBOURS, P - 1)
    near = _nearest(keys, at, n_added)
    others = np.flatnonzero(~chosen) if extra is not None else at[:0]
    return (
        np.concatenate([at, np.repeat(at, n_added), np.full(others.size, -1 if extra is None else extra)]),
        np.concatenate([at, near, others]),
        np.concatenate([np.ones(at.size, np.float32), attention[near], attention[others]]),
    )


def _nearest(keys: Array, at: Array, n: int) -> Array:
    """The ``n`` other tokens with the most similar keys for each token of ``at``, [at.size * n], ascending for each;
    ties to the smaller index."""
    from stgraph.kernels.cpu.cosines import cosines

    if n == 0 or at.size == 0:
        return at[:0]
    P = keys.shape[0]
    every = np.arange(P)
    similar = cosines(keys, at, every) if 2 * at.size <= P else cosines(keys, every)[at]  # whichever costs less
    similar[np.arange(at.size), at] = -2
    cut = P - n
    bound = np.partition(similar, cut, axis=1)[:, cut, None]
    above, equal = similar > bound, similar == bound
    open_places = n - above.sum(axis=1, keepdims=True)
    return np.nonzero(above | (equal & (np.cumsum(equal, axis=1) <= open_places)))[1]
