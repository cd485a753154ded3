"""Layers at which methods that cut inside a language model cut in the probe's, which has three decoder layers.

The authors' layer l of L (32, or 28) becomes layer ⌊3 l / L⌋, at least 1 for a cut before a layer. Of coinciding cuts
the last counts; coinciding deletions add up. Layer 2 of FastV and DART exists and is kept. These choices were not made
by results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stgraph.errors import MissingSignalError
from stgraph.selection.base import Selector
from stgraph.selection.rivals.fitprune import TABLE as DELETIONS
from stgraph.selection.rivals.flashvid_attention import FlashVidAttention
from stgraph.selection.rivals.holitom_attention import HoliTomAttention
from stgraph.selection.rivals.prunevid_attention import PruneVidAttention
from stgraph.selection.rivals.pyramiddrop import PyramidDrop
from stgraph.selection.rivals.sparsevlm import TABLES, SparseVlm

N_LAYERS = 3
_AUTHORS = 32
KEYS_LAYER = 1
"""Whose keys the signal ``llm_keys`` holds; ``llm_hidden`` is what enters the next one."""


def _there(layer: int, of: int = _AUTHORS) -> int:
    return layer * N_LAYERS // of


TEXT_LAYER = _there(PruneVidAttention.layer)
"""Whose attention the signal ``llm_attn_textmax`` holds."""

_OF_ONE_LAYER = {"llm_attn_textmax": TEXT_LAYER, "llm_keys": KEYS_LAYER + 1}  # signal -> the parameter ``layer``


def _deletions() -> dict[int, int]:
    found: dict[int, int] = {}
    for layer, count in DELETIONS.items():
        there = min(_there(layer), N_LAYERS - 2)  # a layer that deletes has one after it
        found[there] = found.get(there, 0) + count
    return found


def _defaults() -> dict[str, Mapping[str, Any]]:
    left = {max(1, _there(layer)): ratio for layer, ratio in zip(PyramidDrop.layers, PyramidDrop.ratios, strict=True)}
    stay = {_there(layer): count for layer, count in zip(SparseVlm.layers, TABLES[SparseVlm.version], strict=True)}
    return {
        "prunevid-attention": {"layer": TEXT_LAYER, "n_layers": N_LAYERS},
        "pyramiddrop": {"layers": tuple(left), "ratios": tuple(left.values()), "n_layers": N_LAYERS},
        "sparsevlm": {"layers": tuple(stay), "table": tuple(stay.values()), "n_layers": N_LAYERS},
        "fitprune": {"deletions": _deletions(), "n_layers": N_LAYERS},
        **{
            made.name: {"layer": max(1, _there(made.layer, made.n_layers)), "n_layers": N_LAYERS}
            for made in (HoliTomAttention, FlashVidAttention)
        },
    }


DEFAULTS: Mapping[str, Mapping[str, Any]] = _defaults()
"""Selector -> its parameters in the probe, where its own defaults name layers that are not there."""


def check_depth(selector: Selector) -> None:
    """Raise MissingSignalError if a selector asks for layers that the probe's model lacks or does not expose."""
    name, deepest = selector.name, getattr(selector, "prune_layer", 0)
    if deepest >= N_LAYERS:
        how = ", ".join(f"{key}={value!r}" for key, value in DEFAULTS.get(name, {}).items())
        raise MissingSignalError(
            f"{name} cuts before decoder layer {deepest}; the probe's model has layers 0 to {N_LAYERS - 1}: "
            + (f"pass {how}" if how else "leave this selector out")
        )
    for signal, layer in _OF_ONE_LAYER.items():
        given = getattr(selector, "layer", layer)
        if signal in selector.requires and given != layer:
            raise MissingSignalError(
                f"{name} has layer={given}; the probe holds the signal {signal!r} for layer={layer}"
            )
