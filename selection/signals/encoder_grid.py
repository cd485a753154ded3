"""Vision-encoder signals on the lattice of the LLM's tokens."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import GridError, InputError
from stgraph.selection.method import approximate
from stgraph.tokens import VideoTokens

# "pixel-shuffle" concatenates the patches of a square into one token: the token's signal is their mean.
POOLINGS = ("average", "max", "bilinear", "pixel-shuffle")

POOLED = "the encoder's signals are pooled to the tokens' grid"
PROJECTED = "merges the dump's features; the authors merge encoder features before the projector"


def on_lattice(tokens: VideoTokens, values: Array, name: str) -> Array:
    """Encoder values per token: per-patch values, pooled the way the features were.

    Parameters
    ----------
    values : [T, e] or [T, e, c], e encoder patches in raster order
    name : the signal's name, for errors

    Returns
    -------
    [T, H*W] or [T, H*W, c] float32, finite, read-only: it may be the signal itself

    Raises
    ------
    GridError
        e is not H*W, and the metadata do not state how the encoder's grid was pooled: ``encoder_grid`` [height, width]
    and ``pooling``, one of :data:`POOLINGS`
    InputError
        the value of a token is NaN or Inf (the first one is named)
    """
    placed = _pooled(tokens, values, name) if is_pooled(tokens, values) else values.astype(np.float32, copy=False)
    finite = np.isfinite(placed)
    if not finite.all():
        P = placed.shape[1]
        bad = int(np.argmin(finite.reshape(placed.shape[0] * P, -1).all(axis=1)))
        raise InputError(
            f"signal {name!r} holds NaN or Inf; the first bad token is {bad} (frame {bad // P}, patch {bad % P}). "
            "Extract the signal again, in float32 or bfloat16 if it overflowed"
        )
    shown = placed.view()
    shown.flags.writeable = False
    return shown


def is_pooled(tokens: VideoTokens, values: Array) -> bool:
    """Whether :func:`on_lattice` has to pool ``values`` ([T, e] or [T, e, c])."""
    return int(values.shape[1]) != tokens.grid.H * tokens.grid.W


def exactness(tokens: VideoTokens, n_patches: int, *others: str, merges: bool = False) -> str:
    """Exactness of a method defined on the encoder's own grid.

    Parameters
    ----------
    n_patches : e, encoder patches per frame
    others : further reasons
    merges : whether features are merged. The authors merge before the projector, so the result equals theirs only for a
        dump of the encoder's output: metadata ``pooling`` and ``projector`` both "none"
    """
    reasons = [POOLED] if n_patches != tokens.grid.H * tokens.grid.W else []
    if merges and not tokens.metadata.get("pooling") == tokens.metadata.get("projector") == "none":
        reasons.append(PROJECTED)
    return approximate(*reasons, *others)


def _pooled(tokens: VideoTokens, values: Array, name: str) -> Array:
    grid, e = tokens.grid, int(values.shape[1])
    height, width = tokens.metadata.get("encoder_grid") or (0, 0)
    pooling = tokens.metadata.get("pooling")
    if height * width != e or pooling not in POOLINGS:
        is_newline = e == grid.H * (grid.W - 1)
        newlines = "The encoder has no value for a newline: use newlines='out'. " if is_newline else ""
        raise GridError(
            f"signal {name!r} has {e} values per frame, but the grid has {grid.H} x {grid.W} tokens. {newlines}Say how "
            "the encoder's grid was pooled: metadata 'encoder_grid' [height, width] and 'pooling' "
            f"{', '.join(POOLINGS)} (they are {tokens.metadata.get('encoder_grid')} and {pooling!r})"
        )
    maps = values.reshape(grid.T, height, width, -1)
    if pooling == "bilinear":
        pooled = _weighted(maps, _linear(height, grid.H), _linear(width, grid.W))
    else:
        stride = _stride(height, width, grid.H, grid.W, name)
        if pooling in ("average", "pixel-shuffle"):
            pooled = _weighted(maps, _means(grid.H, stride), _means(grid.W, stride))
        else:
            pooled = _maxima(maps, grid.H, grid.W, stride)
    return pooled.reshape((grid.T, grid.H * grid.W, *values.shape[2:]))


def _stride(height: int, width: int, H: int, W: int, name: str) -> int:
    """The stride of an unpadded pooling from height x width to H x W."""
    stride = height // H
    if stride < 1 or (height // stride, width // stride) != (H, W):
        raise GridError(
            f"signal {name!r} lies on a {height} x {width} grid, which no stride pools to {H} x {W}; "
            "correct the metadata 'encoder_grid'"
        )
    return stride


def _means(size: int, stride: int) -> tuple[Array, Array]:
    """([size, stride], [size, stride]): the patches under each token along one axis, and their weights."""
    at = np.arange(size * stride).reshape(size, stride)
    return at, np.full(at.shape, 1 / stride)


def _linear(n: int, size: int) -> tuple[Array, Array]:
    """The same for linear interpolation at pixel centres, edges repeated (``align_corners=False``)."""
    at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    low = np.minimum(np.floor(at).astype(np.int64), max(n - 2, 0))
    part = at - low
    return np.stack([low, np.minimum(low + 1, n - 1)], axis=1), np.stack([1 - part, part], axis=1)


def _weighted(maps: Array, rows: tuple[Array, Array], columns: tuple[Array, Array]) -> Array:
    """[T*H*W, c]: weighted sums over the patches that rows and columns name; reads 16-bit values directly."""
    from stgraph.kernels.cpu.merge import weighted_sums

    T, height, width, _ = maps.shape
    patches = rows[0][:, None, :, None] * width + columns[0][None, :, None, :]
    weights = rows[1][:, None, :, None] * columns[1][None, :, None, :]
    n_tokens, each = patches.shape[0] * patches.shape[1], patches.shape[2] * patches.shape[3]
    frames = np.arange(T)[:, None] * (height * width)
    pointers = np.arange(T * n_tokens + 1) * each
    return weighted_sums(maps, pointers, (frames + patches.reshape(1, -1)).ravel(), np.tile(weights.ravel(), T))


def _maxima(maps: Array, H: int, W: int, stride: int) -> Array:
    shifted = (
        maps[:, i : i + H * stride : stride, j : j + W * stride : stride] for i in range(stride) for j in range(stride)
    )
    largest = next(shifted).astype(np.float32)
    for values in shifted:
        np.maximum(largest, values, out=largest)
    return largest
