"""Tokens of a video, straight from the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stgraph.errors import InputError
from stgraph.tokens import VideoTokens
from stgraph.video.dump import DEFAULT_FRAMES, Sampling, video_tokens
from stgraph.video.opening import need_av
from stgraph.vlm.encoder_source import EncoderSource, frame_encoder


def from_video(
    path: str | os.PathLike[str],
    *,
    frames: int | None = None,
    fps: float | None = None,
    encoder: str = "patches",
    grid: tuple[int, int] | None = None,
    layer: int | None = None,
    dtype: str | None = None,
    device: str | None = None,
    signals: Sequence[str] | None = None,
    thumbnails: bool = True,
    batch: int = 16,
) -> VideoTokens:
    """Decode a video, describe its frames, and return the tokens; as ``stgraph dump``, without writing a file.

    Nothing is cached between calls: save the tokens to avoid decoding again.

    Parameters
    ----------
    path : a video file that FFmpeg reads
    frames : number of frames, at the centres of equal spans; 64, or all if the video shows fewer
    fps : frames per second, from the first on, instead of ``frames``
    encoder : "patches", colour and gradient descriptors that need no weights, or "hf:NAME_OR_PATH", a vision backbone
    grid : (H, W), tokens per frame of the encoder "patches"; default 16 x 16
    layer, dtype, device, signals : of an "hf:" encoder, see :func:`stgraph.vlm.encoders.load_encoder`
    thumbnails : whether to include thumbnails of the frames, for pages and notebooks
    batch : frames per encoder batch

    Returns
    -------
    VideoTokens
        with the signals frame_time [T] (seconds) and, with ``thumbnails``, frame_jpeg; metadata name the file, the
        sampling and the encoder

    Raises
    ------
    MissingDependencyError
        PyAV (extra ``video``), or a package that an "hf:" encoder needs, is not installed
    InputError
        the file does not exist, is not a video or is damaged, or a parameter is out of range
    UnknownNameError
        no encoder has that name
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"path is {type(path).__name__}; give the path of a video file")
    if frames is not None and fps is not None:
        raise InputError(f"frames is {frames} and fps is {fps}; give one of them")
    if not isinstance(batch, int) or batch < 1:
        raise InputError(f"batch is {batch!r}; it must be an integer of at least 1")
    need_av("stgraph.from_video()")
    file = Path(path)
    if "://" in str(path):
        raise InputError(f"cannot read {path}: addresses are not opened; download the video, and give its path")
    if not file.exists():  # before an encoder is loaded for it
        raise InputError(f"cannot read {file}: it does not exist; give the path of a video file")
    options: dict[str, Any] = {"layer": layer, "dtype": dtype, "device": device, "signals": signals}
    source = EncoderSource(frame_encoder(encoder, grid=grid, **options), batch)
    default = DEFAULT_FRAMES if fps is None else None
    sampling = Sampling(n_frames=default if frames is None else frames, fps=fps, thumbnails=thumbnails)
    tokens, _ = video_tokens(file, source, sampling)
    return tokens
