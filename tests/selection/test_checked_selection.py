"""What a selector or splitter of a third party answers is checked once, in all its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import stgraph
from stgraph import Budget, Selection, TokenGrid, VideoTokens
from stgraph.community.base import BACKENDS, Capabilities
from stgraph.community.size_cap import SPLITTERS
from stgraph.errors import InputError, UnavailableError
from stgraph.selection.accounting import TokenAccount
from stgraph.selection.base import SELECTORS
from stgraph.selection.method import Choice, Method


def clip() -> VideoTokens:
    """Three frames of 4 x 5 tokens."""
    return VideoTokens.from_array(np.random.default_rng(0).normal(1, 1, (3, 4, 5, 6)).astype(np.float32))


KEPT = np.array([1, 4, 8])


def selection(**changes: Any) -> Selection:
    whole = Selection(
        indices=KEPT,
        grid=TokenGrid(3, 4, 5),
        reason=np.ones(3, np.uint8),
        scores=np.ones(3, np.float32),
        account=TokenAccount(60, 3, 3),
    )
    return replace(whole, **changes)


MERGED: dict[str, Any] = {
    "kind": "merge",
    "features": np.ones((3, 6), np.float32),
    "assignment": csr_array((np.ones(3, np.float32), ([0, 1, 2], KEPT)), shape=(3, 60)),
}
WRONG_ROWS: dict[str, tuple[Any, str]] = {
    "too few": (np.array([1, 4]), "were chosen, but count.. promises 3"),
    "too many": (np.arange(4), "4 .* were chosen, but count.. promises 3"),
    "falling": (np.array([4, 1, 8]), "must be ascending and unique, but 1 follows 4"),
    "twice": (np.array([1, 4, 4]), "must be ascending and unique, but 4 stands twice"),
    "negative": (np.array([-1, 4, 8]), "run from -1 to 8; there are 60 tokens"),
    "beyond": (np.array([1, 4, 60]), "run from 1 to 60; there are 60 tokens"),
    "int32": (KEPT.astype(np.int32), r"int32 of shape \(3,\); they must be int64"),
    "float": (KEPT.astype(np.float64), "float64"),
    "mask": (np.arange(60) < 3, "bool"),
    "column": (KEPT[:, None], r"int64 of shape \(3, 1\)"),
    "list": ([1, 4, 8], "are list; they must be an array of int64"),
}
WRONG_PARTS: dict[str, tuple[Any, str]] = {
    "nothing": (None, "returned NoneType; select.. must return a stgraph.Selection"),
    "indices alone": (KEPT, "returned ndarray"),
    "another grid": (selection(grid=TokenGrid(3, 5, 4)), "the selection is of grid 3x5x4, the tokens of 3x4x5"),
    "reasons": (selection(reason=np.ones(2, np.uint8)), "reason must be an array with one value for each of the 3"),
    "scores": (selection(scores=1.0), "scores must be an array"),
    "kind": (selection(kind="pool"), "kind is 'pool'; it must be 'subset' or 'merge'"),
    "merge without features": (selection(kind="merge"), "features of a merge must have shape .3, 6."),
    "merge of another size": (selection(**{**MERGED, "features": np.ones((3, 5))}), "features of a merge"),
    "subset with features": (selection(**{**MERGED, "kind": "subset"}), "kind 'subset' has no features"),
    "positions": (selection(positions="anywhere"), "positions is 'anywhere'"),
    "account": (selection(account=TokenAccount(60, 5, 5)), "account.n_kept is 5, but 3 tokens are kept"),
}


@pytest.fixture
def answering() -> Iterator[Callable[[Any], Any]]:
    """Registers a selector that is not one of ours; give it what it shall answer."""

    class Mine:
        name, requires = "mine", frozenset[str]()
        answer: Any = None

        def __init__(self, budget: Budget) -> None:
            self.budget = budget

        def count(self, grid: TokenGrid, budget: Budget | None = None) -> int | None:
            return 3

        def select(self, tokens: VideoTokens, budget: Budget | None = None) -> Any:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

    def answer(value: Any) -> Any:
        Mine.answer = value
        return stgraph.selector("mine", n_keep=3)

    SELECTORS.register("mine", Mine)
    yield answer
    SELECTORS.unregister("mine")


@pytest.mark.parametrize("case", WRONG_ROWS)
def test_indices_of_a_third_party_are_checked(case: str, answering: Callable[[Any], Any]) -> None:
    rows, wrong = WRONG_ROWS[case]
    n = len(rows)
    parts: dict[str, Any] = {"reason": np.ones(n, np.uint8), "scores": np.ones(n), "account": TokenAccount(60, n, n)}
    with pytest.raises(InputError, match=f"^selector mine: .*{wrong}"):
        answering(selection(indices=rows, **parts)).select(clip())


@pytest.mark.parametrize("case", WRONG_PARTS)
def test_all_parts_of_a_selection_are_checked(case: str, answering: Callable[[Any], Any]) -> None:
    answer, wrong = WRONG_PARTS[case]
    with pytest.raises(InputError, match=f"^selector mine:? .*{wrong}"):
        answering(answer).select(clip())


@pytest.mark.parametrize(("newlines", "row"), [("out", 5), ("in", 11)])
def test_rows_that_are_not_patches_are_refused(newlines: str, row: int, answering: Callable[[Any], Any]) -> None:
    """A newline counts where newlines do; what stands between frames never does."""
    kind = np.zeros((3, 4, 6), np.uint8)
    kind[:, :, 5] = 1
    kind[:, 1, 5] = 2
    grid = TokenGrid(3, 4, 5, kind.ravel())
    tokens = VideoTokens(np.ones((72, 6), np.float32), grid)
    account = TokenAccount(60, 3, 3, newlines=newlines)
    good, bad = np.array([1, 5, 12] if newlines == "in" else [1, 4, 12]), np.array(sorted({1, row, 12}))
    assert answering(selection(indices=good, grid=grid, account=account)).select(tokens).indices is good
    with pytest.raises(InputError, match=f"index {row} is not a patch; rows of patches are tokens.grid.rows"):
        answering(selection(indices=bad, grid=grid, account=account)).select(tokens)


@pytest.mark.parametrize("right", [selection(), selection(**MERGED)], ids=["subset", "merge"])
def test_a_right_selection_passes_as_it_is(right: Selection, answering: Callable[[Any], Any]) -> None:
    chosen = answering(right)
    assert chosen.select(clip()) is right
    assert (chosen.name, chosen.requires, chosen.count(right.grid), chosen.budget.n_keep) == ("mine", frozenset(), 3, 3)
    assert isinstance(chosen, stgraph.selection.base.Selector)


def test_what_a_third_partys_code_raises_is_named(answering: Callable[[Any], Any]) -> None:
    with pytest.raises(UnavailableError, match="selector mine failed: KeyError: 'x'") as caught:
        answering(KeyError("x")).select(clip())
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(InputError, match=r"^its own$"):
        answering(InputError("its own")).select(clip())


@dataclass(frozen=True, kw_only=True)
class Derived(Method):
    """A third party's subclass of Method: whatever nodes it is given."""

    nodes: Any = None
    merge: Any = None

    name = "derived"
    paper = "none"

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        return Choice(self.nodes, 1, np.ones(len(self.nodes)), merge=self.merge)


