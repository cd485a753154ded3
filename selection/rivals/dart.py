"""DART: a few pivots, and the tokens least similar to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import astype, beside, concatenated, to_host
from stgraph.errors import InputError
from stgraph.frame_work import joined
from stgraph.selection.budget import Budget
from stgraph.selection.choice import Choice, keep_everything
from stgraph.selection.finite import check_features
from stgraph.selection.integers import check_integer
from stgraph.selection.method import Method, approximate, check_finite
from stgraph.selection.reasons import DIVERSITY, REPRESENTATIVE
from stgraph.selection.result import Selection
from stgraph.selection.rivals.unit_features import wide_units
from stgraph.selection.stages import AttentionRead, Stage, Waiting
from stgraph.tokens import VideoTokens

_ROWS = 4096  # held in float64 at a time


@dataclass(frozen=True, kw_only=True)
class DartEmbedding(Method):
    """DART (EMNLP 2025, arXiv 2502.11494) on the LLM's input embeddings, the form that TensorRT-Edge-LLM ships.

    Pivots are the visual tokens, and the text tokens after the video, with the largest L1 norms. For each pivot in
    turn, visual ones first, by descending norm, the tokens with the lowest cosine to it are kept. Visual pivots are
    also kept; the rest of K is spread over all pivots as evenly as possible, earlier ones first. Scores are the norms,
    scaled to a maximum of 1.

    Attributes
    ----------
    pivots : number of visual pivots, at least 1
    text_pivots : number of text pivots; 0 reads no text
    """

    pivots: int = 4
    text_pivots: int = 4

    name: ClassVar[str] = "dart-embedding"
    paper: ClassVar[str] = "DART, EMNLP 2025"
    on_gpu: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, low in (("pivots", 1), ("text_pivots", 0)):
            check_integer(name, getattr(self, name), low)

    @property
    def requires(self) -> frozenset[str]:  # type: ignore[override]
        """The text's embeddings, if there are text pivots."""
        return frozenset({"text_embeds"} if self.text_pivots else ())

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """``n_keep`` tokens by the input embeddings."""
        from stgraph.kernels.cpu.threads import even_blocks

        x = tokens.lattice.reshape(tokens.grid.n_nodes, -1)
        text = tokens.signal("text_embeds", self.name) if self.text_pivots else x[:0]
        check_finite("signal 'text_embeds'", text) if len(text) else None
        why = "by input embeddings, as TensorRT-Edge-LLM has it, not by the states of the LLM"
        norms = joined([_l1(x[a:b]) for a, b in even_blocks(len(x), _ROWS)])
        return self._chosen((norms, x), (to_host(_l1(text)), text), n_keep, exactness=approximate(why))

    def _chosen(self, visual: tuple[Array, Any], text: tuple[Array, Any], n_keep: int, **said: Any) -> Choice:
        """Pivots and the tokens they keep, from the (norms, directions) of the visual tokens and of the text."""
        from stgraph.kernels.cpu.threads import even_blocks
        from stgraph.kernels.cpu.top import top_of

        (norms, x), (text_norms, text_x) = visual, text
        mine = np.argsort(-norms, kind="stable")[: min(self.pivots, n_keep)]
        theirs = np.argsort(-text_norms, kind="stable")[: self.text_pivots]
        pool = np.ones(norms.size, np.bool_)
        pool[mine] = False
        n_pivots = mine.size + theirs.size
        shares = (n_keep - mine.size + np.arange(n_pivots)[::-1]) // n_pivots
        pivots = concatenated((wide_units(x[mine]), beside(wide_units(text_x[theirs]), x)))
        parts = [x[a:b] for a, b in even_blocks(len(x), _ROWS)]
        alike = np.round(joined([wide_units(part) @ pivots.T for part in parts]), 12)
        for i, count in enumerate(shares.tolist()):
            if count:
                pool &= ~top_of(-alike[:, i], np.flatnonzero(pool), count)
        nodes = np.flatnonzero(~pool)
        reason = np.where(np.isin(nodes, mine), REPRESENTATIVE, DIVERSITY)
        return Choice(nodes, reason, _scores(norms)[nodes], report={"n_text_pivots": int(theirs.size)}, **said)


