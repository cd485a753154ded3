"""Selection files: kept tokens with reasons, cost and provenance."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from stgraph import container
from stgraph.aliases import Array
from stgraph.devices import to_host
from stgraph.errors import DumpFormatError
from stgraph.grid import TokenGrid
from stgraph.selection.accounting import TokenAccount
from stgraph.selection.reasons import REASON_NAMES
from stgraph.selection.result import Selection
from stgraph.tokens import VideoTokens

Path = str | os.PathLike[str]
FRAMES = ("frame_jpeg", "frame_jpeg_len", "frame_time", "shot_cuts_s")
_MOST_LAYERS = 100_000  # a list of them must not exhaust the memory
_COUNTS = ("n_visual", "n_input", "prune_layer", "n_layers")
_ASSIGNMENT = ("assignment_indptr", "assignment_indices", "assignment_weights")


def save_selection(kept: Selection, path: Path, tokens: VideoTokens | None = None) -> None:
    """Write a selection in host memory; see :meth:`Selection.save`."""
    at = kept.indices
    t, y, x = kept.grid.coordinates()
    tensors = {
        "indices": at,
        "token_t": t[at],
        "token_y": y[at],
        "token_x": x[at],
        "reason": kept.reason,
        "scores": kept.scores,
    }
    rows = kept.features if tokens is None else kept.gather(tokens.features)
    if rows is not None:
        tensors["features"] = to_host(rows)
    if tokens is not None:  # so that the selection can be looked at by itself
        tensors.update({name: tokens.signals[name] for name in FRAMES if name in tokens.signals})
    if kept.grid.kind is not None:
        tensors["grid_kind"] = kept.grid.kind
    if kept.assignment is not None:
        matrix = kept.assignment
        parts = (matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data)
        tensors.update(zip(_ASSIGNMENT, parts, strict=True))
    metadata = {
        "grid": list(kept.grid.shape),
        "n_tokens": kept.grid.n_tokens,
        "kind": kept.kind,
        "positions": kept.positions,
        "exactness": kept.exactness,
        "account": {**kept.account.to_dict(), "cuts": kept.account.cuts},
        "report": dict(kept.report),
        "provenance": dict(kept.provenance),
        "source": {} if tokens is None else {k: v for k, v in tokens.metadata.items() if k != "producer"},
    }
    container.write(path, "selection", tensors, metadata)


def load_selection(path: Path) -> Selection:
    """Read a selection; see :meth:`Selection.load`."""
    tensors, metadata = container.read(path, "selection")
    try:
        return _selection(tensors, metadata)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, DumpFormatError):
            raise
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DumpFormatError(f"cannot read {path} as a selection: {what}") from None


def _selection(tensors: Mapping[str, Array], metadata: Mapping[str, Any]) -> Selection:
    T, H, W = metadata["grid"]
    grid = TokenGrid(T, H, W, tensors.get("grid_kind"))
    if grid.n_tokens != metadata["n_tokens"]:
        raise ValueError(
            f"{metadata['n_tokens']!r} tokens on a grid of {grid.n_tokens:,}: the positions of newlines are missing"
        )
    # Owned copies: the file may be deleted, and compiled code treats them like fresh arrays.
    indices, reason, scores = (np.array(tensors[name]) for name in ("indices", "reason", "scores"))
    K = indices.size
    for name, array, dtype in (
        ("indices", indices, "int64"),
        ("reason", reason, "uint8"),
        ("scores", scores, "float32"),
    ):
        if array.shape != (K,) or array.dtype != dtype:
            raise ValueError(f"{name} are {array.dtype} of shape {array.shape}; expected {dtype} of shape ({K},)")
    if K and (indices[0] < 0 or indices[-1] >= grid.n_tokens or (np.diff(indices) <= 0).any()):
        raise ValueError(f"indices are not ascending rows of 0..{grid.n_tokens - 1}")
    unknown = set(np.unique(reason).tolist()) - set(REASON_NAMES)
    if unknown:
        raise ValueError(f"reason {min(unknown)} is unknown")
    kind = metadata["kind"]
    if kind not in ("subset", "merge"):
        raise ValueError(f"kind is {kind!r}; expected 'subset' or 'merge'")
    features = tensors["features"] if kind == "merge" else None
    if features is not None and (features.ndim != 2 or len(features) != K):
        raise ValueError(f"features have shape {features.shape}; expected one row for each of {K:,} kept tokens")
    return Selection(
        indices=indices,
        grid=grid,
        reason=reason,
        scores=scores,
        account=_account(metadata["account"], K),
        kind=kind,
        features=features,
        assignment=_assignment(tensors, (K, grid.n_tokens)) if kind == "merge" else None,
        positions=str(metadata["positions"]),
        exactness=str(metadata["exactness"]),
        report=dict(metadata["report"]),
        provenance=dict(metadata["provenance"]),
    )


def _account(facts: Mapping[str, Any], n_kept: int) -> TokenAccount:
    found = {name: facts[name] for name in _COUNTS}
    for name, value in found.items():
        if type(value) is not int or value < 0:
            raise ValueError(f"its account says {name} = {str(value)[:60]!r}")
    cuts = tuple((int(layer), int(count)) for layer, count in facts.get("cuts", ()))
    account = TokenAccount(**found, n_kept=n_kept, newlines=facts["newlines"], cuts=cuts)
    if cuts and (list(cuts) != sorted(cuts, key=lambda cut: cut[0]) or cuts[-1] != (account.prune_layer, n_kept)):
        raise ValueError(f"its account has the cuts {cuts}, which do not end in its {n_kept} tokens")
    if account.newlines not in ("in", "out"):
        raise ValueError(f"its account says newlines = {str(account.newlines)[:60]!r}")
    if account.n_layers > _MOST_LAYERS:
        raise ValueError(f"its account says n_layers = {account.n_layers:,}; no model has so many")
    if not (n_kept <= account.n_input and account.n_visual > 0 and account.prune_layer < account.n_layers):
        raise ValueError(f"its account does not add up: {account}")
    return account


def _assignment(tensors: Mapping[str, Array], shape: tuple[int, int]) -> Any:
    from scipy.sparse import csr_array

    indptr, columns, weights = (np.array(tensors[name]) for name in _ASSIGNMENT)
    matrix = csr_array((weights, columns, indptr), shape=shape)
    matrix.check_format(full_check=True)
    return matrix
