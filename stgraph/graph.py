"""The spatio-temporal token graph (ST-SimDiff, section 4.2)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import is_tensor, to_device
from stgraph.errors import InputError
from stgraph.graph_exports import Exports
from stgraph.grid import TokenGrid
from stgraph.kernels import kernels_for
from stgraph.lattice_edges import FAMILIES as FAMILIES
from stgraph.lattice_edges import LatticeEdges
from stgraph.spelling import Spelled
from stgraph.tokens import VideoTokens, check_tokens

if TYPE_CHECKING:
    from stgraph.graph_summary import GraphSummary


@dataclass(frozen=True, eq=False)
class TokenGraph(Exports, Spelled):
    """Patch tokens as nodes, cosine similarities of lattice neighbours as edge weights.

    The similarities of all lattice edges are kept; ``tau_sim`` and ``families`` define the community
    graph G' = {(i, j): w > tau_sim}. :meth:`with_threshold` changes these without re-reading the features.

    As in networkx, ``len`` is the number of nodes, and iteration gives the nodes 0..N-1. ``graph.edges`` is the edge
    list. ``np.asarray(graph)`` is refused: a graph is several arrays.

    Attributes
    ----------
    grid : TokenGrid
    similarity : [3, T, H, W] float32
        of token (t, h, w) to its right, bottom and next-frame neighbour; NaN where there is none
    norms : [T, H, W] float64, feature norms
    tau_sim : similarity threshold, strict
    families : edge families in the community graph: "right", "bottom", "temporal"

    The arrays are NumPy's, or torch tensors on the GPU the features lie on.
    """

    grid: TokenGrid
    similarity: Any
    norms: Any
    tau_sim: float
    families: tuple[str, ...] = FAMILIES

    @property
    def n_nodes(self) -> int:
        """N = T*H*W."""
        return self.grid.n_nodes

    @property
    def n_edges(self) -> int:
        """Number of edges in the community graph."""
        return self.edges.n_edges

    @property
    def on_gpu(self) -> bool:
        """Whether the graph lies on a GPU."""
        return is_tensor(self.similarity)

    def to(self, device: Any) -> TokenGraph:
        """The same graph on ``device``; on "cpu" with NumPy arrays."""
        return replace(self, similarity=to_device(self.similarity, device), norms=to_device(self.norms, device))

    @cached_property
    def edges(self) -> LatticeEdges:
        """The community graph G': edges of the chosen families with similarity above ``tau_sim``."""
        return self._edges_above(self.tau_sim)

    @property
    def edge_family(self) -> Any:
        """[E] uint8: 0 right, 1 bottom, 2 temporal, in the order of :attr:`edges`."""
        return self.edges.family

    def all_edges(self) -> LatticeEdges:
        """Every lattice edge of the chosen families, regardless of similarity."""
        return self._edges_above(-math.inf)

    def _edges_above(self, tau: float) -> LatticeEdges:
        right, bottom, temporal = (name in self.families for name in FAMILIES)
        return LatticeEdges(self.similarity, tau, (right, bottom, temporal))

    @property
    def temporal_similarity(self) -> Any:
        """[T-1, H, W] float32: similarity of each token to the same position one frame later. DETS uses it even if
        temporal edges are not in the community graph."""
        return self.similarity[2, :-1]

    def neighbours(self, node: int) -> dict[str, tuple[int, float]]:
        """The up to six lattice neighbours of a node, side -> (node id, similarity), regardless of the threshold."""
        t, y, x = self.grid.position(node)
        frame = self.grid.H * self.grid.W
        sides = {
            "left": (0, (t, y, x - 1), -1),
            "right": (0, (t, y, x), 1),
            "top": (1, (t, y - 1, x), -self.grid.W),
            "bottom": (1, (t, y, x), self.grid.W),
            "previous": (2, (t - 1, y, x), -frame),
            "next": (2, (t, y, x), frame),
        }
        found = {}
        for side, (family, place, step) in sides.items():
            value = float(self.similarity[(family, *place)]) if min(place) >= 0 else math.nan
            if not math.isnan(value):
                found[side] = (node + step, value)
        return found

    def with_threshold(
        self,
        tau_sim: float | None = None,
        *,
        spatial: bool | None = None,
        temporal: bool | None = None,
        right: bool | None = None,
        bottom: bool | None = None,
    ) -> TokenGraph:
        """The same similarities with another threshold or other edge families; None leaves a setting unchanged.

        ``spatial`` switches ``right`` and ``bottom`` together; an edge family is on only if both say so.
        """
        tau = self.tau_sim if tau_sim is None else check_threshold("tau_sim", tau_sim)
        wanted = {"right": _both(spatial, right), "bottom": _both(spatial, bottom), "temporal": temporal}
        chosen = tuple(n for n in FAMILIES if (n in self.families if wanted[n] is None else wanted[n]))
        return replace(self, tau_sim=tau, families=chosen)

    def summary(self) -> GraphSummary:
        """Counts and weight statistics per edge family, degrees, share of edges above the threshold."""
        from stgraph.graph_summary import summarise

        return summarise(self)

    def __len__(self) -> int:
        return self.n_nodes

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n_nodes))

    def __contains__(self, node: object) -> bool:
        return isinstance(node, (int, np.integer)) and 0 <= int(node) < self.n_nodes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise InputError(
            "a graph is several arrays: graph.similarity [3, T, H, W], np.asarray(graph.edges) [E, 3], or the "
            "adjacency matrix graph.to_scipy()"
        )

    @property
    def listed_edges(self) -> LatticeEdges:
        """:attr:`edges`."""
        return self.edges

    def __repr__(self) -> str:
        return self.summary().headline()

    def _repr_html_(self) -> str:
        from stgraph.graph_summary import graph_html

        return graph_html(self)


