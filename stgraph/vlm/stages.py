"""Requirements of a selector on a running model, and departures of a run from its authors'."""

from __future__ import annotations

from typing import Any

from stgraph.errors import InputError, MissingSignalError
from stgraph.selection.base import MinimalSelector, Selector
from stgraph.selection.checked import checked
from stgraph.selection.method import approximate
from stgraph.selection.result import Selection
from stgraph.selection.stages import ATTENTION_SIGNALS, PROMPT_SIGNALS, TEXT_SIGNALS, Stage, Waiting
from stgraph.tokens import VideoTokens
from stgraph.vlm.attention_probe import check_layer
from stgraph.vlm.families import Parts
from stgraph.vlm.layer_kinds import check_all_attend, mlp_entry
from stgraph.vlm.model_tower import LIVE_SIGNALS, EncoderReader

_BEFORE = "pruned before the LLM, where the authors prune inside it"


def check_selector(selector: Any) -> Selector:
    """``selector`` with the full protocol, if it can work in a running model.

    Raises
    ------
    InputError
        it is not a selector
    MissingSignalError
        it needs a signal that is not read from running models
    """
    if not isinstance(selector, MinimalSelector):
        raise InputError(f"selector is {type(selector).__name__}; pass stgraph.selector(name, retain_ratio=...)")
    found: Selector = checked(selector)
    by_text = any(stage.attention is not None and stage.attention.by != "last" for stage in found.stages())
    running = ATTENTION_SIGNALS | PROMPT_SIGNALS | set(LIVE_SIGNALS) | (TEXT_SIGNALS if by_text else set())
    lacking = sorted(found.requires - running)
    if lacking:
        raise MissingSignalError(
            f"{found.name} needs the signal {lacking[0]!r}, which compress() does not read from a running model. "
            "Select from a token dump that carries it, or compress with another selector"
        )
    return found


def encoder_reader(selector: Selector, parts: Parts) -> EncoderReader | None:
    """Reader of the signals of the model's vision tower that the selector needs; None if it needs none.

    Raises
    ------
    MissingSignalError
        the tower lacks one
    """
    signals = selector.requires & set(LIVE_SIGNALS)
    return EncoderReader(parts, signals, selector.name, getattr(selector, "pool_head", None)) if signals else None


def check_where(selector: Selector, text: Any, probe_layer: int, where: str) -> None:
    """Raise unless the stages of a selector can run in this text model, inside or before it.

    Raises
    ------
    InputError
        the model lacks a layer, attention is read too late, a mean over the layers would not be met, or
    ``where="before"`` is given with attention of several layers
    UnavailableError
        a layer's attention cannot be read, or a layer is not attention and cannot follow a cut
    """
    if where not in ("inside", "before"):
        raise InputError(f"where is {where!r}; it must be 'inside', at the layers the selector names, or 'before'")
    stages, n_layers = selector.stages(), len(text.layers)
    inside = stages_inside(selector, n_layers) if where == "inside" else []
    measured = getattr(getattr(selector, "budget", None), "measured", None) == "layers"
    if measured and where == "before" and any(stage.layer for stage in stages):
        raise InputError(
            f"{selector.name} with measured='layers' counts on pruning inside the LLM, but where='before' prunes "
            "before the first layer: use measured='kept'"
        )
    expected = getattr(selector, "n_layers", n_layers)
    if measured and inside and expected != n_layers:
        raise InputError(
            f"{selector.name} with measured='layers' counts on {expected} decoder layers, but {type(text).__name__} "
            f"has {n_layers}: pass n_layers={n_layers}"
        )
    before = layer_before(selector, probe_layer, where)
    if before is not None:
        check_layer(text, before)
    for stage in inside:
        if stage.layer >= n_layers:
            raise InputError(
                f"{selector.name} drops tokens before decoder layer {stage.layer}, but {type(text).__name__} has "
                f"layers 0 to {n_layers - 1}: choose another layer"
            )
        read = None if stage.attention is None else stage.attention.at(probe_layer)
        if read is not None:
            check_layer(text, read)
        if read is not None and read > stage.layer:
            raise InputError(
                f"{selector.name} drops tokens before decoder layer {stage.layer} by the attention of layer {read}, "
                "which comes later: name a lower probe_layer"
            )
        if stage.attention is not None and stage.attention.by != "last" and read == stage.layer:
            raise InputError(
                f"{selector.name} reads the attention of the prompt's text in decoder layer {read}, before which it "
                "cuts; it is read from the running pass, in a layer before that"
            )
        if stage.states == "mlp":
            mlp_entry(text, stage.layer - 1)
    if inside:
        check_all_attend(text)


def stages_inside(selector: Selector, n_layers: int) -> list[Stage]:
    """The stages between decoder layers; those repeated before each deeper layer are listed per layer."""
    return [one for stage in selector.stages() if stage.layer for one in stage.unrolled(n_layers)]


def layer_before(selector: Selector, probe_layer: int, where: str) -> int | None:
    """The decoder layer whose attention is read before the language model runs, or None.

    Parameters
    ----------
    probe_layer : for selectors without a fixed layer

    Raises
    ------
    InputError
        attention of several layers would be needed
    """
    stages = [stage for stage in selector.stages() if where == "before" or not stage.layer]
    reads = [stage.attention for stage in stages if stage.attention is not None]
    if any(read.by != "last" for read in reads):
        raise InputError(
            f"{selector.name} reads the attention of the prompt's text, which compress() reads between decoder layers "
            "alone: where='inside'"
        )
    layers = sorted({read.at(probe_layer) for read in reads})
    if len(layers) > 1:
        raise InputError(
            f"{selector.name} reads the attention of decoder layers {', '.join(map(str, layers))}; before the language "
            "model runs, compress() reads that of one"
        )
    return layers[0] if layers else None


def layers_inside(
    selector: Selector, n_layers: int, probe_layer: int, where: str
) -> tuple[set[int], set[int], set[int]] | None:
    """Layers whose attention is read from the running pass, layers whose attention is read before they run, and layers
    whose states are read before the feed-forward block; None if nothing is cut between layers."""
    stages = stages_inside(selector, n_layers) if where == "inside" else []
    if not stages:
        return None
    reads = [(s.layer, s.attention.at(probe_layer)) for s in stages if s.attention is not None]
    return (
        {read for layer, read in reads if read < layer},
        {read for layer, read in reads if read == layer},
        {stage.layer - 1 for stage in stages if stage.states == "mlp"},
    )


def begin(selector: Selector, tokens: VideoTokens, probe_layer: int) -> Selection | Waiting:
    """Select, or proceed as far as possible without the attention of the layer to be read."""
    reads = [stage.attention for stage in selector.stages() if stage.attention is not None]
    return selector.begin(tokens, reads[0].at(probe_layer) if reads else probe_layer)


def exactness_of(
    selection: Selection, layer: int | None, selector: Selector, where: str, n_layers: int, *departures: str | None
) -> str:
    """The selection's exactness, with further departures of the run from the authors, including ``departures``."""
    reasons = [] if selection.exactness == "exact" else [selection.exactness.removeprefix("approximate: ")]
    if selection.account.prune_layer and where == "before":
        reasons.append(_BEFORE)
    reads = [one for stage in selector.stages() for one in stage.unrolled(n_layers)]
    named = {s.attention.layer for s in reads if s.attention is not None and s.attention.layer is not None}
    theirs = sorted(named - {layer})
    if layer is not None and theirs and layer not in named:
        reasons.append(f"attention of decoder layer {layer}; the authors take layer {theirs[0]}")
    return approximate(*reasons, *(departure for departure in departures if departure is not None))
