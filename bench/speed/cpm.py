"""Our CPM search and segmentation beside ``igraph-leiden-cpm``: time, and the objective value reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter, process_time
from typing import Any

from stgraph.bench.speed.stages import Case, machine
from stgraph.bench.speed.timing import Work, by_clock, rounds
from stgraph.bench.synthetic import synthetic_tokens
from stgraph.community.detect import detect_communities
from stgraph.community.objectives import default_resolution
from stgraph.community.partition import Partition
from stgraph.community.quality import cpm
from stgraph.graph import TokenGraph, build_graph
from stgraph.kernels.cpu.threads import num_threads
from stgraph.tokens import VideoTokens

Row = dict[str, Any]
PEER = "igraph-leiden-cpm"
LONGER: dict[str, Any] = {"n_iterations": 10}  # more passes than the default's two
OURS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "lattice-leiden": ("lattice-leiden", {}),
    "lattice-leiden, 10 passes": ("lattice-leiden", LONGER),
    "lattice-segments": ("lattice-segments", {}),
}
SIZES = (Case(40, 16, 16, 128), Case(391, 16, 16, 128), Case(3907, 16, 16, 128, peers=False))
SLOW = 20_000  # tokens above which the peer is timed in three rounds


def measure_cpm(
    clips: Mapping[str, VideoTokens],
    n_rounds: int = 15,
    tell: Callable[[str], None] = lambda label: None,
    sizes: Sequence[Case] = SIZES,
    cpu_time: bool = False,
) -> list[Row]:
    """Rows of each clip, then of synthetic tokens of each size: medians over rounds in which every backend runs once.

    Communities are found without a size cap at ``tau_sim`` 0.8 and CPM's default resolution; ``cpm_total`` is the
    objective value reached, None for the segmentation, which does not optimise it and reads every lattice edge.
    ``cpm_ratio`` and ``times_faster`` compare with igraph run to its end; None if igraph does not run.
    ``cpu_time``: by the CPU time of this process, which other programs on the machine disturb less; a fair figure with
    one thread only (:func:`stgraph.set_num_threads`).
    """
    rows: list[Row] = []
    elapsed = by_clock(process_time if cpu_time else perf_counter)
    for name, tokens in clips.items():
        tell(name)
        rows += _rows(name, build_graph(tokens), True, n_rounds, elapsed)
    for case in sizes:
        tell(str(case))
        tokens = VideoTokens.from_array(synthetic_tokens(case.T, case.H, case.W, case.d))
        rows += _rows(f"synthetic {case}", build_graph(tokens), case.peers, n_rounds, elapsed)
    return [{**row, "machine": f"{row['machine']}, CPU time"} for row in rows] if cpu_time else rows


def _rows(name: str, graph: TokenGraph, peer: bool, n_rounds: int, elapsed: Callable[[Work], float]) -> list[Row]:
    backends: dict[str, tuple[str, dict[str, Any]]] = {**({PEER: (PEER, {})} if peer else {}), **OURS}
    works: dict[str, Callable[[], Partition]] = {
        by: partial(detect_communities, graph, engine, max_size=None, **options)
        for by, (engine, options) in backends.items()
    }
    found = {by: work() for by, work in works.items()}
    seconds = rounds(works, n_rounds if graph.n_nodes <= SLOW or not peer else min(n_rounds, 3), elapsed)
    gamma = default_resolution("cpm")
    value = {
        by: cpm(graph.edges, parts.labels, gamma) for by, parts in found.items() if parts.provenance.objective == "cpm"
    }
    return [
        {
            "case": name,
            "n_tokens": graph.n_nodes,
            "n_edges": graph.n_edges,
            "by": by,
            "seconds": seconds[by],
            "times_faster": seconds[PEER] / seconds[by] if peer else None,
            "n_communities": found[by].n_communities,
            "cpm_total": value.get(by),
            "cpm_ratio": value[by] / value[PEER] if peer and by in value else None,
            "threads": num_threads(),
            "machine": machine(),
        }
        for by in backends
    ]
