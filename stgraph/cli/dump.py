"""``stgraph dump``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options, results

EXAMPLES = """
stgraph dump clip.mp4 -o clip.safetensors --frames 64
stgraph dump videos/ -o dumps/ --encoder hf:facebook/dinov2-small
"""


def command(
    video: Annotated[Path, typer.Argument(help="A video file, or a folder of them.", metavar="VIDEO|DIR")],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Dump to write (.safetensors); for a folder of videos, a folder."),
    ],
    n_frames: Annotated[
        int | None,
        typer.Option("-n", "--frames", help="Frames to take, at the centres of equal spans.  [default: 64]"),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option("--fps", help="Frames per second, from the first on, instead of --frames."),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option("-e", "--encoder", help="patches (needs no weights), or hf:NAME_OR_PATH of a vision backbone."),
    ] = "patches",
    grid: Annotated[
        str | None,
        typer.Option("--grid", help="Height x width of the encoder patches, in tokens.  [default: 16x16]"),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers",
            help="Layers to read. hf:NAME: the hidden state that becomes the features, 0 embeddings, -1 last block; "
            "default: output. --model: decoder layers for llm_* signals, as 1,2,13; default: all.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Dump the tokens that this VLM's language model receives: NAME_OR_PATH."),
    ] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", help="Question for the VLM, for LLM signals.")] = None,
    signals: Annotated[
        str | None,
        typer.Option(
            "--signals",
            help="Signals to add, separated by commas:  enc_cls_attn, enc_recv_attn, enc_keys_mean, enc_keys_full, "
            "prumerge_cls_attn, enc_features, pool_attn, pool_feature, importance, text_embeds, llm_attn_last, "
            "llm_attn_text, llm_attn_text_even, llm_attn_text_sum, llm_attn_visual_mean, llm_attn_textmax, llm_keys, "
            "llm_hidden.",
        ),
    ] = None,
    pool_head: Annotated[
        str | None,
        typer.Option(
            "--pool-head",
            help="SigLIP checkpoint with the pooling head for pool_attn and pool_feature; default: the VLM's own.",
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", help="float32, float16 or bfloat16 for networks; default: the checkpoint's."),
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="Device for networks: cpu, cuda, cuda:1, ...")] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Frames per encoder batch.")] = 16,
    thumbnails: Annotated[
        bool, typer.Option("--frames-jpeg/--no-frames-jpeg", help="Add thumbnails of the frames.")
    ] = True,
    quiet: options.Quiet = False,
) -> None:
    """Turn a video, or all videos in a folder, into token dumps; existing dumps are left unchanged."""
    from stgraph.errors import InputError
    from stgraph.video.dump import DEFAULT_FRAMES, Sampling, check_dump_name, dump_folder, dump_video
    from stgraph.video.opening import need_av

    if n_frames is not None and fps is not None:
        raise InputError("--frames and --fps exclude each other; give one")
    default = DEFAULT_FRAMES if fps is None else None
    sampling = Sampling(n_frames=default if n_frames is None else n_frames, fps=fps, thumbnails=thumbnails)
    if "://" in options.address(video):
        raise InputError(
            f"cannot read {options.address(video)}: addresses are not opened; download it, and give its path"
        )
    if not video.exists():
        raise InputError(f"cannot read {video}: it does not exist; give the path of a video or of a folder of them")
    if not video.is_dir():
        target = output / f"{video.stem}.safetensors" if output.is_dir() else output
        check_dump_name(target)
    need_av()
    named = {"dtype": dtype, "device": device, "signals": _names(signals)}
    if model is None:
        if prompt is not None or pool_head is not None:
            raise InputError("--prompt and --pool-head belong to --model; name a VLM")
        source = _encoder_source(encoder, grid, batch, {**named, "layer": _hidden_state(layers)})
    else:
        if encoder != "patches" or grid is not None:
            raise InputError("--encoder and --grid exclude --model, which brings its own encoder")
        source = _model_source(model, prompt, {**named, "llm_layers": _decoder_layers(layers), "pool_head": pool_head})
    with results.resumable(), options.progress_bar(quiet) as progress:
        if not video.is_dir():
            written = dump_video(video, target, source, sampling, progress)
        else:
            report = dump_folder(video, output, source, sampling, progress)
    if not video.is_dir():
        if not quiet:
            _tell(target, written, source)
            _tell_of_fewer([target], n_frames)
        return
    if not quiet:
        typer.echo(
            f"{len(report.made)} dumps written to {output}, {len(report.present)} already there, "
            f"{len(report.failed)} failed"
        )
        _tell_of_fewer([*report.made, *report.present], n_frames)
        results.tell_left_out(report.left_out)
    for reason in dict.fromkeys(report.failed.values()):  # videos with the same name share a dump
        typer.echo(f"error: {options.printable(reason)}", err=True)
    if report.failed:
        raise typer.Exit(1)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _hidden_state(text: str | None) -> int | None:
    from stgraph.errors import InputError

    if text is not None and not text.removeprefix("-").isdecimal():
        raise InputError(f"--layers is {text!r}; with an encoder it names one hidden state, such as -1")
    return None if text is None else int(text)


def _decoder_layers(text: str | None) -> tuple[int, ...] | None:
    from stgraph.errors import InputError

    names = _names(text)
    if names is None:
        return None
    if not names or not all(name.isdecimal() for name in names):
        raise InputError(f"--layers is {text!r}; with --model write decoder layers separated by commas, such as 1,2,13")
    return tuple(int(name) for name in names)


def _encoder_source(encoder: str, grid: str | None, batch: int, named: dict[str, Any]) -> Any:
    from stgraph.errors import InputError
    from stgraph.vlm.encoder_source import EncoderSource, frame_encoder

    size = None
    if grid is not None:
        height, _, width = grid.lower().partition("x")
        if not (height.isdecimal() and width.isdecimal()):
            raise InputError(f"--grid is {grid!r}; write height x width, such as 16x16")
        size = (int(height), int(width))
    return EncoderSource(frame_encoder(encoder, grid=size, **named), batch)


def _model_source(model: str, prompt: str | None, named: dict[str, Any]) -> Any:
    from stgraph.vlm.model_dump import load_model_source

    return load_model_source(model, prompt=prompt, **{key: value for key, value in named.items() if value is not None})


def _tell(target: Path, written: bool, source: Any) -> None:
    import stgraph
    from stgraph.video.dump import query_path

    if not written:
        typer.echo(f"Nothing to do: {target} already holds this video with these settings")
        return
    typer.echo(f"Wrote {target}: {stgraph.load(target)}")
    if source.settings.get("query"):
        typer.echo(f"Wrote {query_path(target)}: the prompt-dependent signals; pass it with --query")


def _tell_of_fewer(dumps: list[Path], asked: int | None) -> None:
    """One line for the dumps of videos that show fewer frames than ``--frames`` asked for."""
    from stgraph import container

    if asked is None:
        return
    counts = [container.read(path, "tokens")[1]["n_frames"] for path in dumps]
    fewer = [count for count in counts if count < asked]
    if not fewer:
        return
    if len(dumps) == 1:
        typer.echo(f"The video shows {fewer[0]} frames, fewer than the {asked} of --frames: each was taken once")
    else:
        typer.echo(
            f"{len(fewer)} of {len(dumps)} videos show fewer frames than the {asked} of --frames: each was taken once"
        )
