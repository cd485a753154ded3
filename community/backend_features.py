"""Clusterings of the features themselves, as in other methods: density peaks in windows of frames, k-means.

They do not read edges, so that ST-SimDiff can run with another method's clusters. Density peaks are quadratic in the
tokens of a window; k-means takes time proportional to tokens times clusters. Both compute where the features lie.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.community.base import BackendParams, Capabilities
from stgraph.community.density import density_peaks, peak_scores, scaled_distances
from stgraph.community.parameters import Parameter
from stgraph.devices import beside, largest_of_rows
from stgraph.edges import EdgeList
from stgraph.errors import InputError
from stgraph.kernels import kernels_for

_SHARE = Parameter(0.1, "clusters per token", least=1e-9, most=1.0)


class FeatureClusters:
    """Base of clusterings of features: they implement :meth:`labels_of` instead of ``labels``.

    ``copied`` names what they copy from a GPU to host memory besides a few numbers.
    """

    copied: str | None = None
    package = "stgraph-video"
    name: str
    capabilities: Capabilities
    parameters: Mapping[str, Parameter]

    def unavailable(self) -> str | None:
        return None

    def labels(self, edges: EdgeList, params: BackendParams) -> Array:
        """Refuse: features are needed.

        Raises
        ------
        InputError
            always
        """
        raise InputError(f"{self.name} clusters features, not edges: pass the video with tokens=")

    def labels_of(self, features: Any, params: BackendParams) -> Any:
        """[T H W] integer labels of features [T, H, W, d], which are a tensor where they lie on a GPU."""
        raise NotImplementedError


class DensityPeaks(FeatureClusters):
    """DPC-KNN (Du et al. 2016) in windows of frames, as in PruneVid, HoliTom and FastVID.

    Density peaks are the centres, and every token joins the nearest one.
    """

    name = "features-dpc-knn"
    copied = "the distances within each window, which are ranked there,"
    capabilities = Capabilities(
        device="any",
        objective="features",
        weighted=False,
        seeded=False,
        deterministic=True,
        reads="features",
        ignores=("resolution", "seed"),
        not_yet_run_on=("cuda",),
    )
    parameters: Mapping[str, Parameter] = {
        "share": _SHARE,
        "window": Parameter(4, "frames clustered together", least=1, most=2**31 - 1),
        "k": Parameter(5, "nearest tokens that density counts", least=1, most=2**31 - 1),
    }

    def labels_of(self, features: Any, params: BackendParams) -> Array:
        window, k, share = int(params.options["window"]), int(params.options["k"]), params.options["share"]
        labels, new = [], 0
        for first in range(0, len(features), window):
            points = features[first : first + window].reshape(-1, features.shape[-1])
            distance = scaled_distances(points)
            centres = density_peaks(peak_scores(distance, k), max(1, math.ceil(share * len(points))))
            nearest = distance[:, centres].argmin(axis=1)
            nearest[centres] = np.arange(len(centres))
            labels.append(new + nearest)
            new += len(centres)
        return np.concatenate(labels)


class KMeans(FeatureClusters):
    """Spherical k-means (Dhillon and Modha 2001): each unit feature belongs to the cluster with the nearest mean
    direction.

    Initial centres are tokens drawn at random; empty clusters are dropped. Ties go to the first cluster.
    """

    name = "features-kmeans"
    capabilities = Capabilities(
        device="any",
        objective="features",
        weighted=False,
        seeded=True,
        deterministic=True,
        reads="features",
        ignores=("resolution",),
        not_yet_run_on=("cuda",),
    )
    parameters: Mapping[str, Parameter] = {
        "share": _SHARE,
        "n_iterations": Parameter(10, "rounds of assignment", least=1, most=10_000),
    }

    def labels_of(self, features: Any, params: BackendParams) -> Any:
        kernel = kernels_for(features, "directions")
        points = kernel.unit_rows(features)
        n_clusters = max(1, math.ceil(params.options["share"] * len(points)))
        first = np.random.default_rng(params.seed).choice(len(points), n_clusters, replace=False)
        centres, labels = points[beside(first, points)], None
        for _ in range(int(params.options["n_iterations"])):
            centres, labels = kernel.mean_directions(points, largest_of_rows(points @ centres.T)[0])
        return labels


FEATURES_DPC_KNN = DensityPeaks()
FEATURES_KMEANS = KMeans()
