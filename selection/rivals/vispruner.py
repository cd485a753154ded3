"""VisPruner: some tokens by attention, the others by removing near-duplicates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.selection.budget import Budget, per_frame_counts
from stgraph.selection.encoder_attention import ByEncoderAttention
from stgraph.selection.method import Choice, check_share
from stgraph.selection.reasons import ATTENTION, DIVERSITY
from stgraph.selection.rivals.fastervlm import attention_kept
from stgraph.selection.signals.encoder_grid import on_lattice
from stgraph.tokens import VideoTokens

PER_ROUND = 8  # tokens the authors drop in a round


@dataclass(frozen=True, kw_only=True)
class VisPruner(ByEncoderAttention):
    """VisPruner (ICCV 2025, arXiv 2412.01818v2; ``llava/model/llava_arch.py``): of a frame's budget k, int(k ratio)
    tokens are chosen by the CLS token's attention; the rest are the other tokens that survive near-duplicate removal,
    by encoder features. The LLM's features are not read.

    The budget is spread evenly over the frames. Scores are the attention, also for the diverse tokens. Time and memory
    are quadratic in the tokens of one frame (P x P float32 cosines per thread), the rounds cubic with a small factor
    (P^3 / 32 comparisons).

    Attributes
    ----------
    attention : see :class:`ByEncoderAttention`
    ratio : share of the budget chosen by attention, in [0, 1]; the authors use 0.5 or 0.75
    """

    ratio: float = 0.5

    name: ClassVar[str] = "vispruner"
    paper: ClassVar[str] = "VisPruner, ICCV 2025"
    on_gpu: ClassVar[bool] = True
    quadratic: ClassVar[bool] = True
    also: ClassVar[frozenset[str]] = frozenset({"enc_features"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("ratio", self.ratio)

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """In each frame, the int(k ratio) most-attended tokens, and diverse ones among the others."""
        from stgraph.kernels.cpu.threads import run_blocks

        attention = self.ranked_by(tokens)
        features = on_lattice(tokens, tokens.signal("enc_features", self.name), "enc_features")
        counts = per_frame_counts(n_keep, tokens.grid.T)
        important = [int(k * self.ratio) for k in counts.tolist()]
        ranked = np.argsort(-attention, axis=1, kind="stable")

        def diverse(t: int) -> tuple[Array, int]:
            rest = ranked[t, important[t] :]
            return _diverse(features[t], rest, int(counts[t]) - important[t])

        frames = run_blocks(diverse, range(tokens.grid.T))
        reason = np.zeros(attention.shape, np.uint8)
        for t, (others, _) in enumerate(frames):
            reason[t, ranked[t, : important[t]]] = ATTENTION
            reason[t, others] = DIVERSITY
        nodes = np.flatnonzero(reason)
        report = {
            "n_important": sum(important),
            "n_diverse": n_keep - sum(important),
            "rounds": max(rounds for _, rounds in frames),
            "attention_kept": attention_kept(attention, nodes),
        }
        return Choice(
            nodes,
            reason.reshape(-1)[nodes],
            attention.reshape(-1)[nodes],
            exactness=self.closeness(tokens),
            report=report,
        )


def _diverse(features: Array, ranked: Array, n_keep: int) -> tuple[Array, int]:
    """``n_keep`` of the ``ranked`` tokens of one frame ([P, c]), and the number of removal rounds."""
    from stgraph.kernels.cpu.cosines import cosines
    from stgraph.kernels.cpu.duplicates import remove_duplicates

    if n_keep in (0, ranked.size):
        return ranked[:n_keep], 0
    left, rounds = remove_duplicates(cosines(features, ranked), ranked, n_keep, PER_ROUND)
    return ranked[left], rounds
