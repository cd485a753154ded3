"""Procedural videos: a textured background, a shot cut or a pan, and objects that stay, move, change or appear
briefly."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from stgraph.aliases import Array
from stgraph.bench.probe.words import COLOURS, GROUNDS, SHAPES

FRAMES, SIZE, PATCH, SPRITE = 16, 48, 6, 12  # frames; pixels of a frame's side, of a patch's, of an object's
GRID = SIZE // PATCH
PAN = 8  # pixels the camera moves in a video that pans
SPEED = 2  # pixels per frame, of the moving object
_ROOM = SIZE - SPRITE  # the last place an object may start
_NOISE = 0.03

# Percent of red, green and blue, in the order of COLOURS and GROUNDS.
_COLOUR_RGB = np.array(
    ((90, 10, 10), (10, 80, 10), (15, 20, 95), (95, 90, 10), (90, 10, 90), (10, 90, 90), (100, 100, 100), (2, 2, 2)),
    np.float32,
) / np.float32(100)
_GROUND_RGB = np.array(
    ((45, 35, 30), (30, 45, 35), (30, 35, 50), (50, 48, 35), (48, 35, 50), (55, 55, 55)), np.float32
) / np.float32(100)


def _masks() -> Array:
    """[8, SPRITE, SPRITE] bool, in the order of :data:`SHAPES`."""
    y, x = np.mgrid[:SPRITE, :SPRITE]
    dy, dx = y - (SPRITE - 1) / 2, x - (SPRITE - 1) / 2
    radius = np.hypot(dy, dx)
    shapes = {
        "square": np.maximum(abs(dy), abs(dx)) < 5.2,
        "disc": radius < 6.0,
        "triangle": abs(dx) <= (y + 1) / 2,
        "plus": (abs(dx) < 2) | (abs(dy) < 2),
        "cross": (abs(dx - dy) < 2.3) | (abs(dx + dy) < 2.3),
        "ring": (radius < 6.2) & (radius > 3.2),
        "stripes": y % 4 < 2,
        "tee": (y < 4) | (abs(dx) < 2),
    }
    return np.stack([shapes[name] for name in SHAPES])


_MASKS = _masks()


@dataclass(frozen=True)
class Sight:
    """One object: its shape and colour (indices of :data:`SHAPES` and :data:`COLOURS`) and the frame it appears in."""

    shape: int
    colour: int
    start: int = 0


@dataclass(frozen=True, eq=False)
class Scene:
    """One video and its events.

    Attributes
    ----------
    frames : [T, SIZE, SIZE, 3] float32, about 0 to 1
    shapes, colours : [T, GRID, GRID] int64, of the object in a patch; one past the last index without an object
    grounds : [T, GRID, GRID] int64, background colour per patch
    quadrants : [2, 4] int64, background colours in the first and last frame
    still : two objects that do not move (except at a cut)
    mover, direction : an object that crosses the picture, and its direction, an index of ``words.DIRECTIONS``
    brief : two objects visible for one or two frames each
    repeated, times : an object that appears ``times`` times, for one frame each
    flashing, flash : index in ``still`` of the object that changes its colour for two frames, and that colour
    cut : first frame of the second shot; T without one
    """

    frames: Array
    shapes: Array
    colours: Array
    grounds: Array
    quadrants: Array
    still: tuple[Sight, Sight]
    mover: Sight
    direction: int
    brief: tuple[Sight, Sight]
    repeated: Sight
    times: int
    flashing: int
    flash: int
    cut: int


def make_scene(seed: int | tuple[int, ...], n_frames: int = FRAMES) -> Scene:
    """The video of a seed; the same on every machine.

    Parameters
    ----------
    seed : of :mod:`stgraph.bench.probe.splits`, which keeps training, development and test apart
    n_frames : 4 or more; the probe's own videos have :data:`FRAMES`
    """
    rng = np.random.default_rng(seed)
    T = n_frames
    cut = int(rng.integers(T // 4, T - T // 4 + 1)) if rng.random() < 0.5 else T
    quadrants = rng.integers(0, len(GROUNDS), (2, 4))
    if cut == T:
        quadrants[1] = quadrants[0]
    canvas = _Canvas(T, cut, quadrants, _pan(rng, T), rng)
    shapes = rng.permutation(len(SHAPES))[:6]
    colours = rng.integers(0, len(COLOURS), 6)
    places = [_apart(rng, canvas), _apart(rng, canvas)]
    if cut == T:
        places[1] = places[0]

    flashing, flash_start = int(rng.integers(0, 2)), int(rng.integers(1, T - 2))
    flash = int((colours[flashing] + rng.integers(1, len(COLOURS))) % len(COLOURS))
    direction, lane = int(rng.integers(0, 4)), int(rng.integers(0, _ROOM + 1))
    travel = SPEED * (T - 1)
    begin = int(rng.integers(0, _ROOM - travel + 1))
    onsets = rng.permutation(np.arange(1, T - 2))
    times = int(rng.integers(1, 5))
    starts = [int(onsets[i % len(onsets)]) for i in range(2)]
    stops = [start + int(rng.integers(1, 3)) for start in starts]
    repeats = rng.permutation(np.arange(1, T - 1))[:times]
    spots = rng.integers(0, _ROOM + 1, (2 + times, 2))

    for t in range(T):
        for i in range(2):
            y, x = places[int(t >= cut)][i] - canvas.offsets[t]
            changed = i == flashing and flash_start <= t < flash_start + 2
            canvas.draw(t, shapes[i], flash if changed else colours[i], y, x)
        along = begin + (SPEED * t if direction in (1, 3) else travel - SPEED * t)
        y, x = (along, lane) if direction < 2 else (lane, along)
        canvas.draw(t, shapes[2], colours[2], y, x)
        for i in range(2):
            if starts[i] <= t < stops[i]:
                canvas.draw(t, shapes[3 + i], colours[3 + i], *spots[i])
    for t, spot in zip(repeats, spots[2:], strict=False):
        canvas.draw(int(t), shapes[5], colours[5], *spot)
    _light(canvas.frames, rng)

    seen = [Sight(int(shape), int(colour)) for shape, colour in zip(shapes, colours, strict=True)]
    brief = tuple(Sight(s.shape, s.colour, start) for s, start in zip(seen[3:5], starts, strict=True))
    return Scene(
        frames=canvas.frames,
        shapes=canvas.shapes,
        colours=canvas.colours,
        grounds=canvas.grounds,
        quadrants=quadrants,
        still=(seen[0], seen[1]),
        mover=seen[2],
        direction=direction,
        brief=(brief[0], brief[1]),
        repeated=seen[5],
        times=len(repeats),
        flashing=flashing,
        flash=flash,
        cut=cut,
    )


@dataclass(eq=False)
class _Canvas:
    """The frames being painted, and the contents of each patch."""

    n_frames: int
    cut: int
    quadrants: Array
    offsets: Array
    rng: np.random.Generator
    frames: Array = field(init=False)
    shapes: Array = field(init=False)
    colours: Array = field(init=False)
    grounds: Array = field(init=False)

    def __post_init__(self) -> None:
        T, side = self.n_frames, SIZE + PAN
        self.frames = np.empty((T, SIZE, SIZE, 3), np.float32)
        self.shapes = np.full((T, GRID, GRID), len(SHAPES), np.int64)
        self.colours = np.full((T, GRID, GRID), len(COLOURS), np.int64)
        self.grounds = np.empty((T, GRID, GRID), np.int64)
        texture = self.rng.standard_normal((2, side // 4, side // 4, 3)).astype(np.float32)
        middle = np.arange(GRID) * PATCH + PATCH // 2
        half = (np.arange(side) >= side // 2).astype(np.intp)
        for shot, (start, stop) in enumerate(((0, self.cut), (self.cut, T))):
            colours = self.quadrants[shot].reshape(2, 2)[half[:, None], half]
            picture = _GROUND_RGB[colours] + 0.05 * texture[shot].repeat(4, 0).repeat(4, 1)
            for t in range(start, stop):
                y, x = self.offsets[t]
                self.frames[t] = picture[y : y + SIZE, x : x + SIZE]
                self.grounds[t] = colours[(middle + y)[:, None], middle + x]

    def draw(self, t: int, shape: int, colour: int, y: int, x: int) -> None:
        """Paint one object with its upper left corner at pixel (y, x)."""
        self.frames[t, y : y + SPRITE, x : x + SPRITE][_MASKS[shape]] = _COLOUR_RGB[colour]
        rows, columns = _covered(int(y)), _covered(int(x))
        for gy, height in rows:
            for gx, width in columns:
                if height * width >= 12:  # a third of a patch
                    self.shapes[t, gy, gx], self.colours[t, gy, gx] = shape, colour


def _covered(start: int) -> list[tuple[int, int]]:
    """Patches along one axis touched by an object at ``start``, with the pixels it covers in each."""
    patches = range(start // PATCH, (start + SPRITE - 1) // PATCH + 1)
    return [(p, min((p + 1) * PATCH, start + SPRITE) - max(p * PATCH, start)) for p in patches]


def _pan(rng: np.random.Generator, n_frames: int) -> Array:
    """[T, 2] int64: origin of the picture on the larger background; a quarter of the videos pan."""
    offsets = np.zeros((n_frames, 2), np.int64)
    axis, back = int(rng.integers(0, 2)), bool(rng.integers(0, 2))
    if rng.random() < 0.25:
        path = np.arange(n_frames) * PAN // (FRAMES - 1)
        offsets[:, axis] = path[::-1] if back else path
    return offsets


def _apart(rng: np.random.Generator, canvas: _Canvas) -> Array:
    """[2, 2]: two non-overlapping places on the background that stay in the picture while it pans."""
    low = canvas.offsets.max(0)
    while True:
        first, second = rng.integers(low, _ROOM + 1, (2, 2))
        if abs(first - second).max() >= SPRITE:
            return np.stack([first, second])


def _light(frames: Array, rng: np.random.Generator) -> None:
    """Add noise to every pixel and a slow drift of the brightness, in place."""
    T = len(frames)
    noise = _noise()
    start = int(rng.integers(0, noise.size - frames.size))
    frames += noise[start : start + frames.size].reshape(frames.shape)
    phase = 2 * np.pi * (np.arange(T) / FRAMES * rng.uniform(0.5, 2) + rng.random())
    frames *= (1 + 0.03 * np.sin(phase)).astype(np.float32)[:, None, None, None]


@lru_cache(maxsize=1)
def _noise() -> Array:
    """Gaussian noise to crop from; drawing it anew for each video would dominate the time."""
    values = np.random.default_rng(7).standard_normal(4_000_000).astype(np.float32)
    return values * np.float32(_NOISE)
