"""Importance: how candidates are ranked when there are more than the budget allows."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.arrays import to_numpy
from stgraph.community.partition import Partition
from stgraph.devices import astype, beside, is_tensor, where
from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.selection.method import approximate
from stgraph.selection.signals.attention import has_shallow_attention, shallow_attention
from stgraph.selection.st_simdiff.coverage import coverage
from stgraph.tokens import VideoTokens

NEUTRAL = "difference-then-centrality"  # no ranking if no candidate is surplus
# "auto" and "auto-coverage" are attention if the tokens carry it, else the ranking that OFFLINE names.
OFFLINE = {"auto": NEUTRAL, "auto-coverage": "coverage"}
IMPORTANCES = (*OFFLINE, "attention", "difference-then-centrality", "coverage", "centrality", "difference", "norm")


def check_importance(importance: Any) -> None:
    """Raise InputError unless ``importance`` is one of :data:`IMPORTANCES` or an array."""
    named = isinstance(importance, str)
    if (named and importance not in IMPORTANCES) or (not named and np.ndim(importance) == 0):
        raise InputError(
            f"importance is {importance!r}; it must be one of {', '.join(IMPORTANCES)}, or an array [T, H, W]"
        )


def by_attention(importance: Any) -> bool:
    """Whether a running model's attention ranks surplus candidates."""
    return isinstance(importance, str) and importance in (*OFFLINE, "attention")


def resolve_importance(importance: Any, tokens: VideoTokens) -> str:
    """Name of the importance that will be used: "auto" is attention if the tokens carry it."""
    if not isinstance(importance, str):
        return "given"
    if importance in OFFLINE:
        return "attention" if has_shallow_attention(tokens) else OFFLINE[importance]
    return importance


def reduction_exactness(importance: str, ranked: str, cut: str) -> str:
    """Exactness of an offline reduction, given that the authors rank the ``ranked`` tokens by attention in the LLM.

    Parameters
    ----------
    importance : a name returned by :func:`resolve_importance`
    ranked : the ranked tokens, for the message
    cut : what happens to the surplus, for the message
    """
    if importance == "given":
        return "exact"
    if importance == "attention":
        return approximate(f"attention of the unpruned sequence, not of the {ranked} alone")
    return approximate(f"{cut} by {importance}, not by the LLM's attention")


def importance_values(
    importance: Any,
    tokens: VideoTokens,
    norms: Any,
    centrality: Any,
    difference: Any,
    events: Any,
    partition: Partition | None = None,
) -> Any:
    """[N] float32 or float64 on the device of ``centrality``; larger is kept longer.

    "difference-then-centrality" ranks event tokens by temporal difference, followed by the representatives by
    centrality. "coverage" needs the communities (:mod:`stgraph.selection.st_simdiff.coverage`).

    Raises
    ------
    MissingSignalError
        "attention" without the signal ``importance`` and without ``llm_attn_last`` of layer 1
    InputError
        an array of the wrong size or with NaN; "coverage" without communities
    """
    name = resolve_importance(importance, tokens)
    if name == "attention":
        attention = shallow_attention(tokens, "importance='attention'")
        return beside(_checked(attention, tokens.grid, "signal 'importance'"), centrality)
    if name == "given":
        return beside(_checked(importance, tokens.grid, "importance"), centrality)
    if name == "norm":
        return norms.reshape(-1)
    if name == "coverage":
        if partition is None:
            raise InputError("importance='coverage' needs communities, which this selector does not detect")
        return coverage(centrality, partition)
    if name == "centrality":
        return centrality
    if name == "difference":
        return difference
    # Centrality lies in [-1, 1] and difference in [0, 2]: adding 2 ranks every event above every other token.
    return where(events, 2.0 + difference, centrality)


def _checked(values: Any, grid: TokenGrid, name: str) -> Any:
    """[N] float64, on the device of ``values``."""
    array = values.detach() if is_tensor(values) else to_numpy(values, name)
    flat = astype(array.reshape(-1), "float64")
    if len(flat) != grid.n_nodes:
        shape = tuple(array.shape)
        raise InputError(f"{name} has shape {shape}; expected {list(grid.shape)} or [{grid.n_nodes}]")
    unequal = flat != flat  # only NaN differs from itself
    if bool(unequal.any()):
        raise InputError(f"{name} is NaN at token {int(astype(unequal, 'uint8').argmax())}; replace it")
    return flat
