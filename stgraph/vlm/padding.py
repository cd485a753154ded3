"""What the padding of a prompt says, and which rows of a batch are copies of one another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from stgraph.errors import InputError

Array = np.ndarray[Any, Any]


def padding_of(mask: Any, embeds: Any) -> Any:
    """[B, S] bool: which columns of the prompt are no padding.

    Parameters
    ----------
    mask : None, [B, S], or what ``generate`` prepares for static caches: [B, 1, S, n], or several masks by name
    embeds : [B, S, d]

    Raises
    ------
    InputError
        a prepared mask that hides columns from the last token, which may be padding or anything else
    """
    import torch

    B, S = embeds.shape[:2]
    real = torch.ones(B, S, dtype=torch.bool, device=embeds.device)
    for part in mask.values() if isinstance(mask, dict) else [mask]:
        if part is None:
            continue
        if part.ndim == 2:
            real &= part[:, :S].to(real.device).bool()
            continue
        last = part[:, :, -1, :S]
        seen = last if last.dtype == torch.bool else last == 0
        if not bool(seen.all()):
            raise InputError(
                f"the attention mask has shape {list(part.shape)} and hides tokens from the last one; compress() reads "
                "padding from masks of shape [batch, length] only: use a dynamic cache, or prompts of equal length"
            )
    return real


def check_last_token(real: Any, ends: Iterable[tuple[int, int]]) -> None:
    """Raise unless every row ends in a token of text: its attention ranks tokens, and what is generated follows it.

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
                "prompt, behind the video, in the same forward pass (no prefill_chunk_size)"
            )


def first_of_equal(ids: Array, embeds: Any, real: Any) -> list[int]:
    """[B] for each row the first of the run of equal rows it belongs to: beams and returned sequences are copies."""
    import torch

    first = list(range(len(ids)))
    for row in range(1, len(ids)):
        same = np.array_equal(ids[row], ids[row - 1]) and torch.equal(real[row], real[row - 1])
        if same and torch.equal(embeds[row], embeds[row - 1]):
            first[row] = first[row - 1]
    return first
