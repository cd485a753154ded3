"""One video on its way to a selection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from stgraph.devices import beside, concatenated, in_own_dtype, to_host
from stgraph.selection.accounting import TokenAccount
from stgraph.selection.result import Selection
from stgraph.selection.stages import Merged, Waiting
from stgraph.vlm.grids import Video


@dataclass
class Job:
    """The state of one video's selection.

    Attributes
    ----------
    state : the selection, or the stage it waits for
    device : torch device of the model's embeddings
    recording : "recorded", "replayed", "not recorded: why", or None where recordings are off
    renumbered : renumbering of rows before the language model, once it runs; None until then
    merged : whether the rows of the state are already weighted sums
    layers : decoder layers before which tokens were dropped, with the tokens left from there on; layer 0 is first
    probed : the layer whose attention was read last, or None
    beside : whether states were read after a whole layer, since its feed-forward block runs in parallel with the
        attention
    """

    video: Video
    state: Selection | Waiting
    select_s: float
    host_copy: str | None
    on_gpu: bool
    device: Any
    recording: str | None
    n_candidates: int | None = None
    probe_s: float = 0.0
    probed: int | None = None
    renumbered: str | None = None
    merged: bool = False
    beside: bool = False
    layers: list[tuple[int, int]] = field(default_factory=list)

    @property
    def selection(self) -> Selection:
        """The result, once there is one."""
        assert isinstance(self.state, Selection)
        return self.state

    def keep_in(self, keep: Any) -> None:
        """Clear the columns of the prompt ([S] bool tensor) that are dropped, or take no part in the next read."""
        rows = self.state.indices if isinstance(self.state, Selection) else self.state.rows
        if rows is None or is_whole(self.state):
            return
        kept = beside(self.video.stays, keep)
        kept.index_fill_(0, beside(rows, keep), True)
        keep[self.video.start : self.video.stop] &= kept

    @property
    def positions(self) -> str:
        """Renumbering policy of rows before the language model."""
        return self.state.positions if self.renumbered is None else self.renumbered

    @property
    def rows(self) -> Any:
        """[k] int64: remaining rows of the video."""
        rows = self.state.indices if isinstance(self.state, Selection) else self.state.rows
        return np.arange(self.video.grid.n_tokens) if rows is None else rows

    def resume(self, attention: Any, states: Any = None, text: Any = None) -> Any:
        """Continue with the attention to the whole row of the batch, [S] or [q, S], and the states of :attr:`rows`, [k,
        d]; None if the stage reads none. Where it reads text, ``text`` are its columns ([m] int64), whose values follow
        the video's in [n + m]; states have them already.

        Returns
        -------
        [k', k] scipy.sparse.csr_array: :attr:`rows` as sums of the previous ones, if states are merged; otherwise None
        """
        assert isinstance(self.state, Waiting)
        start = perf_counter()
        self.merged |= is_merge(self.state)
        found = None if attention is None else attention[..., self.video.start : self.video.stop]
        if found is not None and text is not None:
            found = concatenated((found, attention[text.to(found.device)]))
        if found is not None and self.n_candidates is None:
            self.n_candidates = self.video.grid.n_nodes if self.state.rows is None else len(self.state.rows)
        reads = [found] if self.state.stage.states is None else [found, states]
        with in_own_dtype(self.device):
            went_on: Selection | Waiting | Merged = self.state.resume(
                *(one if one is None or self.on_gpu else to_host(one) for one in reads)
            )
        weights = went_on.weights if isinstance(went_on, Merged) else None
        self.state = went_on.state if isinstance(went_on, Merged) else went_on
        self.merged |= weights is not None
        self.select_s += perf_counter() - start
        return weights

    def note(self, layer: int) -> None:
        """Record the number of tokens left before ``layer``, unless all are."""
        rows = self.state.indices if isinstance(self.state, Selection) else self.state.rows
        if rows is not None:
            self.layers.append((layer, len(rows)))

    def account(self, n_layers: int) -> TokenAccount:
        """The token account of the run."""
        own, n_kept = self.selection.account, len(self.selection)
        inside = tuple((layer, count) for layer, count in self.layers if layer)
        before = [count for layer, count in self.layers if not layer]
        n_input = before[-1] if before else own.n_visual if inside else n_kept
        return TokenAccount(
            n_visual=own.n_visual,
            n_input=n_input,
            n_kept=n_kept,
            prune_layer=inside[-1][0] if inside else 0,
            n_layers=n_layers,
            newlines=own.newlines,
            cuts=inside if len(inside) > 1 else (),
        )


def is_whole(state: Selection | Waiting) -> bool:
    """Whether a selection keeps every patch unchanged; then newlines are kept too, and the prompt stays untouched."""
    if not isinstance(state, Selection) or state.kind != "subset" or len(state) < state.grid.n_nodes:
        return False
    return len(state.nodes) == state.grid.n_nodes


def is_merge(state: Selection | Waiting) -> bool:
    """Whether tokens were merged to reach this state."""
    return state.assignment is not None


Finish = Callable[[int], None]
"""What is done once the last selection is made, with the columns that are left then."""
