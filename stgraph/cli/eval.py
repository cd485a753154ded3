"""``stgraph eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
            help="Selector; repeat. With --model also full: no compression, and blind: no video.  "
            "[default: full blind st-simdiff; of the probe: eight]",
            show_default=False,
        ),
    ] = None,
    ratios: Annotated[
        list[float] | None,
        typer.Option(
            "-r",
            "--retain-ratio",
            help="Share of tokens to keep; repeat.  [default: 0.3; of the probe: 0.05 to 0.5]",
            show_default=False,
        ),
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "-b",
            "--backend",
            help="Community backend; repeat.  [default: lattice-components; of the probe: with Louvain and Leiden]",
            show_default=False,
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
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="Probe: the paper's ablation or sweep beside its own figures: table-3, table-5, figure-5-tau-sim, "
            "figure-5-tau-diff, figure-6-tau-sim, figure-6-tau-diff.",
            show_default=False,
        ),
    ] = None,
    n_questions: Annotated[
        int | None,
        typer.Option("--questions", help="Probe: at least so many.  [default: 2000]", show_default=False, min=1),
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--features",
            help="Probe: what the graph is built on; repeat: projector, projector-centred, encoder.  "
            "[default: projector]",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option("--weights", help="Probe: model; repeat, or all.  [default: the first]", show_default=False),
    ] = None,
    videos: Annotated[
        str | None,
        typer.Option(
            "--videos", help="Probe: test, or dev, on which to choose thresholds.  [default: test]", show_default=False
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option("--study", help="Probe: the whole study of clusterings, into this folder.", show_default=False),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Measure accuracy against the tokens kept; an interrupted evaluation goes on later.

    Without --model: the synthetic probe, a tiny video VLM that answers questions about procedural videos. With --model
    and --task, a checkpoint answers local multiple-choice questions. Options from --backend to --param go to the
    selectors that know them.
    """
    from stgraph.errors import InputError

    of_task: dict[str, Any] = {"--frames": frames, "--fps": fps, "--limit": limit, "--dtype": dtype, "--device": device}
    of_probe: dict[str, Any] = {
        "--preset": preset,
        "--questions": n_questions,
        "--features": features,
        "--weights": weights,
    }
    of_probe |= {"--videos": videos, "--study": study}
    if (model is None) != (task is None):
        raise InputError("--model and --task belong together; name a checkpoint and a file of questions")
    for name, value in (of_task if model is None else of_probe).items():
        if value is not None:
            belongs = "a checkpoint: name it with --model" if model is None else "the probe: leave out --model"
            raise InputError(f"{name} belongs to {belongs}")
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
    given = {
        **{name: value for name, value in named.items() if options.is_given(context, name)},
        **options.parameters(parameters or []),
    }
    axes: dict[str, Any] = {
        "selectors": tuple(selectors or ()),
        "retain_ratios": tuple(ratios or ()),
        "backends": tuple(backends or ()),
        "splits": tuple(splits or ()),
    }
    common: dict[str, Any] = {"output": output, "fmt": fmt, "restart": restart, "quiet": quiet}
    if model is None or task is None:
        from stgraph.cli import eval_probe

        asked = eval_probe.Asked(
            **axes,
            options=given,
            features=tuple(features or ()),
            weights=tuple(weights or ()),
            videos=videos,
            n_questions=n_questions,
            preset=preset,
        )
        if study is not None:
            eval_probe.evaluate_study(study, asked, **common)
        else:
            eval_probe.evaluate(asked, **common)
        return
    from stgraph.cli.eval_task import evaluate

    plan = {
        **{name: values for name, values in axes.items() if values},
        "options": given,
        "frames": 64 if frames is None and fps is None else frames,
        "fps": fps,
        "dtype": dtype,
    }
    evaluate(model, task, plan, limit=limit, device=device, **common)
