"""Dumps of the bundled sample's frames with two more kinds of real features, for the study.

``python -m stgraph.bench.real_features DIR`` writes ``patches.safetensors`` (the weight-free descriptors that videos
get by default) and ``efficientnet.safetensors`` (a convolutional network's feature maps at stride 16), both on the
sample's grid of 40 x 16 x 16 tokens, and beside them the sample itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import stgraph
from stgraph.aliases import Array
from stgraph.bench.efficientnet_lite import PACKAGE, features, weights
from stgraph.tokens import VideoTokens
from stgraph.video.opening import need_av
from stgraph.video.patches import PatchEncoder

_KEPT = ("title", "source", "licence", "copyright", "fps", "frame_size")


def frames_of(tokens: VideoTokens) -> Array:
    """[T, h, w, 3] uint8: the pictures in a dump.

    Raises
    ------
    MissingDependencyError
        PyAV is not installed
    """
    av = need_av("reading the sample's pictures")
    return np.stack([_decoded(av, picture) for picture in _pictures(tokens)])


def _pictures(tokens: VideoTokens) -> Iterator[bytes]:
    whole, end = tokens.signals["frame_jpeg"].tobytes(), 0
    for length in tokens.signals["frame_jpeg_len"].tolist():
        start, end = end, end + length
        yield whole[start:end]


def _decoded(av: Any, picture: bytes) -> Array:
    coder: Any = av.CodecContext.create("mjpeg", "r")
    (frame,) = (frame for packet in (av.Packet(picture), None) for frame in coder.decode(packet))
    rgb: Array = frame.to_ndarray(format="rgb24")
    return rgb


def real_features(folder: Path) -> list[Path]:
    """Write the dumps into ``folder``, and return their paths.

    Raises
    ------
    MissingDependencyError
        torch, the package of weights, or PyAV is not installed
    """
    tensors = weights()
    sample = stgraph.sample()
    rgb = frames_of(sample)
    kinds = {
        "patches": (PatchEncoder(grid=(16, 16)).encode(rgb)[0], "patches"),
        "efficientnet": (features(rgb, tensors), f"EfficientNet-Lite0 of {PACKAGE}, stride 16"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "sample.safetensors"]
    sample.save(written[0])
    for name, (x, encoder) in kinds.items():
        metadata = {key: sample.metadata[key] for key in _KEPT} | {"encoder": encoder, "model": "none"}
        times = {key: sample.signals[key] for key in ("frame_time", "shot_cuts_s")}
        written.append(folder / f"{name}.safetensors")
        VideoTokens.from_array(x, signals=times, metadata=metadata).save(written[-1])
    return written


if __name__ == "__main__":
    for path in real_features(Path(sys.argv[1])):
        sys.stdout.write(f"{path}\n")
