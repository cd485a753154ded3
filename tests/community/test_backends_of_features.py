"""Clusterings of features: their contract, and ST-SimDiff with the clusters of another method."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from clips import clip
from host_copies import none_as_large_as
from tensors import tensor

import stgraph
from stgraph.community.base import BACKENDS, backend
from stgraph.community.density import density_peaks, peak_scores, scaled_distances
from stgraph.errors import FeatureError, InputError

Array = np.ndarray[Any, Any]
NAMES = [name for name in BACKENDS.names() if backend(name).capabilities.reads == "features"]
each = pytest.mark.parametrize("name", NAMES)


def detect(name: str, tokens: stgraph.VideoTokens | None = None, **options: Any) -> stgraph.Partition:
    tokens = clip() if tokens is None else tokens
    return stgraph.detect_communities(stgraph.build_graph(tokens), name, tokens=tokens, **options)


@each
@pytest.mark.parametrize("split", ["tree", "raster", "metis"])
def test_labels_are_canonical_and_the_cap_holds(name: str, split: str) -> None:
    found = detect(name, max_size=6, split=split, share=0.05)
    first = np.unique(found.labels, return_index=True)[1]
    assert (np.diff(first) > 0).all() and found.sizes.max() <= 6 < found.uncapped_sizes.max()
    assert found.provenance.objective == "features"
    np.testing.assert_array_equal(detect(name, max_size=6, split=split, share=0.05).labels, found.labels)


@each
def test_groups_of_equal_tokens_are_found(name: str) -> None:
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0][:4]
    kind = np.random.default_rng(1).integers(0, 4, (4, 3, 3))
    tokens = stgraph.VideoTokens.from_array(directions[kind].astype(np.float32))
    found = detect(name, tokens, max_size=None, share=0.9 if name == "features-kmeans" else 4 / 36)
    labels = found.labels
    for group in range(4):
        assert len(set(labels[kind.reshape(-1) == group])) == 1
    assert found.n_communities == 4


@each
def test_st_simdiff_runs_on_it(name: str) -> None:
    kept = stgraph.selector("st-simdiff", retain_ratio=0.3, backend=name, backend_options={"share": 0.2}).select(clip())
    assert len(kept) == 54
    assert kept.provenance["community"]["parameters"]["share"] == 0.2


@each
def test_without_features_it_says_so(name: str) -> None:
    graph = stgraph.build_graph(clip())
    with pytest.raises(InputError, match=rf"{name} clusters the features of 180 tokens, and none were passed: tokens="):
        stgraph.detect_communities(graph, name)
    other = stgraph.VideoTokens.from_array(clip().lattice[:2])
    with pytest.raises(InputError, match="those passed have 60 of them"):
        stgraph.detect_communities(graph, name, tokens=other)
    with pytest.raises(InputError, match="runs the backend again on a part of the graph"):
        detect(name, split="redetect")


def test_density_peaks_are_those_of_their_windows() -> None:
    tokens = clip()
    found = detect("features-dpc-knn", max_size=None, window=2, share=0.1, k=3)
    x = np.asarray(tokens.lattice).reshape(3, -1, tokens.dimension)  # windows of two frames
    expected, new = [], 0
    for points in x:
        distance = scaled_distances(points)
        centres = density_peaks(peak_scores(distance, 3), 6)
        for i, row in enumerate(distance):
            own = np.flatnonzero(centres == i)
            expected.append(new + (int(own[0]) if own.size else int(row[centres].argmin())))
        new += len(centres)
    numbers: dict[int, int] = {}
    assert found.labels.tolist() == [numbers.setdefault(label, len(numbers)) for label in expected]


@each
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_features_are_refused(name: str, bad: float) -> None:
    """The graph may be of other features."""
    x = np.array(clip().lattice)
    x[1, 2, 3, 4] = bad
    with pytest.raises(FeatureError, match=r"NaN or Inf; .* \(frame 1, row 2, column 3\)"):
        stgraph.detect_communities(
            stgraph.build_graph(clip()), name, tokens=stgraph.VideoTokens.from_array(x), max_size=None
        )


@pytest.mark.parametrize("scale", [2.0**-100, 2.0**100])
def test_k_means_clusters_directions_of_any_length(scale: float) -> None:
    """Squares of these features are not float32."""
    x = clip().lattice * np.float32(scale)
    found, expected = (detect("features-kmeans", one) for one in (stgraph.VideoTokens.from_array(x), clip()))
    np.testing.assert_array_equal(found.labels, expected.labels)


@each
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.usefixtures("interpreter")
def test_features_on_a_gpu_are_clustered_there_alike(name: str, dtype: str) -> None:
    import ml_dtypes

    x = np.asarray(clip().lattice).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    tokens = stgraph.VideoTokens.from_array(tensor(x))
    graph, options = stgraph.build_graph(tokens), {"window": 1} if name == "features-dpc-knn" else {}
    with none_as_large_as(x.size):
        found = stgraph.detect_communities(graph, name, tokens=tokens, max_size=None, share=0.05, **options)
    said = "features-dpc-knn: the distances within each window, which are ranked there, were copied to host memory"
    assert found.on_gpu and found.provenance.host_copy == (said if options else None)
    expected = detect(name, stgraph.VideoTokens.from_array(x), max_size=None, share=0.05, **options)
    assert found.labels.tolist() == expected.labels.tolist()
    tokens.features[2, 1, 1, 0] = float("nan")
    with pytest.raises(FeatureError, match="first bad token"):
        stgraph.detect_communities(graph, name, tokens=tokens)


@each
@pytest.mark.usefixtures("interpreter")
def test_one_that_runs_on_the_cpu_gets_a_copy_and_says_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine: Any = backend(name)
    monkeypatch.setattr(type(engine), "capabilities", replace(engine.capabilities, device="cpu"))
    tokens = stgraph.VideoTokens.from_array(tensor(np.asarray(clip().lattice)))
    found = stgraph.detect_communities(stgraph.build_graph(tokens), name, tokens=tokens)
    assert found.provenance.host_copy == f"{name} runs on the CPU: the features were copied to host memory"
