"""What a selector asks of a running model, and how a run departs from its authors'."""

from __future__ import annotations

from typing import Any

from stgraph.errors import InputError, MissingSignalError
from stgraph.selection.base import MinimalSelector, Selector
from stgraph.selection.checked import checked
from stgraph.selection.method import approximate
from stgraph.selection.result import Selection
from stgraph.selection.stages import ATTENTION_SIGNALS, PROMPT_SIGNALS, AttentionRead, Waiting
from stgraph.tokens import VideoTokens
from stgraph.vlm.encoder_signals import ENCODER_SIGNALS
from stgraph.vlm.families import Parts
from stgraph.vlm.model_tower import EncoderReader

_BEFORE = "pruned before the LLM, where the authors prune inside it"


def check_selector(selector: Any) -> Selector:
    """``selector`` with all that is asked of one, if it can work in a running model.

    Raises
    ------
    InputError
        it is not a selector, counts on layers that see all tokens, or reads the attention of several layers
    MissingSignalError
        it needs a signal that is not read from running models
    """
    if not isinstance(selector, MinimalSelector):
        raise InputError(f"selector is {type(selector).__name__}; pass stgraph.selector(name, retain_ratio=...)")
    found: Selector = checked(selector)
    lacking = sorted(found.requires - ATTENTION_SIGNALS - PROMPT_SIGNALS - set(ENCODER_SIGNALS))
    if lacking:
        raise MissingSignalError(
            f"{found.name} needs the signal {lacking[0]!r}, which compress() does not read from a running model. "
            "Select from a token dump that carries it, or compress with another selector"
        )
    inside = any(stage.layer for stage in found.stages())
    if inside and getattr(getattr(found, "budget", None), "measured", None) == "layers":
        raise InputError(
            f"{found.name} with measured='layers' counts on pruning inside the LLM, but compress() prunes before "
            "the first layer: use measured='kept'"
        )
    return found


def encoder_reader(selector: Selector, parts: Parts) -> EncoderReader | None:
    """Reads the signals of the model's vision tower that the selector needs; None where it needs none.

    Raises
    ------
    MissingSignalError
        the tower lacks one
    """
    signals = selector.requires & set(ENCODER_SIGNALS)
    return EncoderReader(parts, signals, selector.name) if signals else None


def probe_layer_of(selector: Selector, probe_layer: int) -> int | None:
    """The decoder layer whose attention the selector needs; None where it needs none.

    Parameters
    ----------
    probe_layer : for selectors that do not insist on their own

    Raises
    ------
    InputError
        it needs that of several layers
    """
    layers = sorted({read.at(probe_layer) for read in _reads(selector)})
    if len(layers) > 1:
        raise InputError(
            f"{selector.name} reads the attention of decoder layers {', '.join(map(str, layers))}; compress() reads "
            "that of one"
        )
    return layers[0] if layers else None


def begin(selector: Selector, tokens: VideoTokens, probe_layer: int) -> Selection | Waiting:
    """Select, or go as far as is possible without the attention of the layer that will be read."""
    layer = probe_layer_of(selector, probe_layer)
    return selector.begin(tokens, probe_layer if layer is None else layer)


def exactness_of(selection: Selection, layer: int | None, selector: Selector, departure: str | None = None) -> str:
    """The selection's exactness, and how the run departs from the authors beyond it: by ``departure``, for one."""
    reasons = [] if selection.exactness == "exact" else [selection.exactness.removeprefix("approximate: ")]
    if selection.account.prune_layer:
        reasons.append(_BEFORE)
    theirs = sorted({read.layer for read in _reads(selector) if read.layer is not None} - {layer})
    if layer is not None and theirs:
        reasons.append(f"attention of decoder layer {layer}; the authors take layer {theirs[0]}")
    if departure is not None:
        reasons.append(departure)
    return approximate(*reasons)


def _reads(selector: Selector) -> list[AttentionRead]:
    return [stage.attention for stage in selector.stages() if stage.attention is not None]
