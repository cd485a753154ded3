"""Speed of every stage on a GPU, against its peers and one plain read of the features on the device."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from stgraph.bench.speed import gpu_peers, reference
from stgraph.bench.speed.device_timing import device_rounds
from stgraph.bench.speed.gpu_prefill import LlmSize, prefill_seconds
from stgraph.bench.speed.stages import RATIO, Case, case_row
from stgraph.bench.speed.timing import Work, once
from stgraph.community.detect import detect_communities
from stgraph.community.size_cap import SPLITTERS
from stgraph.devices import first_line, to_host
from stgraph.gpu_parts import gpu_parts
from stgraph.graph import build_graph
from stgraph.grid import TokenGrid
from stgraph.selection.base import selector
from stgraph.selection.budget import Budget
from stgraph.selection.capture import capture
from stgraph.selection.st_simdiff.centrality import centrality
from stgraph.selection.st_simdiff.events import event_tokens
from stgraph.selection.st_simdiff.representatives import representative_tokens
from stgraph.tokens import VideoTokens

Row = dict[str, Any]

GPU_CASES = (
    Case(64, 14, 14, 3584, "bfloat16"),
    Case(512, 14, 14, 3584, "bfloat16", peers=False),  # N = 1e5
    Case(5102, 14, 14, 3584, "bfloat16", peers=False),  # N = 1e6
)
QUICK = Case(8, 6, 6, 256, "bfloat16")


def measure_gpu(
    case: Case,
    n_rounds: int = 15,
    tell: Callable[[str], None] = lambda label: None,
    device: Any = "cuda",
    llm: LlmSize | None = None,
) -> list[Row]:
    """Rows of one case: our stages; straightforward torch code and component libraries for the same; for cases with
    slow peers also the scripted reference, and the prefill of a language model for comparison.

    A row that could not be measured has no ``seconds`` and says why under ``skipped``.
    """
    gc.collect()
    tell(f"{case}: making tokens")
    x = device_tokens(case, device)
    tokens = VideoTokens(x, TokenGrid(*x.shape[:3]))
    machine = "; ".join(f"{part.name} {part.found}" for part in gpu_parts() if part.found)
    rows: list[Row] = []

    def add(stage: str, by: str, seconds: float | None, skipped: str | None = None) -> None:
        row = case_row(case, stage, by, seconds, read)
        rows.append({**row, "skipped": skipped, "device": str(device), "machine": machine})

    tell(f"{case}: our stages")
    stages = _stages(tokens)
    medians = device_rounds(stages, n_rounds, device)
    read = medians["read"]
    for stage, seconds in medians.items():
        add(stage, "stgraph" if stage != "read" else "plain read", seconds)
    for stage, by, work in _peers(tokens):
        tell(f"{case}: {stage}, {by}")
        add(stage, by, *_attempt(work, n_rounds, device))
    if case.peers:
        tell(f"{case}: the scripted reference")
        host = to_host(x.float())
        add("selection", "plain Python reference, on the CPU", once(lambda: reference.select(host, RATIO), most=1))
        tell(f"{case}: prefill of a language model")
        lengths = {"full": tokens.grid.n_nodes, f"r = {RATIO}": Budget(RATIO).count(tokens.grid)}
        del stages
        try:
            for name, seconds in prefill_seconds(lengths, max(1, n_rounds // 3), device, case.dtype, llm).items():
                add("prefill", name, seconds)
        except (ImportError, RuntimeError) as error:  # not installed; out of memory
            add("prefill", "full", None, first_line(error))
    return rows


def _stages(tokens: VideoTokens) -> dict[str, Work]:
    from stgraph.kernels.gpu import lattice
    from stgraph.kernels.gpu.neighbours import issue
    from stgraph.kernels.gpu.plain_read import plain_read

    graph = build_graph(tokens)
    edges = graph.edges
    partition = detect_communities(graph, "lattice-components")
    found = detect_communities(graph, "lattice-components", max_size=None)
    cap = partition.provenance.max_size or 1
    central = centrality(tokens, graph, partition)
    ratio = Fraction(str(RATIO))
    chosen = selector("st-simdiff", retain_ratio=RATIO)
    stages: dict[str, Work] = {
        "read": lambda: plain_read(tokens.features),
        "edges": lambda: build_graph(tokens),
        "edges, unread": lambda: issue(tokens.lattice),
        "edge list": lambda: graph.with_threshold().n_edges,
        "components": lambda: lattice.components(edges.similarity, edges.tau, edges.switches),
        "split": lambda: SPLITTERS.get("tree").split(edges, found.labels, cap, None),
        "detection": lambda: detect_communities(edges, "lattice-components"),
        "centrality": lambda: centrality(tokens, graph, partition),
        "representatives": lambda: representative_tokens(central, partition, ratio),
        "events": lambda: event_tokens(graph, "p95"),
        "selection": lambda: chosen.select(tokens),
    }
    if tokens.features.device.type == "cuda":
        replay = capture(chosen, tokens)
        stages["selection, replayed"] = lambda: replay(tokens)
    return stages


def _peers(tokens: VideoTokens) -> Iterator[tuple[str, str, Work | str]]:
    graph = build_graph(tokens)
    edges = graph.edges
    partition = detect_communities(graph, "lattice-components")
    central = centrality(tokens, graph, partition)
    yield "edges", "torch", lambda: gpu_peers.torch_edges(tokens.features)
    yield "centrality", "torch", lambda: gpu_peers.torch_centrality(tokens.features, partition)
    yield "representatives", "torch, a topk each", lambda: gpu_peers.torch_top(central, partition, RATIO)
    for name, work in gpu_peers.component_libraries(edges).items():
        yield "components", name, work
    for name, work in gpu_peers.louvain_and_leiden(edges).items():
        yield "communities", name, work


def _attempt(work: Work | str, n_rounds: int, device: Any) -> tuple[float | None, str | None]:
    """(median seconds, None), or (None, why not)."""
    if isinstance(work, str):
        return None, work
    try:
        return device_rounds({"work": work}, max(1, n_rounds // 3), device)["work"], None
    except (ImportError, RuntimeError, MemoryError) as error:  # torch's and CuPy's memory is not large enough
        return None, first_line(error)


def device_tokens(case: Case, device: Any, noise: float = 0.35) -> Any:
    """[T, H, W, d] on the device: a new shot of four still regions every 16 frames, with noise. Made frame by frame, to
    avoid a copy in float32."""
    import torch

    generator = torch.Generator(device).manual_seed(0)
    kind = getattr(torch, case.dtype)
    x = torch.empty(case.T, case.H, case.W, case.d, dtype=kind, device=device)
    columns = torch.arange(case.W, device=device) * 2 >= case.W
    lines = torch.arange(case.H, device=device) * 2 >= case.H
    region = 2 * lines.long()[:, None] + columns.long()
    looks = torch.empty(0)
    for t in range(case.T):
        if t % 16 == 0:
            looks = torch.randn(4, case.d, generator=generator, device=device)
        x[t] = looks[region] + noise * torch.randn(case.H, case.W, case.d, generator=generator, device=device)
    return x
