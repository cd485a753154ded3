"""VisionZip: dominant tokens by attention, and contextual tokens into which the others are merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import GridError
from stgraph.selection.assignment import assignment
from stgraph.selection.budget import Budget, per_frame_counts
from stgraph.selection.encoder_attention import ByEncoderAttention
from stgraph.selection.method import Choice
from stgraph.selection.reasons import ATTENTION, CONTEXT
from stgraph.selection.rivals.fastervlm import attention_kept, most_attended
from stgraph.selection.signals.encoder_grid import on_lattice
from stgraph.tokens import VideoTokens

DOMINANT, OF = 27, 32  # 54 dominant tokens of 64


@dataclass(frozen=True, kw_only=True)
class VisionZip(ByEncoderAttention):
    """VisionZip (CVPR 2025; ``visionzip/clip_encoder.py``): of a frame's budget k, floor(27 k / 32) dominant tokens (at
    least one) by the CLS token's attention. Contextual tokens are evenly spaced among the rest; every other remaining
    token joins the one with the most similar key, which becomes x + mean(joined).

    The budget is spread evenly over the frames. Scores are the attention. The CLS token, which the authors count among
    the dominant tokens, is not part of a video grid.

    Attributes
    ----------
    attention : see :class:`ByEncoderAttention`
    """

    name: ClassVar[str] = "visionzip"
    paper: ClassVar[str] = "VisionZip, CVPR 2025"
    on_gpu: ClassVar[bool] = True
    also: ClassVar[frozenset[str]] = frozenset({"enc_keys_mean"})

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        """In each frame, dominant and contextual tokens in the ratio 27 : 5."""
        from stgraph.kernels.cpu.threads import run_blocks

        T, P = tokens.grid.T, tokens.grid.H * tokens.grid.W
        attention, keys = self.ranked_by(tokens), self._keys(tokens)
        counts = per_frame_counts(n_keep, T)
        dominant_counts = np.minimum(counts, np.maximum(1, DOMINANT * counts // OF))
        dominant = most_attended(attention, dominant_counts).reshape(T, P)

        def join(t: int) -> tuple[Array, Array, Array]:
            return _contexts(keys[t], np.flatnonzero(~dominant[t]), int(counts[t] - dominant_counts[t]))

        frames = run_blocks(join, range(T))
        targets = np.concatenate([t * P + places for t, (places, _, _) in enumerate(frames)])
        joined = np.concatenate([t * P + places for t, (_, places, _) in enumerate(frames)])
        into = np.concatenate([t * P + places for t, (_, _, places) in enumerate(frames)])
        kept = dominant.reshape(-1).copy()
        kept[targets] = True
        nodes = np.flatnonzero(kept)
        shares = 1 / np.bincount(into, minlength=T * P)[into]
        merge = assignment(
            nodes,
            np.concatenate([nodes, into]),
            np.concatenate([nodes, joined]),
            np.concatenate([np.ones(nodes.size), shares]),
            T * P,
        )
        return Choice(
            nodes,
            np.where(dominant.reshape(-1)[nodes], ATTENTION, CONTEXT),
            attention.reshape(-1)[nodes],
            merge=merge,
            exactness=self.closeness(tokens, merges=True),
            report={
                "n_dominant": int(dominant_counts.sum()),
                "n_contextual": int(targets.size),
                "n_joined": int(joined.size),
                "attention_kept": attention_kept(attention, nodes),
            },
        )

    def _keys(self, tokens: VideoTokens) -> Array:
        """[T, P, c] head-mean keys on the lattice, without the CLS token's."""
        keys = tokens.signal("enc_keys_mean", self.name)
        e = self.n_patches(tokens)
        if keys.shape[1] not in (e, e + 1):
            raise GridError(
                f"signal 'enc_keys_mean' has {keys.shape[1]} keys per frame, but {self.source!r} {e} "
                f"patches; expected {e}, or {e + 1} with the CLS token's key first"
            )
        return on_lattice(tokens, keys[:, keys.shape[1] - e :], "enc_keys_mean")


def _contexts(keys: Array, rest: Array, n_targets: int) -> tuple[Array, Array, Array]:
    """Targets, the tokens that join them, and the target each of these joins, as places in one frame.

    Parameters
    ----------
    keys : [P, c] float32
    rest : [n] ascending, the tokens that are not dominant
    n_targets : at most n
    """
    from stgraph.kernels.cpu.cosines import cosines

    if n_targets == 0:
        return rest[:0], rest[:0], rest[:0]
    is_target = np.zeros(rest.size, np.bool_)
    is_target[np.arange(n_targets) * (rest.size // n_targets)] = True
    targets, joined = rest[is_target], rest[~is_target]
    nearest = cosines(keys, joined, targets).argmax(axis=1)
    return targets, joined, targets[nearest]
