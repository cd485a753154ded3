"""Token accounting: the cost of a selection at the LLM's input, per layer, and averaged over layers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from stgraph.errors import InputError
from stgraph.spelling import Spelled


@dataclass(frozen=True)
class TokenAccount(Spelled):
    """Token cost of one selection in the LLM.

    Attributes
    ----------
    n_visual : visual tokens, which the ratio refers to
    n_input : tokens entering the LLM
    n_kept : tokens left at the end
    prune_layer : layers 0 to prune_layer - 1 see ``n_input`` tokens, the others ``n_kept``; 0 before the LLM
    n_layers : decoder layers of the LLM
    newlines : "in" if all these counts include newline tokens, else "out"
    cuts : (layer, tokens from that layer on), ascending, where tokens are dropped inside the LLM more than once; the
        last is (prune_layer, n_kept)
    """

    n_visual: int
    n_input: int
    n_kept: int
    prune_layer: int = 0
    n_layers: int = 28
    newlines: str = "out"
    cuts: tuple[tuple[int, int], ...] = ()

    @property
    def per_layer(self) -> list[int]:
        """Tokens in each decoder layer."""
        return [count for count, n_layers in self._spans for _ in range(n_layers)]

    @property
    def _spans(self) -> list[tuple[int, int]]:
        """(tokens, number of layers that see them), from the first layer on."""
        steps = [(0, self.n_input), *(self.cuts or [(self.prune_layer, self.n_kept)])]
        ends = [layer for layer, _ in steps[1:]] + [self.n_layers]
        return [(count, max(0, end - layer)) for (layer, count), end in zip(steps, ends, strict=True)]

    @property
    def mean_over_layers(self) -> float:
        """Mean tokens over the decoder layers; FrameFusion's "cost"."""
        return sum(count * n_layers for count, n_layers in self._spans) / self.n_layers

    def to_dict(self) -> dict[str, Any]:
        """The figures of a result row."""
        return {
            "n_visual": self.n_visual,
            "n_input": self.n_input,
            "mean_layer_tokens": self.mean_over_layers,
            "mean_layer_ratio": self.mean_over_layers / self.n_visual,
            "prune_layer": self.prune_layer,
            "n_layers": self.n_layers,
            "newlines": self.newlines,
        }


def kept_for_mean(ratio: Fraction, n_visual: int, prune_layer: int, n_layers: int) -> int:
    """Tokens to keep from ``prune_layer`` on so that the mean over layers is ratio * n_visual (rounded up).

    Raises
    ------
    InputError
        the layers before it alone cost more than the ratio allows
    """
    kept = (ratio * n_layers - prune_layer) * n_visual / (n_layers - prune_layer)
    if kept <= 0:
        raise InputError(
            f"retain ratio {float(ratio):g}, measured over {n_layers} layers, cannot be met by pruning at layer "
            f"{prune_layer}: the layers before alone cost {prune_layer / n_layers:.3f}. Raise it, or measure 'kept'"
        )
    return min(n_visual, -(-kept.numerator // kept.denominator))
