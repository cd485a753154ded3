"""Speed of every stage against its peers and one plain read of the features."""

from __future__ import annotations

import platform
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from time import process_time
from typing import Any

import numpy as np

from stgraph.bench.speed import peers, reference
from stgraph.bench.speed.plain_read import plain_reads
from stgraph.bench.speed.timing import Work, by_clock, once, rounds
from stgraph.bench.synthetic import synthetic_tokens
from stgraph.community.detect import detect_communities
from stgraph.community.objectives import OBJECTIVES
from stgraph.community.size_cap import SPLITTERS
from stgraph.graph import build_graph
from stgraph.kernels.cpu.threads import num_threads
from stgraph.selection.base import selector
from stgraph.selection.budget import ceil_share
from stgraph.selection.st_simdiff.centrality import centrality
from stgraph.selection.st_simdiff.events import event_tokens
from stgraph.selection.st_simdiff.representatives import representative_tokens
from stgraph.tokens import VideoTokens

Row = dict[str, Any]
RATIO = 0.3


@dataclass(frozen=True)
class Case:
    """One size to measure; ``peers`` states whether the slow peers run too."""

    T: int
    H: int
    W: int
    d: int
    dtype: str = "float32"
    peers: bool = True

    def __str__(self) -> str:
        return f"{self.T}x{self.H}x{self.W}x{self.d} {self.dtype}"


CASES = (
    Case(64, 14, 14, 3584),
    Case(64, 14, 14, 896),
    Case(64, 14, 14, 3584, "float16", peers=False),
    Case(64, 14, 14, 3584, "bfloat16", peers=False),
    Case(40, 16, 16, 128),
    Case(391, 16, 16, 128),
    Case(3907, 16, 16, 128, peers=False),
)


def measure(
    case: Case, n_rounds: int = 15, tell: Callable[[str], None] = lambda label: None, cpu_time: bool = False
) -> list[Row]:
    """Rows of one case: our stages, and peers for each, as medians and multiples of one read.

    ``cpu_time``: only our stages, by the CPU time of this process, which is less sensitive to other programs; fair with
    one thread only (:func:`stgraph.set_num_threads`).
    """
    import ml_dtypes

    dtype = ml_dtypes.bfloat16 if case.dtype == "bfloat16" else np.dtype(case.dtype)
    tell(f"{case}: making tokens")
    x = synthetic_tokens(case.T, case.H, case.W, case.d).astype(dtype, copy=False)
    tokens = VideoTokens.from_array(x)
    tell(f"{case}: our stages")
    reads = plain_reads(x)
    chosen = selector("st-simdiff", retain_ratio=RATIO)
    graph = build_graph(tokens)
    edges = graph.edges
    partition = detect_communities(graph, "lattice-components")
    central = centrality(tokens, graph, partition)
    found = detect_communities(graph, "lattice-components", max_size=None)
    cap = partition.provenance.max_size or 1
    counts = ceil_share(partition.sizes, Fraction("0.3"))
    stages: dict[str, Work] = {
        "edges": lambda: build_graph(tokens),
        "edge list": lambda: graph.with_threshold().n_edges,
        "components": peers.detectors(edges, "none")["lattice-components"],
        "split": lambda: SPLITTERS.get("tree").split(edges, found.labels, cap, None),
        "detection": lambda: detect_communities(edges, "lattice-components"),
        "centrality": lambda: centrality(tokens, graph, partition),
        "representatives": lambda: representative_tokens(central, partition, Fraction("0.3")),
        "events": lambda: event_tokens(graph),
        "selection": lambda: chosen.select(tokens),
    }
    medians = rounds(
        {**{f"read: {name}": work for name, work in reads.items()}, **stages},
        n_rounds,
        by_clock(process_time) if cpu_time else None,
    )
    read = min(value for name, value in medians.items() if name.startswith("read: "))
    rows = [case_row(case, "read", "plain read", read, read)]
    rows += [case_row(case, stage, "stgraph", medians[stage], read) for stage in stages]
    rows[-1]["extra_bytes_ratio"] = _extra_memory(chosen, tokens) / x.nbytes
    if cpu_time:
        return [{**row, "machine": f"{row['machine']}, CPU time"} for row in rows]
    if case.peers:
        for stage, name, work in _peers(x, edges, partition, central, counts):
            tell(f"{case}: {stage}, {name}")
            rows.append(case_row(case, stage, name, once(work), read))
    return rows


def _peers(
    x: Any, edges: Any, partition: Any, central: Any, counts: Any
) -> Iterator[tuple[str, str, Callable[[], object]]]:
    yield "edges", "NumPy", lambda: peers.numpy_edges(x)
    for name, work in peers.detectors(edges, "none").items():
        if name != "lattice-components":
            yield "components", name, work
    for objective in OBJECTIVES:
        if objective != "none":
            for name, work in peers.detectors(edges, objective).items():
                yield "communities", name, work
    yield "centrality", "NumPy, all pairs", lambda: peers.all_pairs_centrality(x, partition)
    yield "representatives", "NumPy, full sort", lambda: peers.sorted_top(central, partition, counts)
    if x.shape[-1] == CASES[0].d:
        yield "selection", "plain Python reference", lambda: reference.select(x, RATIO)


def _extra_memory(chosen: Any, tokens: VideoTokens) -> int:
    """Peak bytes a selection allocates in addition to the features."""
    tracemalloc.start()
    try:
        chosen.select(tokens)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def case_row(case: Case, stage: str, name: str, seconds: float | None, read: float) -> Row:
    """One measurement, in seconds and in multiples of a plain read of the features; None if it was not possible."""
    return {
        "case": str(case),
        "n_tokens": case.T * case.H * case.W,
        "d": case.d,
        "dtype": case.dtype,
        "stage": stage,
        "by": name,
        "seconds": seconds,
        "reads": None if seconds is None else seconds / read,
        "threads": num_threads(),
        "machine": machine(),
    }


def machine() -> str:
    """Processor and core count, for the record."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            name = next(line.split(":", 1)[1].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    n = num_threads()
    return f"{name}, {n} thread{'' if n == 1 else 's'}"
