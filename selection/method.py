"""What all selectors share: checks, the newline policy, the exact budget, and how a choice becomes a Selection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from stgraph.devices import astype, beside, full, is_tensor
from stgraph.errors import FeatureError, InputError
from stgraph.grid import TokenGrid
from stgraph.selection.accounting import TokenAccount
from stgraph.selection.budget import Budget
from stgraph.selection.checked import check_rows
from stgraph.selection.finite import check_features
from stgraph.selection.reasons import SAMPLE
from stgraph.selection.result import Selection, merge_rows
from stgraph.spelling import Spelled
from stgraph.tokens import VideoTokens, check_tokens

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Choice:
    """What a method decides, on the nodes of the lattice it was given.

    Attributes
    ----------
    nodes : [K] int64, ascending, unique
    reason : one code for all, or [K]
    scores : [K]
    merge : [K, N] scipy.sparse.csr_array over the nodes, row k for nodes[k]; None where nothing is merged
    n_input : tokens that enter the LLM where that is more than K
    prune_layer : the layer from which on the K tokens are left
    """

    nodes: Any
    reason: Any
    scores: Any
    merge: Any = None
    positions: str = "original"
    exactness: str = "exact"
    n_input: int | None = None
    prune_layer: int = 0
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Method(Spelled, ABC):
    """Base of the selectors: a subclass states its signals and implements :meth:`choose`.

    Attributes
    ----------
    budget : how many tokens to keep
    """

    budget: Budget

    name: ClassVar[str]
    paper: ClassVar[str]
    requires: ClassVar[frozenset[str]] = frozenset()
    quadratic: ClassVar[bool] = False  # whether the published algorithm compares all pairs of some tokens
    newlines: ClassVar[str] = "out"  # how the authors count newline tokens
    on_gpu: ClassVar[bool] = False  # whether :meth:`choose` takes features on a GPU
    # Not ClassVar, so that a subclass may make a parameter or a property of them.
    prune_layer = 0  # the LLM layer at which the method prunes
    n_layers = 28  # of the LLM; matters only where prune_layer > 0
    fits_budget = True  # whether exactly n_keep tokens are returned
    checks_features: ClassVar[bool] = False  # whether :meth:`choose` refuses NaN and Inf in any token by itself

    @abstractmethod
    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """Choose from ``tokens``, whose grid holds exactly the nodes that count.

        1 <= n_keep < N, or n_keep <= N for a method that does not fit the budget.
        """

    def check_signals(self, tokens: VideoTokens) -> None:
        """Raise MissingSignalError if ``tokens`` lack a signal this method requires."""
        for signal in sorted(self.requires):
            tokens.signal(signal, self.name)

    def count(self, grid: TokenGrid, budget: Budget | None = None) -> int | None:
        """How many tokens will be kept, exactly; None where only the features decide."""
        budget = budget or self.budget
        if not self.fits_budget:
            return None
        return budget.count(budget.lattice(grid, self.newlines), self.prune_layer, self.n_layers)

    def select(self, tokens: VideoTokens, budget: Budget | None = None) -> Selection:
        """Keep exactly ``count(tokens.grid, budget)`` tokens; all of them, unchanged, where that is N.

        Features on a GPU are copied to host memory unless the method is :attr:`on_gpu`, and the report says so under
        ``host_copy``; the selection is handed out where the features are.

        Raises
        ------
        MissingSignalError
            a signal the method requires is absent; raised before any work
        FeatureError
            a token holds NaN or Inf, whether the method reads features or not
        """
        check_tokens(tokens, self.name)
        self.check_signals(tokens)
        budget = budget or self.budget
        if tokens.on_gpu and not self.on_gpu:
            return _through_host(self, tokens, budget)
        start = perf_counter()
        view = budget.view(tokens, self.newlines)
        self._check_newlines(tokens, view)
        n_keep = budget.count(view.grid, self.prune_layer, self.n_layers)
        whole = n_keep == view.grid.n_nodes and self.fits_budget
        if whole or not self.checks_features or self._is_foreign:
            check_features(view)
        choice = keep_everything(view) if whole else self.choose(view, n_keep, budget)
        self._check_choice(choice, view.grid.n_nodes, n_keep if self.fits_budget else None)
        seconds = {"selection": perf_counter() - start}
        provenance = {"selector": self.name, "paper": self.paper, **self.parameters()}
        return finish(choice, tokens, view, budget, provenance, seconds, self.n_layers)

    @property
    def _is_foreign(self) -> bool:
        """Whether a third party chooses."""
        return type(self).choose.__module__.partition(".")[0] != "stgraph"

    def _check_choice(self, choice: Any, n_nodes: int, expected: int | None) -> None:
        """Raise InputError unless a subclass chose what it must; our own leave values on a GPU unread."""
        by = f"selector {self.name}"
        if not isinstance(choice, Choice):
            raise InputError(f"{by}: choose() returned {type(choice).__name__}; it must return a Choice")
        check_rows(by, "nodes", choice.nodes, n_nodes, expected, read=self._is_foreign)
        n_kept = len(choice.nodes)
        shapes: dict[str, tuple[int, ...]] = {"scores": (n_kept,)}
        if getattr(choice.reason, "shape", ()):
            shapes["reason"] = (n_kept,)
        if choice.merge is not None:
            shapes["merge"] = (n_kept, n_nodes)
        for name, shape in shapes.items():
            if tuple(getattr(getattr(choice, name), "shape", ())) != shape:
                raise InputError(f"{by}: {name} must have shape {list(shape)}")

    def _check_newlines(self, tokens: VideoTokens, view: VideoTokens) -> None:
        """Encoder signals have no value for the newlines of ``view``; attention says so itself."""
        lost = sorted(self.requires & tokens.signals.keys() - view.signals.keys() - {"importance"})
        if lost:
            raise InputError(
                f"{self.name}: the signal {lost[0]!r} has no value for newline tokens, which count here; "
                "pass newlines='out'"
            )

    def parameters(self) -> dict[str, Any]:
        """The method's parameters as plain values; arrays are named, not copied."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "budget"}
        plain = (str, int, float, bool, type(None))
        return {name: value if isinstance(value, plain) else "given" for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class FittedMethod(Method):
    """Base of selectors whose authors count otherwise than ceil(r N).

    Attributes
    ----------
    exact_count : False follows the authors' count; then only the features decide how many tokens are kept
    """

    exact_count: bool = True

    @property
    def fits_budget(self) -> bool:  # type: ignore[override]
        """Whether exactly n_keep tokens are returned."""
        return self.exact_count


def approximate(*reasons: str) -> str:
    """The exactness of a choice that departs from its authors for these reasons; "exact" where there are none."""
    return f"approximate: {'; '.join(reasons)}" if reasons else "exact"


def keep_everything(tokens: VideoTokens) -> Choice:
    """All tokens as they are: no method has anything to do at r = 1."""
    n = tokens.grid.n_nodes
    nodes = beside(np.arange(n), tokens.features)
    return Choice(nodes, SAMPLE, full(n, 1, "float32", like=nodes))


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
        assignment = _over_rows(choice.merge, rows, view.grid.n_tokens)
        with np.errstate(over="ignore"):  # what overflows is refused below, with its reason
            features = merge_rows(assignment, tokens.features)
        if not np.isfinite(features).all():
            remedy = "pass the features as float32" if view.dtype == "float16" else "divide them by a power of two"
            raise FeatureError(f"merged features overflow {view.dtype}; {remedy}")
    newlines = "in" if view.grid.n_nodes > tokens.grid.n_nodes else "out"
    n_visual = view.grid.n_nodes
    account = TokenAccount(n_visual, choice.n_input or n_kept, n_kept, choice.prune_layer, n_layers, newlines)
    times = {**seconds, "merging": perf_counter() - start} if features is not None else dict(seconds)
    return Selection(
        indices=_rows_of(view.grid, choice.nodes),
        grid=tokens.grid,
        reason=_codes(choice.reason, choice.nodes),
        scores=astype(choice.scores, "float32"),
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


def _rows_of(grid: TokenGrid, nodes: Any) -> Any:
    """[K] int64: the rows of nodes; owned."""
    if is_tensor(nodes) and grid.kind is None:
        return nodes.clone()
    return beside(grid.rows, nodes)[nodes]


def _codes(reason: Any, nodes: Any) -> Any:
    """[K] uint8: a code for each node; owned."""
    codes = full(len(nodes), 0, "uint8", like=nodes)
    codes[:] = reason
    return codes


def host_copy(selector: str, device: str) -> str:
    """Why features are copied to host memory, as reports and statistics say it."""
    return f"{selector} does not compute on {device}, where the features were"


def _through_host(method: Method, tokens: VideoTokens, budget: Budget) -> Selection:
    """The selection of a method that runs on the CPU, handed out where the features are."""
    found = method.select(tokens.to("cpu"), budget)
    report = {**found.report, "host_copy": host_copy(method.name, tokens.device)}
    return replace(found.beside(tokens.features), report=report)


def _over_rows(merge: Any, rows: Array, n_tokens: int) -> Any:
    """The assignment over nodes as one over the rows of the features."""
    from scipy.sparse import csr_array

    columns = rows[merge.indices]
    return csr_array((merge.data.astype(np.float32), columns, merge.indptr), shape=(merge.shape[0], n_tokens))


def check_share(name: str, value: Any, low: float = 0.0, high: float = 1.0) -> None:
    """Raise InputError unless ``value`` is a number in [low, high]."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise InputError(f"{name} is {value!r}; it must be a number in [{low:g}, {high:g}]")


def check_finite(name: str, values: Array) -> None:
    """Raise InputError, with the first bad token, where ``values`` ([N] or [N, c], a row per token) hold NaN or Inf."""
    good = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not good.all():
        at = int(np.argmin(good))
        raise InputError(f"{name} is {'NaN' if np.isnan(values[at]).any() else 'infinite'} at token {at}; replace it")
