"""Cost of reading a vision encoder's signals beside the encoder itself: ``python -m stgraph.bench.speed.encoder_signals
-o rows.csv``.

Towers of real width with random weights, one frame (Qwen2.5-VL: two, which are one temporal patch). A block of each
kind is run, and its time is multiplied by how many blocks the tower has. Times are CPU time of all threads, which other
work on the machine changes little.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import process_time
from typing import Any

from stgraph.bench.speed.stages import machine
from stgraph.bench.speed.timing import rounds
from stgraph.bench.tables.writing import format_of, write
from stgraph.vlm.encoder_signals import ATTENTION_SIGNALS, OF_CLS, attention_signals

Row = dict[str, Any]


@dataclass(frozen=True)
class TowerCase:
    """A vision tower.

    Attributes
    ----------
    build : the tower with as few blocks as there are kinds, and the arguments of its forward pass
    blocks : the list of blocks in it
    counts : blocks of each kind that the whole tower runs up to the one whose attention is read
    length : tokens of one picture, L
    heads, channels : of its attention
    cls : whether it has a CLS token
    """

    name: str
    build: Callable[[], tuple[Any, dict[str, Any]]]
    blocks: Callable[[Any], Any]
    counts: tuple[int, ...]
    length: int
    heads: int
    channels: int
    cls: bool


def _pictures(kind: str, width: int, inner: int, side: int, patch: int) -> tuple[Any, dict[str, Any]]:
    import torch
    import transformers

    sizes = dict(hidden_size=width, intermediate_size=inner, num_hidden_layers=1, num_attention_heads=16)
    pair = kind == "InternVL"
    config = getattr(transformers, f"{kind}VisionConfig")(
        **sizes, image_size=[side, side] if pair else side, patch_size=[patch, patch] if pair else patch
    )
    tower = getattr(transformers, f"{kind}VisionModel")(config).eval()
    return tower, {"pixel_values": torch.randn(1, 3, side, side)}


def _qwen() -> tuple[Any, dict[str, Any]]:
    """One block of windows and one that sees a whole temporal patch of 28 x 52."""
    import torch
    from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel

    config = Qwen2_5_VLVisionConfig(
        depth=2, hidden_size=1280, intermediate_size=3420, num_heads=16, out_hidden_size=256, fullatt_block_indexes=[1]
    )
    tower = Qwen2_5_VisionTransformerPretrainedModel._from_config(config, attn_implementation="sdpa").eval()
    return tower, {"hidden_states": torch.randn(28 * 52, 3 * 2 * 14 * 14), "grid_thw": torch.tensor([[1, 28, 52]])}


def _inside(tower: Any) -> Any:
    """The blocks of a tower, which transformers 4 keeps one module deeper."""
    encoder = getattr(tower, "vision_model", tower).encoder
    return encoder.layers if hasattr(encoder, "layers") else encoder.layer


CASES = (
    TowerCase(
        "SigLIP so400m/14-384", partial(_pictures, "Siglip", 1152, 4304, 384, 14), _inside, (26,), 729, 16, 72, False
    ),
    TowerCase("CLIP L/14-336", partial(_pictures, "CLIP", 1024, 4096, 336, 14), _inside, (23,), 577, 16, 64, True),
    TowerCase(
        "InternViT-300M/14-448", partial(_pictures, "InternVL", 1024, 4096, 448, 14), _inside, (24,), 1025, 16, 64, True
    ),
    TowerCase("Qwen2.5-VL, 28 x 52", _qwen, lambda tower: tower.blocks, (28, 4), 1456, 16, 80, False),
)


def measure_encoder_signals(case: TowerCase, n_rounds: int = 9) -> list[Row]:
    """A row per signal: medians over rounds in which the tower's blocks and all signals take turns.

    Returns
    -------
    rows of ``signal_s``, ``tower_s`` (CPU time), ``share`` of the tower's time, ``peak_bytes`` that are allocated at
    once, and these over heads x 256 x L float32 values (``chunks``)
    """
    import torch

    tower, given = case.build()
    blocks = case.blocks(tower)
    query, key = (torch.randn(1, case.heads, case.length, case.channels) for _ in range(2))

    def run() -> float:
        starts: list[float] = []
        taken: list[float] = []
        handles = []
        for block in blocks:
            handles.append(block.register_forward_pre_hook(lambda *_: starts.append(process_time())))
            handles.append(block.register_forward_hook(lambda *_: taken.append(process_time() - starts[-1])))
        tower(**given)
        for handle in handles:
            handle.remove()
        return sum(count * seconds for count, seconds in zip(case.counts, taken, strict=True))

    def read(name: str) -> float:
        start = process_time()
        attention_signals({name}, query, key, case.channels**-0.5)
        return process_time() - start

    names = [name for name in ATTENTION_SIGNALS if case.cls or name not in OF_CLS]
    with torch.inference_mode():
        pieces = {"tower": run, **{name: partial(read, name) for name in names}}
        medians = rounds(pieces, n_rounds, lambda work: work())  # type: ignore[arg-type, return-value]
        peaks = {name: peak_bytes(partial(read, name)) for name in names}
    chunk = case.heads * 256 * case.length * 4
    shared = {"case": case.name, "n_tokens": case.length, "threads": torch.get_num_threads(), "machine": machine()}
    return [
        {
            **shared,
            "by": name,
            "signal_s": medians[name],
            "tower_s": medians["tower"],
            "share": medians[name] / medians["tower"],
            "peak_bytes": peaks[name],
            "chunks": peaks[name] / chunk,
        }
        for name in names
    ]


def peak_bytes(work: Callable[[], object]) -> int:
    """The most host memory that torch has allocated at once during ``work``, in bytes."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        work()
    alive = most = 0
    for event in found.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            most = max(most, alive)
    return most


def main(arguments: list[str] | None = None) -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default="encoder-signals.csv", help="row file: .csv, .json or .parquet")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    fmt = format_of(given.output, None) or "csv"
    torch.set_num_threads(given.threads)
    found: list[Row] = []
    for case in CASES:
        for row in measure_encoder_signals(case, given.rounds):
            found.append(row)
            sys.stdout.write(f"{row}\n")
        write(given.output, {"rows": found}, fmt)


if __name__ == "__main__":
    main()
