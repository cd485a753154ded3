"""Decoder layers with a limited view of the prompt: sliding windows, and layers without attention."""

from __future__ import annotations

from typing import Any

from stgraph.errors import InputError, UnavailableError

_WINDOWED = {"sliding_attention": "sliding_window", "chunked_attention": "attention_chunk_size"}
BESIDE = "merged after whole layers, whose attention and feed-forward block run side by side"
"""How a run departs from authors who merge between the two."""

_WHOLE = ("full_attention", *_WINDOWED, "sparse", "dense", "moe")  # the last three say what follows the attention


def window_of(text: Any) -> int | None:
    """Columns that the most limited layer of the text model can look back on; None if all see everything."""
    config = text.config
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        used = getattr(config, "use_sliding_window", True)
        windows = [getattr(config, "sliding_window", None)] if used else []
    else:
        windows = [getattr(config, name, None) for kind, name in _WINDOWED.items() if kind in kinds]
    return min((int(window) for window in windows if window), default=None)


def check_window(window: int | None, length: int) -> None:
    """Raise if ``length`` tokens of a prompt and its answer do not fit into the window.

    Raises
    ------
    InputError
        the window counts the remaining tokens, so that it would reach further back than in the whole prompt
    """
    if window is not None and length > window:
        raise InputError(
            f"the language model has layers that see {window:,} tokens back, and the prompt with its answer has "
            f"{length:,}: with tokens dropped these layers would see what they do not see in the whole prompt. Use "
            "prompts that fit into the window, or leave compress()"
        )


def check_all_attend(text: Any) -> None:
    """Raise UnavailableError if layers of the text model are not attention: they do not receive the masks that show
    what was cut between layers."""
    kinds = getattr(text.config, "layer_types", None) or ()
    others = sorted({kind for kind in kinds if kind not in _WHOLE})
    if others:
        raise UnavailableError(
            f"{type(text).__name__} has decoder layers of kind {' and '.join(others)}, between which tokens cannot be "
            "dropped: compress(..., where='before') drops them before the first layer"
        )


def is_parallel(layer: Any) -> bool:
    """Whether attention and feed-forward block of a decoder layer run in parallel, after one norm (Cohere)."""
    return {name for name, _ in layer.named_children()} == {"self_attn", "mlp", "input_layernorm"}


def mlp_entry(text: Any, layer: int) -> Any:
    """The first module between a decoder layer's attention and its feed-forward block: the norm before that block, or
    the block itself if norms follow (EXAONE 4). None if the two run in parallel: then their sum enters the next layer.

    Raises
    ------
    UnavailableError
        the module is unknown
    """
    module = text.layers[layer]
    if is_parallel(module):
        return None
    before = "mlp" if hasattr(module, "post_feedforward_layernorm") else "post_attention_layernorm"
    name = "pre_feedforward_layernorm" if hasattr(module, "pre_feedforward_layernorm") else before
    if not hasattr(module, name):
        raise UnavailableError(
            f"decoder layer {layer} of {type(text).__name__} ({type(module).__name__}) has no {name}, which follows "
            "the attention: this selector merges tokens there. Use compress(..., where='before')"
        )
    return getattr(module, name)


def departure_of(text: Any) -> str | None:
    """Why a cut prompt differs from the whole prompt with hidden tokens; None if it does not."""
    kinds = getattr(text.config, "layer_types", None) or ()
    others = [kind for kind in kinds if kind not in _WHOLE]
    if not others:
        return None
    names = " and ".join(sorted(set(others)))
    return (
        f"{len(others)} of {len(kinds)} decoder layers are of kind {names} and read the cut prompt as if it were "
        "whole, which no mask on the whole prompt would give"
    )
