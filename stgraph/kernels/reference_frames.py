"""Reference frames: which frame each frame is compared with, checked for both engines."""

from __future__ import annotations

from stgraph.aliases import Array
from stgraph.errors import InputError


def check_reference(reference: Array, n_frames: int) -> None:
    """Raise InputError unless ``reference`` has one frame per frame, or -1 for none."""
    if reference.shape != (n_frames,) or reference.min() < -1 or reference.max() >= n_frames:
        raise InputError(
            f"reference frames are {reference.tolist()}; expected {n_frames} integers from -1 to {n_frames - 1}"
        )
