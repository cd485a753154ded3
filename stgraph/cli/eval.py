"""``stgraph eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options
from stgraph.cli.method_options import COMMUNITIES, REDUCTION, takes_method

EXAMPLES = """
stgraph eval --model NAME_OR_PATH --task questions.jsonl -o rows.csv
stgraph eval --model NAME_OR_PATH --task questions.jsonl -s full -s evs -r 0.1 -r 0.3
"""
_AXES = {"selector": "selectors", "retain_ratio": "retain_ratios", "backend": "backends", "split": "splits"}


@takes_method(
    *COMMUNITIES,
    *REDUCTION,
    "param",
    repeatable={
        "selector": "full blind st-simdiff; full: no compression, blind: no video, downsampled: smaller frames",
        "retain_ratio": "0.3",
        "backend": "lattice-components",
        "split": "tree",
    },
)
def command(
    model: Annotated[
        str | None, typer.Option("--model", help="Checkpoint to evaluate: NAME_OR_PATH of a Hugging Face VLM.")
    ] = None,
    task: Annotated[
        Path | None, typer.Option("--task", help="Multiple-choice questions about local videos (.jsonl).")
    ] = None,
    frames: Annotated[
        int | None, typer.Option("-n", "--frames", help="Frames per video, evenly spaced.  [default: 64]", min=1)
    ] = None,
    fps: Annotated[float | None, typer.Option("--fps", help="Frames per second; --frames is then the maximum.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="Ask only this many questions, from the first on.", min=1)
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="float32, float16 or bfloat16; default: the checkpoint's.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="Device for the model: cpu, cuda, cuda:1, ...")] = None,
    pooling: options.Pooling = None,
    output: options.RowFile = None,
    restart: options.Restart = False,
    fmt: options.RowFormat = None,
    quiet: options.Quiet = False,
    *,
    method: dict[str, Any],
) -> None:
    """Ask a checkpoint multiple-choice questions, in full, blind and compressed; an interrupted run resumes.

    Method options go to the selectors that accept them.
    """
    from stgraph.cli.eval_task import evaluate
    from stgraph.errors import InputError

    if model is None and task is None:
        raise InputError(
            "stgraph eval asks a checkpoint: name it with --model, and a file of questions with --task. The synthetic "
            "probe, which needs neither, is `stgraph probe`"
        )
    if model is None or task is None:
        raise InputError("--model and --task belong together; name a checkpoint and a file of questions")
    plan = {
        **{plural: method.pop(name) for name, plural in _AXES.items() if name in method},
        "options": method,
        "frames": 64 if frames is None and fps is None else frames,
        "fps": fps,
        "dtype": dtype,
        "pooling": pooling,
    }
    evaluate(model, task, plan, limit=limit, device=device, output=output, fmt=fmt, restart=restart, quiet=quiet)