@dataclass(frozen=True, kw_only=True)
class Dart(DartEmbedding):
    """DART (EMNLP 2025, arXiv 2502.11494; ``Qwen2-VL/Qwen2VL_DART``): before decoder layer ``layer``, the tokens least
    similar to a few pivots are kept.

    Pivots are chosen by the L1 norm of their keys in the layer before, and compared by that layer's output states,
    weighted by the final norm if the signal ``llm_norm_weight`` is there. The deepest saved layer of the signals is
    used. Otherwise as :class:`DartEmbedding`.

    Attributes
    ----------
    pivots, text_pivots : as in :class:`DartEmbedding`
    layer : first decoder layer, from 0, that sees only the kept tokens; at least 1
    n_layers : decoder layers of the LLM
    """

    layer: int = 2
    n_layers: int = 28

    name: ClassVar[str] = "dart"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low in (("n_layers", 2), ("layer", 1)):
            check_integer(name, getattr(self, name), low)
        if self.layer >= self.n_layers:
            raise InputError(f"layer is {self.layer}; an LLM of {self.n_layers} layers (n_layers) has none of it")

    @property
    def requires(self) -> frozenset[str]:  # type: ignore[override]
        """Keys, hidden states, and the places of the visual tokens among them."""
        return frozenset({"llm_keys", "llm_hidden", "seq_index"})

    @property
    def prune_layer(self) -> int:  # type: ignore[override]
        """The layer at which the method prunes."""
        return self.layer

    def stages(self) -> tuple[Stage, ...]:
        """Before ``layer``, by the keys of the layer before and the states that leave it, the text's among them."""
        return (Stage(self.layer, AttentionRead(self.layer - 1, fixed=True, by="keys"), "normed", text=True),)

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """Choose once the language model has run up to ``layer``."""
        check_features(tokens)
        view = self.budget.view(tokens, self.newlines)
        n_keep, rows = self._n_keep(view.grid, self.budget), view.grid.rows
        if n_keep == view.grid.n_nodes:
            return self.finish(keep_everything(view), tokens, view, self.budget)

        def resume(norms: Any, states: Any) -> Selection:
            n, found = tokens.grid.n_tokens, to_host(norms)
            there = beside(rows, states)
            visual, text = (found[rows], states[there]), (found[n:], states[n:])
            account = {"n_input": view.grid.n_nodes, "prune_layer": self.layer}
            return self.finish(self._chosen(visual, text, n_keep, **account), tokens, view, self.budget)

        return Waiting(self.stages()[0], None, resume)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """``n_keep`` tokens by the states of the LLM."""
        keys, hidden = tokens.signal("llm_keys", self.name)[-1], tokens.signal("llm_hidden", self.name)[-1]
        position = tokens.signal("seq_index", self.name)
        at = position[tokens.grid.rows]
        if position.min() < 0 or position.max() >= len(hidden):
            raise InputError(
                f"signal 'seq_index' runs from {position.min()} to {position.max()}, but 'llm_hidden' has "
                f"{len(hidden)} positions"
            )
        behind = np.arange(int(position.max()) + 1, len(hidden))
        keys = np.moveaxis(keys, 1, 0).reshape(len(hidden), -1)
        check_finite("signal 'llm_keys'", keys)
        check_finite("signal 'llm_hidden'", hidden)
        weight = tokens.signals.get("llm_norm_weight")
        reasons = [] if weight is not None else ["hidden states without the weights of the final norm"]
        states = hidden.astype(np.float64) * (1.0 if weight is None else weight.astype(np.float64))
        return self._chosen(
            (_l1(keys[at]), states[at]),
            (_l1(keys[behind]), states[behind]),
            n_keep,
            exactness=approximate(*reasons),
            n_input=tokens.grid.n_nodes,
            prune_layer=self.layer,
        )


def _l1(rows: Any) -> Any:
    """[n] float64, where the rows lie."""
    return abs(astype(rows, "float64")).sum(axis=1)


def _scores(norms: Array) -> Array:
    """Norms as float32 can hold them: in units of the largest."""
    scaled: Array = norms / (norms.max() or 1.0)
    return scaled
