"""Measures of an experiment: figures of communities, selections and their losses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stgraph.aliases import Array
from stgraph.bench.fidelity import frame_evenness, mean_and_p5, nearest_kept, nearest_merged
from stgraph.bench.tables.table import Row
from stgraph.columns import FIDELITY
from stgraph.selection.keeping import Kept
from stgraph.selection.st_simdiff.analysis import Analysis
from stgraph.tokens import VideoTokens


def community_columns(analysis: Analysis) -> Row:
    """Community columns: method, quality before and after the cap, mean centrality."""
    provenance = analysis.partition.provenance
    return {
        "device": provenance.device,
        "objective": provenance.objective,
        "library": f"{provenance.library} {provenance.library_version}",
        "n_edges": analysis.graph.n_edges,
        **analysis.partition.quality().to_dict(),
        "mean_centrality": float(analysis.centrality.mean(dtype=np.float64)),
    }


def candidate_columns(kept: Kept) -> Row:
    """Selection columns: number of candidates, kept tokens by reason, and times."""
    report, reasons = kept.selection.report, kept.selection.reasons()
    return {
        "n_tokens": report["n_tokens"],
        **{f"{stage}_s": value for stage, value in report["seconds"].items()},
        "n_kept": len(kept.selection),
        **{f"n_{name}": reasons.get(name, 0) for name in ("representative", "event", "both")},
        "n_candidates": report["n_candidates"],
        "excess": report["excess"],
        "frame_evenness": frame_evenness(kept.selection.mask),
    }


def nearest_handed_on(tokens: VideoTokens, norms: Array, kept: Sequence[Kept]) -> list[Array | None]:
    """Cosine of every patch to the nearest token handed on, [N] float32 for each of ``kept``.

    Merged tokens count with their merged features; None if no patch is kept. Takes O(N^2 d) time once, and O(N K d) for
    each merging selection.
    """
    out: list[Array | None] = [None] * len(kept)
    plain = [i for i, one in enumerate(kept) if one.selection.features is None and one.selection.nodes.size]
    if plain:
        for i, near in zip(plain, nearest_kept(tokens, norms, [kept[i].mask for i in plain]), strict=True):
            out[i] = near
    for i, one in enumerate(kept):
        if one.selection.features is not None:
            out[i] = nearest_merged(tokens, norms, one.selection.features)
    return out


def fidelity_columns(nearest: Array | None, kept: Array, events: Array, cuts: Array | None) -> Row:
    """Mean and 5th percentile of ``nearest`` over the dropped tokens; None if there are none, or without ``nearest``.

    Parameters
    ----------
    nearest : [N] float32, of :func:`nearest_handed_on`
    kept, events : [N] bool
    cuts : [N] bool, of :func:`stgraph.bench.fidelity.cut_tokens`; None if the tokens carry no shot changes
    """
    row: Row = dict.fromkeys(FIDELITY)
    for mean, p5, group in zip(FIDELITY[::2], FIDELITY[1::2], (events | True, events, cuts), strict=True):
        if nearest is not None and group is not None:
            row[mean], row[p5] = mean_and_p5(nearest, ~kept & group)
    return row


def pair_columns(a: Row, b: Row) -> Row:
    """The keys of two rows combined, with columns ending in _a and _b."""
    return {f"{name}_a": value for name, value in a.items()} | {f"{name}_b": value for name, value in b.items()}
