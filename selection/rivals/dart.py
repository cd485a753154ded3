"""DART: a few pivots, and the tokens least similar to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import astype, beside, concatenated, to_host
from stgraph.errors import InputError
from stgraph.kernels import kernels_for
from stgraph.selection.budget import Budget
from stgraph.selection.choice import Choice, keep_everything
from stgraph.selection.finite import check_features
from stgraph.selection.integers import check_integer, check_layer
from stgraph.selection.method import Method, approximate, check_finite
from stgraph.selection.reasons import DIVERSITY, REPRESENTATIVE
from stgraph.selection.result import Selection
from stgraph.selection.rivals.unit_features import wide_units
from stgraph.selection.stages import AttentionRead, Stage, Waiting
from stgraph.tokens import VideoTokens


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
        x = tokens.lattice
        text = tokens.signal("text_embeds", self.name) if self.text_pivots else np.empty((0, x.shape[3]), np.float32)
        check_finite("signal 'text_embeds'", text) if len(text) else None
        why = "by input embeddings, as TensorRT-Edge-LLM has it, not by the states of the LLM"
        norms = to_host(kernels_for(x, "pivots").l1_norms(x))
        return self._chosen((norms, x), (_l1(text), text), n_keep, exactness=approximate(why))

    def _chosen(
        self,
        visual: tuple[Array, Any],
        text: tuple[Array, Any],
        n_keep: int,
        at: Array | None = None,
        weights: Array | None = None,
        states: str = "features",
        **said: Any,
    ) -> Choice:
        """Pivots and the tokens they keep, from the (norms, directions) of the visual tokens and of the text.

        Directions are [T, H, W, d] of the visual tokens, or of more rows, of which they are the ones ``at``; and [n, d]
        of the text. Channels are multiplied by ``weights`` first. ``states`` names the directions in errors.
        """
        from stgraph.kernels.cpu.top import top_of

        (norms, x), (text_norms, text_x) = visual, text
        at = np.arange(norms.size) if at is None else at
        mine = np.argsort(-norms, kind="stable")[: min(self.pivots, n_keep)]
        theirs = np.argsort(-text_norms, kind="stable")[: self.text_pivots]
        pool = np.ones(norms.size, np.bool_)
        pool[mine] = False
        n_pivots = mine.size + theirs.size
        shares = (n_keep - mine.size + np.arange(n_pivots)[::-1]) // n_pivots
        places = (beside(axis, x) for axis in np.unravel_index(at[mine], tuple(x.shape[:3])))
        factors = 1.0 if weights is None else weights
        pivots = [astype(rows, "float64") * factors for rows in (x[tuple(places)], beside(text_x[theirs], x))]
        cosines = kernels_for(x, "pivots").pivot_cosines(x, wide_units(concatenated(tuple(pivots))), weights)
        alike = np.round(to_host(cosines), 12)
        if not np.isfinite(alike).all():
            check_finite(states, to_host(x).reshape(-1, x.shape[3]))
        alike = alike[at]
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
        check_layer(self.layer, self.n_layers)

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
            visual, text = (found[rows], states[None, None]), (found[n:], states[n:])
            account: dict[str, Any] = {"n_input": view.grid.n_nodes, "prune_layer": self.layer}
            choice = self._chosen(visual, text, n_keep, rows, states="hidden state", **account)
            return self.finish(choice, tokens, view, self.budget)

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
        norms = _l1(keys)
        if not np.isfinite(norms).all():
            check_finite("signal 'llm_keys'", keys)
        weight = tokens.signals.get("llm_norm_weight")
        reasons = [] if weight is not None else ["hidden states without the weights of the final norm"]
        return self._chosen(
            (norms[at], hidden[None, None]),
            (norms[behind], hidden[behind]),
            n_keep,
            at=at,
            weights=None if weight is None else weight.astype(np.float64),
            states="signal 'llm_hidden'",
            exactness=approximate(*reasons),
            n_input=tokens.grid.n_nodes,
            prune_layer=self.layer,
        )


def _l1(rows: Array) -> Array:
    """[n] float64."""
    from stgraph.kernels.cpu.pivots import l1_norms

    norms: Array = l1_norms(rows[None, None])
    return norms


def _scores(norms: Array) -> Array:
    """Norms as float32 can hold them: in units of the largest."""
    scaled: Array = norms / (norms.max() or 1.0)
    return scaled
