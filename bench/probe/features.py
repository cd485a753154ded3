"""Graph statistics of the probe's features, compared with real tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from stgraph.bench.tables.table import Row
from stgraph.community.detect import detect_communities
from stgraph.graph import build_graph
from stgraph.tokens import VideoTokens

_PAIRS = 2000


def probe_statistics(model: str, kinds: Iterable[str], n_videos: int = 30) -> list[Row]:
    """Statistics of a model's features on dev videos, one row per kind (``stgraph.bench.probe.plan.FEATURES``)."""
    from stgraph.bench.probe.exam import Exam, make_clips
    from stgraph.bench.probe.weights import asked_families, load_model

    loaded = load_model(model)
    exam = Exam(loaded, make_clips(loaded.visual, "dev", n_videos, asked_families()))
    return [feature_statistics(f"{model} {kind}", exam.tokens(kind)) for kind in kinds]


def sample_statistics() -> Row:
    """The same for real tokens: the bundled sample."""
    from stgraph import sample

    return feature_statistics("real tokens (bundled sample)", [sample()])


def feature_statistics(name: str, videos: Sequence[VideoTokens], tau_sim: float = 0.8, tau_diff: float = 0.2) -> Row:
    """Cosine similarities of neighbours and of random pairs, and the components above ``tau_sim``; means over videos.

    Returns
    -------
    Row
        ``spatial_mean``, ``temporal_mean``, ``random_mean``: cosines; ``above``: share of lattice edges above tau_sim;
        ``below``: share of temporal edges below tau_diff; ``n_components``; ``largest_ratio`` and ``oversized_ratio``:
        share of the tokens in the largest component, and in those above sqrt(N)
    """
    rows = [_statistics(video, tau_sim, tau_diff) for video in videos]
    return {"features": name, "n_videos": len(rows), **{key: fmean(row[key] for row in rows) for key in rows[0]}}


def _statistics(tokens: VideoTokens, tau_sim: float, tau_diff: float) -> dict[str, float]:
    graph = build_graph(tokens, tau_sim)
    parts = detect_communities(graph, "lattice-components")
    spatial = graph.similarity[:2]
    x = tokens.lattice.reshape(-1, tokens.dimension).astype(np.float32)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    a, b = np.random.default_rng(0).integers(0, len(x), (2, _PAIRS))
    quality: dict[str, Any] = parts.summary()
    return {
        "spatial_mean": float(np.nanmean(spatial)),
        "temporal_mean": float(graph.temporal_similarity.mean()),
        "random_mean": float((x[a] * x[b]).sum(1).mean()),
        "above": graph.summary().above_ratio,
        "below": float((graph.temporal_similarity < tau_diff).mean()),
        "n_components": float(quality["n_uncapped"]),
        "largest_ratio": quality["largest_uncapped"] / graph.n_nodes,
        "oversized_ratio": float(quality["oversized_ratio"]),
    }