@pytest.mark.parametrize("case", WRONG_ROWS)
def test_nodes_of_a_derived_method_are_checked(case: str) -> None:
    nodes, wrong = WRONG_ROWS[case]
    with pytest.raises(InputError, match=f"^selector derived: .*{wrong}"):
        Derived(budget=Budget(n_keep=3), nodes=nodes).select(clip())


def test_a_derived_method_that_chooses_right() -> None:
    assert Derived(budget=Budget(n_keep=3), nodes=KEPT).select(clip()).indices.tolist() == [1, 4, 8]
    with pytest.raises(InputError, match=r"merge must have shape .3, 60."):
        Derived(budget=Budget(n_keep=3), nodes=KEPT, merge=csr_array((3, 59))).select(clip())


def test_code_of_a_third_party_that_fails_is_named_wherever_it_runs() -> None:
    class Failing:
        name, package, connected = "failing", "numpy", False
        capabilities = Capabilities("cpu", "modularity", weighted=False, seeded=False, deterministic=True)

        def unavailable(self) -> None:
            return None

        def labels(self, *_: Any) -> Any:
            raise ZeroDivisionError("labels")

        def split(self, *_: Any) -> Any:
            raise ZeroDivisionError("split")

    graph = stgraph.build_graph(clip(), -1.0)
    for registry in (BACKENDS, SPLITTERS):
        registry.register("failing", Failing())
    try:
        with pytest.raises(UnavailableError, match="backend failing failed: ZeroDivisionError: labels"):
            stgraph.detect_communities(graph, "failing")
        with pytest.raises(UnavailableError, match="splitter failing failed: ZeroDivisionError: split"):
            stgraph.detect_communities(graph, "lattice-components", max_size=2, split="failing")
    finally:
        for registry in (BACKENDS, SPLITTERS):
            registry.unregister("failing")
    with pytest.raises(UnavailableError, match="selector derived failed: TypeError") as caught:
        Derived(budget=Budget(n_keep=3), nodes=3).select(clip())
    assert isinstance(caught.value.__cause__, TypeError)


def test_what_the_machine_lacks_passes(answering: Callable[[Any], Any]) -> None:
    with pytest.raises(MemoryError):
        answering(MemoryError()).select(clip())


@pytest.mark.parametrize("answer", [[0, 1], np.zeros(60), None, "labels"], ids=str)
def test_labels_of_a_splitter_are_checked(answer: Any) -> None:
    class Mine:
        name, connected = "mine", False

        def split(self, *_: Any) -> Any:
            return answer, []

    SPLITTERS.register("mine", Mine())
    try:
        with pytest.raises(
            InputError, match=r"splitter mine returned .* for 60 nodes; it must return one integer per node"
        ):
            graph = stgraph.build_graph(clip(), -1.0)
            stgraph.detect_communities(graph, "lattice-components", max_size=2, split="mine")
    finally:
        SPLITTERS.unregister("mine")
