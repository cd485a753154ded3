"""Shot changes between sampled frames, detected by picture change."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.video.patches import PatchEncoder

VERSION = 1
THRESHOLD = 0.4
"""Mean change of the cells from which on a new shot begins. In the bundled sample, at one frame per second, the eight
shot changes lie at 0.46 to 0.79 and all other steps at 0.37 or below."""
_GRID = (8, 8)


class ShotCuts:
    """Detects shot changes as frames pass by.

    Every frame is described on a grid of 8 x 8 cells by colour and gradients
    (:class:`stgraph.video.patches.PatchEncoder`), whatever encoder makes the tokens. Its change is the mean over the
    cells of 1 minus their cosine with the same cell of the frame before; above :data:`THRESHOLD` it is a shot change.
    Only hard cuts are detected: slow fades are missed, and between frames seconds apart a fast pan may count as a cut.
    """

    def __init__(self) -> None:
        self._encoder = PatchEncoder(grid=_GRID)
        self._before: tuple[float, Array] | None = None
        self._times: list[float] = []

    def add(self, seconds: float, rgb: Array) -> None:
        """Add the next frame, [h, w, 3] uint8, shown at ``seconds``."""
        cells = self._encoder.encode(rgb[None])[0][0]
        if self._before is not None:
            then, earlier = self._before
            if float(np.mean(1 - np.sum(cells * earlier, axis=-1))) > THRESHOLD:
                self._times.append((then + seconds) / 2)
        self._before = seconds, cells

    @property
    def times(self) -> Array:
        """[cuts] float64, seconds: halfway between the last frame of a shot and the first of the next."""
        return np.array(self._times, np.float64)
