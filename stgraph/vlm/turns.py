"""A further turn of a conversation whose first prompt was cut: ``generate`` counts the tokens an uncut cache would
hold."""

from __future__ import annotations

from collections.abc import Mapping
from types import FrameType
from typing import Any

import numpy as np

from stgraph.errors import InputError
from stgraph.vlm.calls import generation_of
from stgraph.vlm.continuation import Continuation, new_video

_BY_TOKEN = ("input_ids", "position_ids", "cache_position")


def new_tokens_alone(
    model: Any, frame: FrameType, given: Mapping[str, Any], state: Continuation, past: int, image: int | None = None
) -> dict[str, Any] | None:
    """Keyword arguments of the model with only the tokens its cache lacks; None if they are so already.

    ``generate`` passes the tokens of the conversation after as many as the cache holds. After a cut before layer 0 the
    cache holds fewer columns, so that the last tokens it knows are passed again.

    Parameters
    ----------
    model : the model whose ``generate`` may be running
    frame : of the call
    given : its keyword arguments
    state, past : of its cache
    image : the placeholder of images, if the model has one

    Raises
    ------
    InputError
        the conversation does not begin with the prompt in the cache, or an image comes with the new tokens of a model
        whose images have positions on several axes
    """
    ids = given.get("input_ids")
    known = state.n_dropped
    if ids is None or not 0 < known < ids.shape[1]:
        return None
    generation = generation_of(model, frame)
    whole = None if generation is None else generation.f_locals.get("input_ids")
    n = ids.shape[1]
    if whole is None or getattr(whole, "ndim", 0) != 2 or whole.shape[1] != past + n:
        return None
    if not np.array_equal(whole[:, : state.length].cpu().numpy(), state.ids):
        raise InputError(
            "generate() is given a conversation and a compressed cache (past_key_values), but the conversation does "
            "not begin with the prompt that is in the cache. Pass all its tokens, or start without past_key_values"
        )
    if state.next_position.ndim > 2 and image is not None and bool((ids[:, known:] == image).any()):
        raise new_video(past)

    def behind(name: str, value: Any) -> Any:
        if getattr(value, "ndim", 0) and (name in _BY_TOKEN or name.endswith("token_type_ids")):
            return value[..., known:] if value.shape[-1] == n else value
        if name == "attention_mask" and isinstance(value, Mapping):
            return {kind: behind(name, mask) for kind, mask in value.items()}
        if name == "attention_mask" and getattr(value, "ndim", 0) == 4 and value.shape[2] == n:
            return value[:, :, known:]
        return value

    return {name: behind(name, value) for name, value in given.items()}
