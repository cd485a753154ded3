"""Objectives of community detection, and their default resolutions."""

from __future__ import annotations

from collections.abc import Mapping

# Objective -> meaning, in the order of tables.
OBJECTIVES: Mapping[str, str] = {
    "none": "connected components: tokens joined by a path of similar tokens",
    "modularity": "more weight inside than in a random graph with the same degrees (Newman 2006)",
    "cpm": "constant Potts model: a density of similarity above the resolution (Traag et al. 2011)",
    "surprise": "more weight inside than pairs drawn at random would hold (Traag, Aldecoa and Delvenne 2015)",
    "significance": "denser inside than a random graph's subgraphs (Traag, Krings and Van Dooren 2013)",
    "map-equation": "shortest description of a random walk (Rosvall and Bergstrom 2008)",
    "label-propagation": "each token takes its neighbours' most common label (Raghavan et al. 2007)",
    "segmentation": "no edge between segments less similar than they are inside (Felzenszwalb and Huttenlocher 2004)",
    "consensus": "edges that several runs of Louvain agree on (ensemble clustering, Poulin and Theberge 2018)",
    "features": "clusters of the features themselves, without the graph",
}

# gamma. For CPM it is a cosine density: tokens stay together if the similarity above the threshold, summed over a
# community's edges, exceeds it times the number of its pairs. On the probe's development videos 0.05 to 0.2 are alike
# (docs/objectives.md).
DEFAULT_RESOLUTION: Mapping[str, float] = {"modularity": 1.0, "cpm": 0.05, "consensus": 1.0}


def default_resolution(objective: str) -> float:
    """An objective's default resolution; 1 for an unknown objective."""
    return DEFAULT_RESOLUTION.get(objective, 1.0)
