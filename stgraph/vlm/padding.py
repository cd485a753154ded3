"""Padding of prompts, and rows of a batch that are copies of one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError
from stgraph.vlm.grids import Video
from stgraph.vlm.keywords import axes_of, tensors_in, visual_of
from stgraph.vlm.masks import are_pairs, padding_in


def padding_of(mask: Any, embeds: Any) -> Any:
    """[B, S] bool: columns of the prompt that are not padding.

    Parameters
    ----------
    mask : None, [B, S], a mask for pairs of tokens (:mod:`stgraph.vlm.masks`), or several of these by name; for any
        other form, which the cut will refuse, all columns count
    embeds : [B, S, d]
    """
    import torch

    B, S = embeds.shape[:2]
    real = torch.ones(B, S, dtype=torch.bool, device=embeds.device)
    for part in mask.values() if isinstance(mask, dict) else [mask]:
        if part is None:
            continue
        if is_padding(part, S):
            real &= part[:, :S].to(real.device).bool()
        elif are_pairs(part, B, S):
            real &= padding_in(part, B, S).to(real.device)
    return real


def is_padding(mask: Any, S: int) -> bool:
    """Whether a mask is plain, [B, S] or longer, and hides only padding."""
    return getattr(mask, "ndim", 0) == 2 and mask.shape[1] >= S


def check_last_token(real: Any, ends: Iterable[tuple[int, int]]) -> None:
    """Raise unless every row ends in a text token: its attention ranks tokens, and generated tokens follow it.

    Parameters
    ----------
    real : [B, S] bool, of :func:`padding_of`
    ends : (row, column after the last) of each video
    """
    if not bool(real[:, -1].all()):
        row = int(real[:, -1].int().argmin())
        raise InputError(
            f"row {row} of the batch is padded on the right; pad on the left: processor.tokenizer.padding_side = 'left'"
        )
    for row, stop in ends:
        if stop == real.shape[1]:
            raise InputError(
                f"row {row} of the batch ends in video tokens; put the question, or the chat template's generation "
                "prompt, after the video, in the same forward pass (no prefill_chunk_size)"
            )


def first_of_equal(ids: Array, inputs: Mapping[str, Any], videos: Sequence[Video]) -> list[int]:
    """[B]: for each row the first of its run of equal rows; beams and returned sequences are copies.

    Rows are equal if all inputs of the text model and the selector are: token ids, embeddings, positions, masks, every
    other argument with one value per row, and the videos' places.

    Parameters
    ----------
    ids : [B, S]
    inputs : keyword arguments of the text model
    """
    first = list(range(len(ids)))
    places = [[_place(video) for video in videos if video.row == row] for row in first]
    for row in range(1, len(ids)):
        if np.array_equal(ids[row], ids[row - 1]) and places[row] == places[row - 1] and _same(inputs, row):
            first[row] = first[row - 1]
    return first


def _place(video: Video) -> tuple[Any, ...]:
    kind = video.grid.kind
    return video.start, video.stop, video.grid.shape, None if kind is None else kind.tobytes()


def _same(inputs: Mapping[str, Any], row: int) -> bool:
    """Whether a row and the one before it have the same values."""
    import torch

    B, S = inputs["inputs_embeds"].shape[:2]
    visual = visual_of(inputs)
    for name, tensor in tensors_in(inputs):
        if visual is not None and name.startswith("deepstack_visual_embeds"):
            entries = visual.reshape(B, -1).sum(1).cumsum(0).tolist()
            before, at, after = ([0] * 2 + entries)[row : row + 3]
            rows = tensor[before:at], tensor[at:after]
        else:
            batch = 0 if name.startswith("attention_mask") else axes_of(name, tuple(tensor.shape), B, S).batch
            if batch is None or tensor.shape[batch] == 1:
                continue
            rows = tensor.select(batch, row - 1), tensor.select(batch, row)
        if not torch.equal(*rows):
            return False
    return True
