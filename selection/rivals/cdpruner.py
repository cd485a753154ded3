"""CDPruner: diverse tokens relevant to the prompt, by a determinantal point process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import beside
from stgraph.errors import InputError
from stgraph.frame_work import joined
from stgraph.kernels import kernels_for
from stgraph.selection.budget import Budget, per_frame_counts
from stgraph.selection.choice import Choice
from stgraph.selection.method import Method, approximate, check_finite
from stgraph.selection.reasons import DIVERSITY
from stgraph.selection.rivals.divprune import check_scope
from stgraph.selection.rivals.unit_features import wide_units
from stgraph.selection.signals.encoder_grid import exactness, on_lattice
from stgraph.tokens import VideoTokens

RELEVANCES = ("text", "clip")
_LEAST = 1e-6  # added to relevance before scaling; a smaller range counts as none


@dataclass(frozen=True, kw_only=True)
class CdPruner(Method):
    """CDPruner (NeurIPS 2025, arXiv 2506.10967; ``llava/model/llava_arch.py``, and OpenVINO GenAI's form of it).

    The relevance of a token is its mean cosine to the text tokens of the prompt, scaled to [0, 1] over the video.
    Tokens are picked by greedy maximisation of the determinant of relevance_i relevance_j cos(i, j). Scores are the
    relevance. Quadratic in the tokens of a set.

    Attributes
    ----------
    relevance : "text": from ``text_embeds``, the LLM's input embeddings, as OpenVINO GenAI does; "clip": from
        ``clip_joint`` and ``text_joint``, in CLIP's joint space, with the cosine's sign reversed, as the authors do
    theta : None for the kernel above, as in both implementations; from 0 to below 1 for the paper's exp(theta / 2 (1 -
        theta) relevance) in place of the relevance
    scope : "frame": each frame is one set, with the budget spread evenly over frames; "video": all tokens are one set
    """

    relevance: str = "text"
    theta: float | None = None
    scope: str = "frame"

    name: ClassVar[str] = "cdpruner"
    paper: ClassVar[str] = "CDPruner, NeurIPS 2025"
    on_gpu: ClassVar[bool] = True
    quadratic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_scope(self.scope)
        if self.relevance not in RELEVANCES:
            raise InputError(f"relevance is {self.relevance!r}; it must be one of {', '.join(RELEVANCES)}")
        if self.theta is not None and not _is_weight(self.theta):
            raise InputError(f"theta is {self.theta!r}; it must be None or a number from 0 to below 1")

    @property
    def requires(self) -> frozenset[str]:  # type: ignore[override]
        """The signals the relevance is computed from."""
        return frozenset({"text_embeds"} if self.relevance == "text" else {"clip_joint", "text_joint"})

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """In each set, keep its share of ``n_keep``."""
        greedy_dpp = kernels_for(tokens.lattice, "dpp").greedy_dpp
        n, T = tokens.grid.n_nodes, tokens.grid.T
        n_sets = T if self.scope == "frame" else 1
        size = n // n_sets
        relevance = self._relevance(tokens)
        quality = relevance if self.theta is None else np.exp(self.theta / (2 * (1 - self.theta)) * relevance)
        kept = np.zeros(n, np.bool_)
        for i, count in enumerate(per_frame_counts(n_keep, n_sets).tolist()):
            if count:
                x = tokens.lattice if n_sets == 1 else tokens.lattice[i]
                mine = slice(i * size, (i + 1) * size)
                kept[i * size + greedy_dpp(wide_units(x.reshape(size, -1)), quality[mine], count)] = True
        nodes = np.flatnonzero(kept)
        return Choice(
            nodes,
            DIVERSITY,
            relevance[nodes],
            exactness=self._exactness(tokens),
            report={"relevance_kept": float(relevance[nodes].mean()), "relevance_mean": float(relevance.mean())},
        )

    def _relevance(self, tokens: VideoTokens) -> Array:
        """[N] float64 in about [0, 1]."""
        if self.relevance == "clip":
            text = tokens.signal("text_joint", self.name)
            placed = on_lattice(tokens, tokens.signal("clip_joint", self.name), "clip_joint")
            frames, sign = placed, -1.0
        else:
            text, sign = tokens.signal("text_embeds", self.name), 1.0
            frames = tokens.lattice.reshape(tokens.grid.T, -1, tokens.dimension)
        if len(text) == 0:
            raise InputError(f"{self.name}: the prompt has no text tokens after the video to compare its tokens with")
        check_finite("signal 'text_embeds'" if self.relevance == "text" else "signal 'text_joint'", text)
        asked = wide_units(text).mean(axis=0)
        there = beside(asked, frames)
        found = sign * joined([(wide_units(frame) * there).sum(axis=1) for frame in frames])
        low, span = found.min(), np.ptp(found)
        return (found - low + _LEAST) / span if span >= _LEAST else np.ones(found.size)

    def _exactness(self, tokens: VideoTokens) -> str:
        reasons = [] if self.theta is None else ["relevance is weighted as in the paper, not as in the code"]
        if self.scope == "video":
            reasons.append("all frames are one set")
        if self.relevance == "clip":
            return exactness(tokens, tokens.signals["clip_joint"].shape[1], *reasons)
        return approximate("relevance in the LLM's input space, as OpenVINO GenAI has it, not in CLIP's", *reasons)


def _is_weight(theta: Any) -> bool:
    """Whether ``theta`` is a number in its range."""
    number = isinstance(theta, (int, float, np.integer, np.floating)) and not isinstance(theta, bool)
    return number and 0 <= theta < 1
