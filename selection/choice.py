"""Choices: a method's decision on its nodes, and its conversion to a Selection of the tokens' rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import astype, beside, dtype_name, full, is_tensor, isfinite
from stgraph.errors import FeatureError, InputError
from stgraph.grid import TokenGrid
from stgraph.selection.accounting import TokenAccount
from stgraph.selection.budget import Budget
from stgraph.selection.checked import check_rows
from stgraph.selection.reasons import SAMPLE
from stgraph.selection.result import Selection, merge_rows, merge_tensor
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, eq=False)
class Choice:
    """A method's decision on the nodes of its lattice.

    Attributes
    ----------
    nodes : [K] int64, ascending, unique; in host memory or on the device of the features, like reasons and scores
    reason : one code for all, or [K]
    scores : [K] numbers
    merge : [K, N] scipy.sparse.csr_array over the nodes, row k for nodes[k]; None if nothing is merged
    n_input : tokens entering the LLM, if more than K
    prune_layer : first layer that sees only the K tokens
    cuts : (layer, tokens from that layer on), ascending, if there are several; the last is (prune_layer, K)
    provenance : replaces the method's parameters in the provenance, if more informative
    seconds : time of each step, if there are several
    """

    nodes: Any
    reason: Any
    scores: Any
    merge: Any = None
    positions: str = "original"
    exactness: str = "exact"
    n_input: int | None = None
    prune_layer: int = 0
    cuts: tuple[tuple[int, int], ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] | None = None
    seconds: Mapping[str, float] | None = None


def keep_everything(tokens: VideoTokens) -> Choice:
    """All tokens unchanged: at r = 1 there is nothing to decide."""
    n = tokens.grid.n_nodes
    nodes = beside(np.arange(n), tokens.features)
    return Choice(nodes, SAMPLE, full(n, 1, "float32", like=nodes))


def check_choice(selector: str, choice: Any, n_nodes: int, expected: int | None, *, read: bool = True) -> None:
    """Raise InputError unless a method's choice is valid; see :func:`check_rows`."""
    by = f"selector {selector}"
    if not isinstance(choice, Choice):
        raise InputError(f"{by}: choose() returned {type(choice).__name__}; it must return a Choice")
    check_rows(by, "nodes", choice.nodes, n_nodes, expected, read=read)
    n_kept = len(choice.nodes)
    shapes: dict[str, tuple[int, ...]] = {"scores": (n_kept,)}
    if getattr(choice.reason, "shape", ()):
        shapes["reason"] = (n_kept,)
    if choice.merge is not None:
        shapes["merge"] = (n_kept, n_nodes)
    for name, shape in shapes.items():
        if tuple(getattr(getattr(choice, name), "shape", ())) != shape:
            raise InputError(f"{by}: {name} must have shape {list(shape)}")


def finish(
    choice: Choice,
    tokens: VideoTokens,
    view: VideoTokens,
    budget: Budget,
    provenance: Mapping[str, Any],
    seconds: Mapping[str, float],
    n_layers: int = 28,
) -> Selection:
    """The Selection of a choice: nodes of ``view`` become rows of ``tokens``, merged features are computed."""
    start = perf_counter()
    rows, n_kept = view.grid.rows, len(choice.nodes)
    assignment = features = None
    if choice.merge is not None:
        assignment = over_rows(choice.merge, rows, view.grid.n_tokens)
        with np.errstate(over="ignore"):  # overflow is refused below, with its reason
            features = merged_features(assignment, tokens)
        if not bool(isfinite(features).all()):
            remedy = "pass the features as float32" if view.dtype == "float16" else "divide them by a power of two"
            raise FeatureError(f"merged features overflow {view.dtype}; {remedy}")
    newlines = "in" if view.grid.n_nodes > tokens.grid.n_nodes else "out"
    n_visual = view.grid.n_nodes
    n_input = choice.n_input or n_kept
    account = TokenAccount(n_visual, n_input, n_kept, choice.prune_layer, n_layers, newlines, choice.cuts)
    nodes = beside(choice.nodes, tokens.features)
    times = {**seconds, "merging": perf_counter() - start} if features is not None else dict(seconds)
    return Selection(
        indices=_rows_of(view.grid, nodes),
        grid=tokens.grid,
        reason=_codes(choice.reason, nodes),
        scores=beside(astype(choice.scores, "float32"), nodes),
        account=account,
        kind="subset" if features is None else "merge",
        features=features,
        assignment=assignment,
        positions=choice.positions,
        exactness=choice.exactness,
        report={"n_tokens": n_visual, "n_kept": n_kept, **choice.report, "seconds": times},
        provenance={
            **provenance,
            "retain_ratio": str(budget.ratio(view.grid)),
            "measured": budget.measured,
            "newlines": newlines,
        },
    )


def merged_features(assignment: Any, tokens: VideoTokens) -> Any:
    """[K, d] in the dtype of the tokens, where they lie: ``assignment`` [K, n] times their features."""
    if tokens.on_gpu:
        return merge_tensor(assignment, tokens.features.reshape(tokens.grid.n_tokens, -1))
    return merge_rows(assignment, tokens.features)


def _rows_of(grid: TokenGrid, nodes: Any) -> Any:
    """[K] int64: rows of the nodes; owned."""
    if is_tensor(nodes) and grid.kind is None:
        return nodes.clone()
    return beside(grid.rows, nodes)[nodes]


def _codes(reason: Any, nodes: Any) -> Any:
    """[K] uint8: one code per node; owned."""
    if is_tensor(reason) and dtype_name(reason) == "uint8":
        return reason.clone()
    codes = full(len(nodes), 0, "uint8", like=nodes)
    codes[:] = beside(reason, nodes) if getattr(reason, "shape", ()) else reason
    return codes


def over_rows(merge: Any, rows: Array, n_tokens: int) -> Any:
    """The assignment over nodes, converted to rows of the features."""
    from scipy.sparse import csr_array

    columns = rows[merge.indices]
    return csr_array((merge.data.astype(np.float32), columns, merge.indptr), shape=(merge.shape[0], n_tokens))
