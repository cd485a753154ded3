"""``stgraph eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stgraph.cli import options


def command(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Checkpoint to evaluate: NAME_OR_PATH of a Hugging Face VLM.", show_default=False),
    ] = None,
    task: Annotated[
        Path | None,
        typer.Option("--task", help="Multiple-choice questions about local videos (.jsonl).", show_default=False),
    ] = None,
    selectors: Annotated[
        list[str] | None,
        typer.Option(
            "-s",
            "--selector",
            help="Selector; repeat. Also full: no compression, and blind: no video.  [default: full blind st-simdiff]",
            show_default=False,
        ),
    ] = None,
    ratios: Annotated[
        list[float] | None,
        typer.Option(
            "-r", "--retain-ratio", help="Share of tokens to keep; repeat.  [default: 0.3]", show_default=False
        ),
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "-b", "--backend", help="Community backend; repeat.  [default: lattice-components]", show_default=False
        ),
    ] = None,
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split", help="Splitter; repeat: tree, raster, redetect, native.  [default: tree]", show_default=False
        ),
    ] = None,
    tau_sim: options.TauSim = 0.8,
    tau_diff: options.TauDiff = "0.2",
    max_size: options.MaxSize = "sqrt",
    resolution: options.Resolution = 1.0,
    seed: options.Seed = 0,
    importance: options.Importance = "auto",
    protect_events: options.ProtectEvents = False,
    spatial: options.Spatial = True,
    temporal: options.Temporal = True,
    parameters: options.Parameters = None,
    frames: Annotated[
        int | None,
        typer.Option(
            "-n", "--frames", help="Frames to take of a video, evenly.  [default: 64]", show_default=False, min=1
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps", help="Frames to take a second instead; with --frames, so many at most.", show_default=False
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="Only the first questions, so many.", show_default=False, min=1)
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", help="float32, float16 or bfloat16; default: the checkpoint's.", show_default=False),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Where the model runs: cpu, cuda, cuda:1, ...", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Rows go to this file (.csv, .parquet, .jsonl); answers it holds are not computed again.",
            show_default=False,
        ),
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Replace the output file instead of going on.")] = False,
    fmt: Annotated[
        str | None,
        typer.Option("--format", help="csv, parquet or jsonl; by default a table, or the suffix of -o."),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Measure accuracy against the tokens kept; an interrupted evaluation goes on later.

    With --model and --task, a checkpoint answers local multiple-choice questions. Options from --backend to --param go
    to the selectors that know them.
    """
    from stgraph.cli.eval_task import evaluate
    from stgraph.errors import InputError

    if model is None and task is None:
        raise InputError(
            "`stgraph eval` without arguments is the synthetic probe, which is not in this version; name a checkpoint "
            "with --model and its questions with --task"
        )
    if model is None or task is None:
        raise InputError("--model and --task belong together; name a checkpoint and a file of questions")
    named = {
        "tau_sim": tau_sim,
        "tau_diff": options.tau_diff(tau_diff),
        "max_size": options.max_size(max_size),
        "resolution": resolution,
        "seed": seed,
        "importance": importance,
        "protect_events": protect_events,
        "spatial": spatial,
        "temporal": temporal,
    }
    axes = {
        "selectors": tuple(selectors or ()),
        "retain_ratios": tuple(ratios or ()),
        "backends": tuple(backends or ()),
        "splits": tuple(splits or ()),
    }
    plan = {
        **{name: values for name, values in axes.items() if values},
        "options": {
            **{name: value for name, value in named.items() if options.is_given(context, name)},
            **options.parameters(parameters or []),
        },
        "frames": 64 if frames is None and fps is None else frames,
        "fps": fps,
        "dtype": dtype,
    }
    evaluate(model, task, plan, limit=limit, device=device, output=output, fmt=fmt, restart=restart, quiet=quiet)
