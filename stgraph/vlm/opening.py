"""Opening tokens from a dump, a video file, or an array of features."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from stgraph import dump
from stgraph.aliases import Progress
from stgraph.array_files import read_array_file
from stgraph.errors import DumpFormatError, InputError
from stgraph.tokens import VideoTokens
from stgraph.video.cache import cached_tokens
from stgraph.video.dump import ANIMATIONS, DEFAULT_FRAMES, DUMP, SUFFIXES, Sampling
from stgraph.video.file_kind import kind_of
from stgraph.video.opening import need_av
from stgraph.vlm.encoder_source import EncoderSource, frame_encoder

_log = logging.getLogger("stgraph")
_BEGINNINGS = (b"\x1aE\xdf\xa3", b"GIF8", b"OggS", b"FLV\x01", b"\0\0\x01\xba", b"YUV4MPEG2")


def load(
    path: str | os.PathLike[str],
    query: str | os.PathLike[str] | None = None,
    *,
    encoder: str | None = None,
    frames: int | None = None,
    progress: Progress | None = None,
) -> VideoTokens:
    """The tokens of a dump, of a video file, or of an array of features.

    A dump (.safetensors) is memory-mapped: see :func:`stgraph.dump.load`. A video is decoded and its frames described;
    the result is cached (``stgraph cache``), so that the same call is fast next time. The default descriptors are
    colour and gradients: fine for a first look, but not what a VLM sees. An array (.npy, .npz, .pt, plain .safetensors)
    is read if it is clearly [T, H, W, d].

    Parameters
    ----------
    path : a dump, a video that FFmpeg reads, or an array file
    query : query file of a dump, with prompt-dependent signals, which take precedence over the video's own
    encoder : for a video: "patches" (the default; needs no weights), or "hf:NAME_OR_PATH", a vision backbone
    frames : for a video: number of frames; 64, or all if the video shows fewer
    progress : called while a video is read, with a label and the share of the work done, 0 to 1

    Raises
    ------
    DumpFormatError, DumpVersionError
        the file is missing, truncated, of another kind, or newer than this library
    GridError, FeatureError, InputError
        its tensors do not fit together, an array's axes are ambiguous, or a video cannot be read
    MissingDependencyError
        PyAV (extra ``video``), or a package that an "hf:" encoder or a .pt file needs, is not installed

    Examples
    --------
    >>> from importlib.resources import files
    >>> load(files("stgraph").joinpath("data", "bbb_dinov2s.safetensors")).grid.shape
    (40, 16, 16)
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"path is {type(path).__name__}; give the path of a dump, a video or an array")
    if is_video(path):
        if query is not None:
            raise InputError(f"query belongs to a token dump, but {path} is a video; make a dump with --prompt first")
        return _video_tokens(Path(path), encoder, frames, progress)
    if encoder is not None or frames is not None:
        named = "encoder" if encoder is not None else "frames"
        raise InputError(f"{named} belongs to videos, but {path} is not one; leave it out")
    tokens = None if query is not None else read_array_file(path)
    if tokens is None:
        _refuse_others(Path(path))
        tokens = dump.load(path, query)
    return tokens


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file counts as a video: by its name, or by its first bytes if the name is not telling.

    Raises
    ------
    InputError
        an address is given instead of a path
    """
    if "://" in str(path):
        raise InputError(f"cannot read {path}: addresses are not opened; download the file, and give its path")
    if Path(path).suffix.lower() in (*SUFFIXES, *ANIMATIONS):
        return True
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except (OSError, ValueError):
        return False
    if head[4:8] == b"ftyp":
        return kind_of(path) is None
    return head.startswith(_BEGINNINGS) or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")


def _video_tokens(path: Path, encoder: str | None, frames: int | None, progress: Progress | None) -> VideoTokens:
    if not path.exists():
        raise InputError(f"cannot read {path}: it does not exist; give the path of a video file")
    if path.is_dir():
        raise InputError(f"cannot read {path}: it is a folder; give the path of a video file")
    need_av(f"reading the video {path}")
    name = encoder or "patches"
    source = EncoderSource(frame_encoder(name))
    tokens, cached = cached_tokens(
        path, source, Sampling(n_frames=DEFAULT_FRAMES if frames is None else frames), progress
    )
    what = "read from the cache" if cached else "decoded and described"
    _log.info("%s: %d frames %s by the encoder %s; not features of a VLM", path, tokens.grid.T, what, name)
    return tokens


def _refuse_others(path: Path) -> None:
    """Raise for well-known kinds of files without tokens."""
    try:
        kind = kind_of(path) if path.suffix.lower() not in ("", DUMP) else None
    except (OSError, ValueError):
        return
    if kind is not None and kind.startswith("a"):
        raise DumpFormatError(
            f"cannot read {path}: it is {kind}; give a token dump, a video, or an array (.npy, .npz, .pt)"
        )
