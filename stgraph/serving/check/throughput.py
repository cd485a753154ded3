"""Requests per second with and without pruning, at several concurrencies, on the installed engine.

Two servers run side by side, one unchanged and one that prunes, and are asked in turn, in alternating order, so that
other load affects both. Text-only prompts, as long as those with a video, show the language model's part of the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter, process_time
from typing import Any

from stgraph.aliases import Progress
from stgraph.errors import UnavailableError
from stgraph.grid import TokenGrid
from stgraph.serving.check.checkpoint import PROPORTIONED, write_checkpoint
from stgraph.serving.check.families import FAMILIES
from stgraph.serving.check.plans import overrides
from stgraph.serving.check.prompts import Medium
from stgraph.serving.check.server import ask, mp4, serving
from stgraph.serving.settings import Settings

CONCURRENCIES = (1, 4, 16)
N_REQUESTS = {1: 4, 4: 8, 16: 16}
ANSWER = 8  # tokens
CLIP: dict[str, Any] = {"T": 16, "H": 224, "W": 224}
N_VIDEO = 8 * 8 * 8  # tokens of such a clip


def measure(folder: Path, selector: str, rate: float, n_rounds: int, told: Progress) -> list[dict[str, Any]]:
    """One row per concurrency: seconds per request, medians over rounds, their ratios, and one selection's CPU seconds.

    Parameters
    ----------
    folder : for the checkpoint: random weights in the proportions of the 7B model
    """
    checkpoint = folder / "proportioned"
    write_checkpoint(checkpoint, size=PROPORTIONED)
    n_kept = int(N_VIDEO * (1 - rate))
    common = ("--max-num-seqs", str(max(CONCURRENCIES)), "--no-enable-prefix-caching")
    rows = []
    with ExitStack() as stack:
        told("servers", 0.0)
        log = stack.enter_context((folder / "servers.log").open("w", encoding="utf-8"))
        plain = stack.enter_context(serving(str(checkpoint), {}, *common, log=log))
        pruned = stack.enter_context(
            serving(str(checkpoint), overrides("qwen2_5_vl", selector, rate), *common, log=log)
        )
        kinds: Mapping[str, tuple[str, int | None]] = {
            "video": (plain, None),
            "video_pruned": (pruned, None),
            "text_as_long": (plain, N_VIDEO),
            "text_as_pruned": (plain, n_kept),
        }
        seed = 0
        for address in (plain, pruned):
            ask(address, [mp4(Medium(**CLIP, seed=seed))], ANSWER)
        for i, concurrency in enumerate(CONCURRENCIES):
            times: dict[str, list[float]] = {kind: [] for kind in kinds}
            for j in range(n_rounds):
                told(f"concurrency {concurrency}", (i + j / n_rounds) / len(CONCURRENCIES))
                urls = [mp4(Medium(**CLIP, seed=seed + k + 1)) for k in range(N_REQUESTS[concurrency])]
                seed += len(urls)
                ordered = list(kinds.items())
                for kind, (address, length) in reversed(ordered) if j % 2 else ordered:
                    times[kind].append(_round(address, urls, length, concurrency, seed))
            rows.append(_row(concurrency, times, selector, rate))
    seconds = selection_seconds(selector, rate)
    return [{**row, "selection_cpu_s": seconds} for row in rows]


def selection_seconds(selector: str, rate: float, n_rounds: int = 30) -> float:
    """CPU seconds, over all threads, of one selection as made by the server for such a clip: the median after a first
    call, which compiles. Other load hardly matters."""
    import torch

    settings, grid = Settings.of({"selector": selector}), TokenGrid(*FAMILIES["qwen2_5_vl"].grid(Medium(**CLIP)))
    features = torch.randn(grid.n_nodes, PROPORTIONED.hidden, generator=torch.Generator().manual_seed(0))
    taken = []
    for _ in range(n_rounds + 1):
        start = process_time()
        settings.keep(features, grid, settings.n_keep(grid, rate))
        taken.append(process_time() - start)
    return median(taken[1:])


def _round(address: str, urls: list[str], length: int | None, concurrency: int, seed: int) -> float:
    """Seconds per request, each with a video, or with text of ``length`` tokens instead."""
    random = Random(seed)
    texts = ["".join(random.choices("abcdefgh", k=length)) for _ in urls] if length else []

    def one(k: int) -> dict[str, Any]:
        return ask(address, [], ANSWER, text=texts[k]) if texts else ask(address, [urls[k]], ANSWER)

    start = perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        answers = list(pool.map(one, range(len(urls))))
    seconds = (perf_counter() - start) / len(urls)
    for answer in answers:
        if "status" in answer:
            raise UnavailableError(f"the server answered {answer}")
    return seconds


def _row(concurrency: int, times: dict[str, list[float]], selector: str, rate: float) -> dict[str, Any]:
    ratios = [a / b for a, b in zip(times["video"], times["video_pruned"], strict=True)]
    middle = {kind: median(values) for kind, values in times.items()}
    return {
        "selector": selector,
        "rate": rate,
        "concurrency": concurrency,
        "n_rounds": len(ratios),
        **{f"{kind}_s": value for kind, value in middle.items()},
        "speedup": median(ratios),
        "speedup_low": min(ratios),
        "speedup_high": max(ratios),
        "language_model_share": middle["text_as_long"] / middle["video"],
    }
