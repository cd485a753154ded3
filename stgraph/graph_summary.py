"""Statistics of a token graph."""

from __future__ import annotations

import html
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stgraph import notebook_html as fragments
from stgraph.colours import COMMUNITY
from stgraph.graph import FAMILIES, TokenGraph
from stgraph.spelling import Spelled


@dataclass(frozen=True)
class FamilySummary(Spelled):
    """One edge family: all its lattice edges, and those above the threshold."""

    family: str
    in_graph: bool
    n_lattice: int
    n_above: int
    above_ratio: float
    mean: float
    std: float
    p5: float
    median: float
    p95: float


@dataclass(frozen=True)
class GraphSummary(Spelled):
    """Statistics of a :class:`~stgraph.graph.TokenGraph`."""

    grid: str
    n_nodes: int
    n_edges: int
    tau_sim: float
    above_ratio: float
    n_isolated: int
    n_zero_norm: int
    mean_degree: float
    degree_histogram: tuple[int, ...]
    families: tuple[FamilySummary, ...]

    def headline(self) -> str:
        """One line: extent, tokens, edges, share above the threshold."""
        return (
            f"TokenGraph({self.grid}, {self.n_nodes:,} tokens, {self.n_edges:,} edges, "
            f"{100 * self.above_ratio:.0f} % of lattice edges above {self.tau_sim:g})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = asdict(self)
        for family in plain["families"]:
            family.update({key: None for key, value in family.items() if value != value})  # NaN is not JSON
        return plain

    def html(self) -> str:
        """An HTML table for notebooks."""
        return f"<p>{html.escape(self.headline())}</p>{self.table()}"

    def table(self) -> str:
        """The edge families as an HTML table."""
        head = ("family", "lattice edges", "above", "share", "mean", "5 %", "median", "95 %")
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(f)) + "</tr>" for f in self.families
        )
        titles = "".join(f"<th>{title}</th>" for title in head)
        return f"<table><tr>{titles}</tr>{rows}</table>"


def _cells(f: FamilySummary) -> tuple[str, ...]:
    numbers = (f.above_ratio, f.mean, f.p5, f.median, f.p95)
    name = f.family if f.in_graph else f"{f.family} (off)"
    return (name, f"{f.n_lattice:,}", f"{f.n_above:,}", *(f"{v:.3f}" for v in numbers))


def summarise(graph: TokenGraph) -> GraphSummary:
    """The statistics of ``graph``; see :meth:`stgraph.graph.TokenGraph.summary`. Similarities on a GPU are copied to
    host memory."""
    graph = graph.to("cpu") if graph.on_gpu else graph
    families = tuple(_family(graph, i) for i in range(3))
    used = [f for f in families if f.in_graph]
    lattice = sum(f.n_lattice for f in used)
    degrees = graph.edges.degrees()
    return GraphSummary(
        grid=str(graph.grid),
        n_nodes=graph.n_nodes,
        n_edges=graph.n_edges,
        tau_sim=graph.tau_sim,
        above_ratio=sum(f.n_above for f in used) / lattice if lattice else 0.0,
        n_isolated=int(np.count_nonzero(degrees == 0)),
        n_zero_norm=int(np.count_nonzero(graph.norms == 0)),
        mean_degree=2 * graph.n_edges / graph.n_nodes,
        degree_histogram=tuple(np.bincount(degrees, minlength=7).tolist()),
        families=families,
    )


def graph_html(graph: TokenGraph) -> str:
    """The notebook view: distribution of spatial and temporal similarities, and the table of edge families."""
    summary = summarise(graph)
    edges = np.linspace(-1, 1, 41)
    series = {}
    for name, colour, values in (
        ("in space", COMMUNITY[0], graph.similarity[:2]),
        ("in time", COMMUNITY[10], graph.similarity[2]),
    ):
        there = values[~np.isnan(values)]
        if there.size:
            series[name] = (colour, (100 * np.histogram(np.clip(there, -1, 1), edges)[0] / there.size).tolist())
    first = min((i for _, v in series.values() for i, share in enumerate(v) if share), default=0)
    shown = {name: (colour, values[first:]) for name, (colour, values) in series.items()}
    mark = ((graph.tau_sim + 1) / 0.05 - first, f"tau_sim {graph.tau_sim:g}")
    picture = fragments.bars(shown, [f"{x:.2f}" for x in edges[first:-1]], mark) if shown else ""
    note = fragments.note("% of the edges, by the cosine similarity of the tokens they join: from ...")
    return fragments.headline(summary.headline()) + picture + note + summary.table()


def _family(graph: TokenGraph, index: int) -> FamilySummary:
    values = graph.similarity[index]
    values = values[~np.isnan(values)].astype(np.float64)
    n, above = values.size, int(np.count_nonzero(values > graph.tau_sim))
    p5, median, p95 = np.percentile(values, (5, 50, 95)).tolist() if n else (math.nan,) * 3
    return FamilySummary(
        family=FAMILIES[index],
        in_graph=FAMILIES[index] in graph.families,
        n_lattice=n,
        n_above=above,
        above_ratio=above / n if n else 0.0,
        mean=float(values.mean()) if n else math.nan,
        std=float(values.std()) if n else math.nan,
        p5=p5,
        median=median,
        p95=p95,
    )
