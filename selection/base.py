"""The interface of selectors, their result, and the table of those we ship."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from stgraph import container
from stgraph.arrays import to_numpy
from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.registry import Registry
from stgraph.selection.budget import Budget
from stgraph.tokens import VideoTokens

Array = np.ndarray[Any, Any]

REPRESENTATIVE, EVENT, BOTH = 1, 2, 3
REASON_NAMES = {REPRESENTATIVE: "representative", EVENT: "event", BOTH: "both"}


@dataclass(frozen=True, eq=False)
class Selection:
    """The tokens to keep; itself a DLPack producer of :attr:`indices`.

    Attributes
    ----------
    indices : [K] int64, contiguous, ascending, owned
        rows of the input's features, in raster order; equal to the node ids where every token is a patch
    grid : of the input tokens
    kind : "subset" (tokens kept as they are)
    reason : [K] uint8; 1 representative, 2 event, 3 both
    scores : [K] float32, the importance by which surplus candidates were dropped
    positions : "original": kept tokens keep their positions
    exactness : "exact", or "approximate: why"
    report : counts, thresholds and stage times of this run
    provenance : selector, parameters, and how the communities were found
    """

    indices: Array
    grid: TokenGrid
    reason: Array
    scores: Array
    kind: str = "subset"
    positions: str = "original"
    exactness: str = "exact"
    report: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.indices.size)

    def __dlpack__(self, **options: Any) -> Any:
        """Capsule of the indices; a consumer may pass ``stream``, ``max_version``, ``dl_device`` and ``copy``."""
        return self.indices.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """(device type, device id) of the indices."""
        return self.indices.__dlpack_device__()

    @property
    def nodes(self) -> Array:
        """[K] int64: lattice node ids (t*H + y)*W + x of the kept tokens."""
        return np.searchsorted(self.grid.rows, self.indices) if self.grid.kind is not None else self.indices

    @property
    def mask(self) -> Array:
        """[T, H, W] bool: kept or not."""
        kept = np.zeros(self.grid.n_nodes, np.bool_)
        kept[self.nodes] = True
        return kept.reshape(self.grid.shape)

    def reasons(self) -> dict[str, int]:
        """How many tokens were kept for which reason."""
        counts = np.bincount(self.reason, minlength=4)
        return {name: int(counts[code]) for code, name in REASON_NAMES.items()}

    def gather(self, features: Any) -> Any:
        """The kept rows of ``features`` ([n, d] or [T, H, W, d]), in their dtype: a torch tensor on the same device for
        a torch tensor, a NumPy array for any other.

        Raises
        ------
        InputError
            the features do not have one row per input token
        """
        torch = sys.modules.get("torch")
        is_torch = torch is not None and isinstance(features, torch.Tensor)
        if not is_torch:
            features = to_numpy(features, "features")
        shape = tuple(features.shape)
        rows = int(np.prod(shape[:-1]))
        if len(shape) not in (2, 4) or rows != self.grid.n_tokens:
            raise InputError(
                f"features have shape {shape}; expected one row for each of the {self.grid.n_tokens:,} input tokens"
            )
        if torch is not None and is_torch:
            indices = torch.from_dlpack(self.indices).to(features.device)
            return features.reshape(rows, shape[-1]).index_select(0, indices)
        return features[np.unravel_index(self.indices, shape[:-1])]

    def save(self, path: str | os.PathLike[str], tokens: VideoTokens) -> None:
        """Write the kept tokens of ``tokens`` as a selection dump: features, coordinates, reasons, scores."""
        t, y, x = tokens.grid.coordinates()
        at = self.indices
        tensors = {
            "features": self.gather(tokens.features),
            "indices": at,
            "token_t": t[at],
            "token_y": y[at],
            "token_x": x[at],
            "reason": self.reason,
            "scores": self.scores,
        }
        metadata = {
            "grid": list(self.grid.shape),
            "n_tokens": self.grid.n_tokens,
            "report": dict(self.report),
            "provenance": dict(self.provenance),
            "source": {k: v for k, v in tokens.metadata.items() if k != "producer"},
        }
        container.write(path, "selection", tensors, metadata)

    def __repr__(self) -> str:
        parts = ", ".join(f"{count:,} {name}" for name, count in self.reasons().items() if count)
        return f"Selection({len(self):,} of {self.grid.n_nodes:,} tokens: {parts})"


@runtime_checkable
class Selector(Protocol):
    """From tokens to a selection.

    ``requires`` names the signals the method needs; ``count`` is exact and needs no features.
    """

    name: str
    requires: frozenset[str]

    def count(self, grid: TokenGrid, budget: Budget | None = None) -> int:
        """How many tokens will be kept."""
        ...

    def select(self, tokens: VideoTokens, budget: Budget | None = None) -> Selection:
        """The selection; ``budget`` replaces the selector's own for this call."""
        ...


SELECTORS = Registry(
    "selector",
    {"st-simdiff": "stgraph.selection.st_simdiff:StSimDiff"},
    group="stgraph.selectors",
)


def selector(name: str, *, retain_ratio: float | None = None, n_keep: int | None = None, **parameters: Any) -> Selector:
    """A selector with its budget and parameters.

    Parameters
    ----------
    name : "st-simdiff"
    retain_ratio, n_keep : the budget, exactly one of the two
    **parameters : of that selector

    Raises
    ------
    UnknownNameError
        no selector of that name
    InputError
        a parameter the selector does not know, or one out of range

    Examples
    --------
    >>> import stgraph
    >>> stgraph.selector("st-simdiff", retain_ratio=0.3).select(stgraph.sample())
    Selection(3,072 of 10,240 tokens: 2,465 representative, 362 event, 245 both)
    """
    import inspect

    cls = SELECTORS.get(name)
    known = [p for p in inspect.signature(cls).parameters if p != "budget"]
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise InputError(f"selector {name!r} has no parameter {unknown[0]!r}; it has: {', '.join(known)}")
    built: Selector = cls(budget=Budget(retain_ratio, n_keep), **parameters)
    return built