def build_graph(
    tokens: VideoTokens,
    tau_sim: float = 0.8,
    *,
    spatial: bool = True,
    temporal: bool = True,
    right: bool = True,
    bottom: bool = True,
) -> TokenGraph:
    """The token graph of a video, in one pass over its features (ST-SimDiff, section 4.2).

    Parameters
    ----------
    tokens : VideoTokens
    tau_sim : similarity an edge must strictly exceed to join the community graph, in [-1, 1]
    spatial, temporal : whether spatial / temporal edges are used (the paper's ablation)
    right, bottom : the two kinds of spatial edges

    If the features lie on a GPU, the graph is built there and stays there.

    Raises
    ------
    FeatureError
        a token contains NaN or Inf
    InputError
        ``tau_sim`` is not a number in [-1, 1]

    Examples
    --------
    >>> import numpy as np, stgraph
    >>> x = np.ones((2, 3, 4, 8), dtype=np.float32)
    >>> stgraph.build_graph(stgraph.VideoTokens.from_array(x))
    TokenGraph(2x3x4, 24 tokens, 46 edges, 100 % of lattice edges above 0.8)
    """
    check_tokens(tokens, "build_graph")
    tau = check_threshold("tau_sim", tau_sim)
    lattice = tokens.lattice
    similarity, norms = kernels_for(lattice, "neighbours").neighbour_cosines(lattice)
    graph = TokenGraph(tokens.grid, similarity, norms, tau)
    return graph.with_threshold(spatial=spatial, temporal=temporal, right=right, bottom=bottom)


def _both(spatial: bool | None, one: bool | None) -> bool | None:
    """The setting of a spatial family: off if either switch is off, unchanged if neither is given."""
    if spatial is None or one is None:
        return one if spatial is None else spatial
    return spatial and one


def check_threshold(name: str, value: Any) -> float:
    """``value`` as a float in [-1, 1]; the error names the argument.

    Raises
    ------
    InputError
        not a real number, NaN, or outside [-1, 1]
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"{name} is {value!r}; it must be a number in [-1, 1]")
    if not -1 <= value <= 1:
        raise InputError(f"{name} is {value}; a cosine similarity threshold lies in [-1, 1]")
    return float(value)
