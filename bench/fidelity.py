"""Fidelity of selections: distance of dropped tokens to kept ones, and evenness over frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.threads import even_blocks, run_blocks
from stgraph.tokens import VideoTokens

_BLOCK = 512


@compiled()
def _best_of(similarity, kept, out):  # type: ignore[no-untyped-def]
    for i in range(similarity.shape[0]):
        best = np.float32(-2.0)
        for j in range(kept.size):
            best = max(best, similarity[i, kept[j]])
        out[i] = best


def nearest_kept(tokens: VideoTokens, norms: Array, masks: Sequence[Array]) -> Array:
    """Cosine of every token to its nearest kept token, for several selections in one pass over all pairs.

    Takes O(N^2 d) time once, regardless of the number of selections, and O(N d) memory.

    Parameters
    ----------
    tokens : VideoTokens
    norms : [T, H, W] float64
    masks : S arrays [N] bool, each with at least one kept token

    Returns
    -------
    [S, N] float32; about 1 for kept tokens
    """
    unit = _unit_rows(tokens, norms)
    kept = [np.flatnonzero(mask) for mask in masks]
    out = np.empty((len(masks), unit.shape[0]), np.float32)
    for a, b in even_blocks(unit.shape[0], _BLOCK):
        similarity = unit[a:b] @ unit.T

        def best(s: int, similarity: Array = similarity, a: int = a, b: int = b) -> None:
            _best_of(similarity, kept[s], out[s, a:b])

        run_blocks(best, range(len(masks)))
    return np.clip(out, -1.0, 1.0, out=out)


def nearest_merged(tokens: VideoTokens, norms: Array, merged: Array) -> Array:
    """Cosine of every token to the nearest of ``merged`` [K, d], the features a merging selector hands on; [N] float32.
    Takes O(N K d) time and O(N d) memory.
    """
    unit = _unit_rows(tokens, norms)
    rows = merged.astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    np.divide(rows, lengths, out=rows, where=lengths > 0)
    out = np.empty(unit.shape[0], np.float32)
    for a, b in even_blocks(unit.shape[0], _BLOCK):
        out[a:b] = (unit[a:b] @ rows.T).max(axis=1)
    return np.clip(out, -1.0, 1.0, out=out)


def _unit_rows(tokens: VideoTokens, norms: Array) -> Array:
    unit: Array = tokens.lattice.reshape(-1, tokens.dimension).astype(np.float32)
    with np.errstate(divide="ignore"):
        unit *= np.where(norms.reshape(-1, 1) > 0, 1.0 / norms.reshape(-1, 1), 0.0).astype(np.float32)
    return unit


def mean_and_p5(nearest: Array, among: Array) -> tuple[float | None, float | None]:
    """Mean and 5th percentile of ``nearest`` [N] over the tokens ``among`` [N] bool; None if there are none."""
    values = nearest[among].astype(np.float64)
    if values.size == 0:
        return None, None
    return float(values.mean()), float(np.percentile(values, 5))


def frame_evenness(mask: Array) -> float:
    """Entropy of the kept tokens' distribution over frames, divided by its maximum ln T: 1 if all frames keep equally
    many.

    ``mask`` is [T, H, W] bool with at least one token kept.
    """
    counts = mask.reshape(mask.shape[0], -1).sum(axis=1)
    if counts.size == 1:
        return 1.0
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum() / math.log(counts.size))


def cut_tokens(tokens: VideoTokens) -> Array | None:
    """[N] bool: tokens of the first frame after each shot change; None if the tokens carry no shot cuts."""
    if "shot_cuts_s" not in tokens.signals or "frame_time" not in tokens.signals:
        return None
    frames = np.searchsorted(tokens.signals["frame_time"], tokens.signals["shot_cuts_s"], side="left")
    first = np.zeros(tokens.grid.shape, np.bool_)
    first[frames[(frames > 0) & (frames < tokens.grid.T)]] = True
    return first.reshape(-1)


def jaccard(a: Array, b: Array) -> float:
    """Overlap of two [N] bool sets: |a & b| / |a | b|."""
    union = int(np.count_nonzero(a | b))
    return float(np.count_nonzero(a & b) / union) if union else 1.0
