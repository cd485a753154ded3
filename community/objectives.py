"""What community detection optimises, and the resolution each objective starts from."""

from __future__ import annotations

from collections.abc import Mapping

# Objective -> what it is, in the order tables show them in.
OBJECTIVES: Mapping[str, str] = {
    "none": "connected components: every path of similar tokens is one community",
    "modularity": "more weight inside than a random graph of the same degrees has (Newman 2006)",
    "cpm": "constant Potts model: a density of similarity above the resolution (Traag et al. 2011)",
    "map-equation": "a random walk described in few words (Rosvall and Bergstrom 2008)",
    "label-propagation": "each token the label that most of its neighbours have (Raghavan et al. 2007)",
    "segmentation": "no edge between segments less similar than they are inside (Felzenszwalb and Huttenlocher 2004)",
    "consensus": "edges that several runs of Louvain agree on (ensemble clustering, Poulin and Theberge 2018)",
    "features": "clusters of the features themselves, without the graph",
}

# gamma. Of CPM it is a cosine density: tokens stay together if the similarity above the threshold, summed over a
# community's edges, exceeds it times the number of its pairs. 0.05 was chosen on the probe's development videos.
DEFAULT_RESOLUTION: Mapping[str, float] = {"modularity": 1.0, "cpm": 0.05, "consensus": 1.0}


def default_resolution(objective: str) -> float:
    """The resolution an objective starts from; 1 for one that is not known here."""
    return DEFAULT_RESOLUTION.get(objective, 1.0)
