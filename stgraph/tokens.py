"""Visual tokens of a video: features, grid, signals, metadata."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgraph import notebook_html as fragments
from stgraph.aliases import Array
from stgraph.arrays import answer, to_numpy
from stgraph.devices import beside, dtype_name, feature_array, is_tensor, to_device, to_host
from stgraph.errors import FeatureError, GridError, InputError, MissingSignalError
from stgraph.grid import TokenGrid, grid_of
from stgraph.signals import check_signals, is_per_patch
from stgraph.spelling import Spelled


@dataclass(frozen=True, eq=False)
class VideoTokens(Spelled):
    """Visual tokens of one video, as an LLM would see them.

    ``len`` is the number of tokens, newlines and separators included; iteration and ``np.asarray`` give their features
    in sequence order, [n, d]. ``tokens.lattice`` goes frame by frame.

    Parameters
    ----------
    features : [n, d] or [T, H, W, d] float32, float16 or bfloat16
        one row per visual token in sequence order, including newlines and separators; 4-D only if all are patches. On a
        GPU they stay there, as a torch tensor, and computation runs there where possible
    grid : TokenGrid
        the rows that are patches, and the lattice they form
    signals : mapping of name -> array
        inputs of methods beyond the graph (attention, keys, frame thumbnails), in host memory; see
        :data:`stgraph.signals.SIGNALS`
    metadata : mapping
        origin of the tokens: model, encoder, frame sampling, licence

    Raises
    ------
    FeatureError, GridError, InputError
        the features, grid or signals do not fit together
    """

    features: Any
    grid: TokenGrid
    signals: Mapping[str, Array] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.grid, TokenGrid):
            raise GridError(f"grid is {type(self.grid).__name__}; pass a TokenGrid(T, H, W)")
        x = feature_array(self.features)
        if x.ndim == 4 and x.shape[:3] != self.grid.shape:
            raise GridError(f"features have shape {tuple(x.shape)} but the grid is {self.grid}")
        if x.ndim not in (2, 4):
            raise FeatureError(f"features have shape {tuple(x.shape)}; expected [n, d] or [T, H, W, d]")
        n_rows = int(np.prod(x.shape[:-1]))
        if n_rows != self.grid.n_tokens:
            raise GridError(
                f"{n_rows:,} features but grid {self.grid} has {self.grid.n_tokens:,} tokens "
                f"({n_rows - self.grid.n_tokens:+,}: are newline or separator tokens included?)"
            )
        object.__setattr__(self, "features", x)
        sizes = {"T": self.grid.T, "H": self.grid.H, "W": self.grid.W, "n": n_rows, "d": x.shape[-1]}
        if not all(isinstance(a, np.ndarray) for a in self.signals.values()):
            named = {name: to_numpy(a, f"signal {name!r}") for name, a in self.signals.items()}
            object.__setattr__(self, "signals", named)
        check_signals({name: (a.shape, str(a.dtype)) for name, a in self.signals.items()}, sizes)

    @classmethod
    def from_array(
        cls,
        x: Any,
        *,
        grid: TokenGrid | tuple[int, ...] | None = None,
        importance: Any | None = None,
        signals: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> VideoTokens:
        """Tokens from an array: any DLPack producer, any strides, not copied if NumPy or the GPU can address it.

        Parameters
        ----------
        x : [T, H, W, d] float32, float16 or bfloat16; with ``grid`` also [T, H*W, d], as output by vision towers, or
            [T*H*W, d], both in raster order
        grid : (H, W), (T, H, W) or a TokenGrid; the last also if newlines and separators are among [n, d]
        importance : [T, H, W], [T, H*W] or [N], optional
            attention of the last prompt token to each visual token

        Raises
        ------
        FeatureError
            another rank, dtype, or an empty axis
        GridError
            the grid does not fit the array

        Examples
        --------
        >>> import numpy as np
        >>> VideoTokens.from_array(np.ones((2, 3, 4, 8), dtype=np.float32))
        VideoTokens(2x3x4, 24 tokens of dimension 8, float32)
        >>> VideoTokens.from_array(np.ones((2, 12, 8), dtype=np.float32), grid=(3, 4))
        VideoTokens(2x3x4, 24 tokens of dimension 8, float32)
        """
        features = feature_array(x)
        grid = grid_of(tuple(features.shape), grid)
        if features.ndim == 3:
            features = features.reshape(*(grid.shape if grid.kind is None else (-1,)), features.shape[-1])
        named = {name: to_numpy(a, f"signal {name!r}") for name, a in (signals or {}).items()}
        if importance is not None:
            values = to_host(importance) if is_tensor(importance) else to_numpy(importance, "importance")
            if values.shape not in (grid.shape, (grid.T, grid.H * grid.W), (grid.n_nodes,)):
                raise GridError(f"importance has shape {values.shape}; expected {list(grid.shape)} or [{grid.n_nodes}]")
            named["importance"] = values.reshape(grid.shape).astype(np.float32, copy=False)
        return cls(features, grid, named, dict(metadata or {}))

    @property
    def on_gpu(self) -> bool:
        """Whether the features lie on a GPU."""
        return is_tensor(self.features)

    @property
    def device(self) -> str:
        """Where the features lie: "cpu", "cuda:0", ..."""
        return str(self.features.device)

    def to(self, device: Any) -> VideoTokens:
        """The same tokens with their features on ``device``: "cuda", "cuda:1", ...; "cpu" for host memory.

        Raises
        ------
        UnavailableError
            no such device here
        """
        return VideoTokens(to_device(self.features, device), self.grid, self.signals, self.metadata)

    @property
    def lattice(self) -> Any:
        """[T, H, W, d]: the patch tokens, a view of the features where strides allow."""
        if self.features.ndim == 4:
            return self.features
        shape = (*self.grid.shape, self.dimension)
        if self.grid.kind is None:
            return self.features.reshape(shape)
        return _strided_lattice(self.features, self.grid, shape)

    def with_newline_column(self) -> VideoTokens:
        """The same tokens on the grid in which newlines are nodes (:meth:`TokenGrid.with_newline_column`), without the
        signals that have one value per patch and none for newlines."""
        signals = {name: values for name, values in self.signals.items() if not is_per_patch(name)}
        return VideoTokens(self.features, self.grid.with_newline_column(), signals, self.metadata)

    @property
    def dimension(self) -> int:
        """d, the length of one feature."""
        return int(self.features.shape[-1])

    @property
    def dtype(self) -> str:
        """Name of the features' dtype: float32, float16 or bfloat16."""
        return dtype_name(self.features)

    def signal(self, name: str, needed_by: str = "this method") -> Array:
        """The signal ``name``; if missing, an error that names the method that needs it and the signals there are."""
        if name not in self.signals:
            have = ", ".join(self.signals) or "none"
            for part in getattr(self.signals, "maps", (self.signals,)):  # from a query file, and from the dump
                if why := getattr(part, "unread", {}).get(name):
                    raise MissingSignalError(f"{needed_by} needs the signal {name!r}, which cannot be read: {why}")
            raise MissingSignalError(
                f"{needed_by} needs the signal {name!r}, which these tokens do not carry (they have: {have}). "
                f"Pass it when the tokens are made: VideoTokens.from_array(x, signals={{{name!r}: ...}}), or "
                f"stgraph dump --model NAME --signals {name}; stgraph sample --synthetic-signals makes it up, to try"
            )
        return self.signals[name]

    def __len__(self) -> int:
        return self.grid.n_tokens

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(self.features.reshape(len(self), self.dimension))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        rows = (len(self), self.dimension)
        if isinstance(self.features, np.ndarray):
            return answer(np.reshape(self.features, rows, copy=False if copy is False else None), "tokens", dtype, copy)
        return answer(self.features.reshape(rows), "tokens", dtype, copy)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokens as a dump; see :func:`stgraph.dump.save_tokens`."""
        from stgraph.dump import save_tokens

        save_tokens(self, path)

    def _repr_html_(self) -> str:
        return (
            fragments.headline(repr(self))
            + _film(self)
            + fragments.folded("signals", fragments.facts(_shapes(self)))
            + fragments.folded("metadata", fragments.facts(self.metadata))
        )

    def __repr__(self) -> str:
        extra = f", signals: {', '.join(self.signals)}" if self.signals else ""
        size = f"{self.grid.n_tokens:,} tokens of dimension {self.dimension}"
        return f"VideoTokens({self.grid}, {size}, {self.dtype}{extra})"


def check_tokens(tokens: Any, given_to: str) -> None:
    """Raise InputError unless ``tokens`` are VideoTokens; the message says how to make them."""
    if not isinstance(tokens, VideoTokens):
        raise InputError(
            f"{given_to} got {type(tokens).__name__}; pass VideoTokens, e.g. stgraph.VideoTokens.from_array(x)"
        )


def _strided_lattice(features: Any, grid: TokenGrid, shape: tuple[int, int, int, int]) -> Any:
    """The patches as a strided view if newlines and separators recur evenly, else a gathered copy."""
    steps = grid.row_steps
    if steps is None:
        return features[beside(grid.rows, features)].reshape(shape)
    first = features[int(grid.rows[0]) :]
    if is_tensor(features):
        row, column = features.stride()
        return first.as_strided(shape, (*(s * row for s in steps), column))
    row, column = features.strides
    return np.lib.stride_tricks.as_strided(first, shape, (*(s * row for s in steps), column), writeable=False)


def _film(tokens: VideoTokens) -> str:
    """Up to eight of the tokens' thumbnails; empty if there are none that can be separated."""
    jpeg, lengths = tokens.signals.get("frame_jpeg"), tokens.signals.get("frame_jpeg_len")
    if jpeg is None or lengths is None or lengths.min() < 0 or int(lengths.sum(dtype=np.int64)) != jpeg.size:
        return ""
    ends = np.cumsum(lengths, dtype=np.int64)
    shown = np.unique(np.linspace(0, tokens.grid.T - 1, min(8, tokens.grid.T)).round().astype(int)).tolist()
    files = [bytes(jpeg[ends[t] - lengths[t] : ends[t]]) for t in shown]
    return fragments.pictures(files, [f"frame {t}" for t in shown])


def _shapes(tokens: VideoTokens) -> dict[str, str]:
    return {name: f"{' x '.join(map(str, a.shape))} {a.dtype}" for name, a in tokens.signals.items()}
