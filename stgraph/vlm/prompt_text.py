"""The text tokens of a prompt, as received by its language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stgraph.aliases import Array
from stgraph.devices import to_host
from stgraph.vlm.grids import Video


def text_columns(real: Any, videos: Sequence[Video]) -> Any:
    """[B, S] bool: columns that are neither padding nor video; images count as text.

    Parameters
    ----------
    real : [B, S] bool tensor: columns that are not padding
    """
    text = real.clone()
    for video in videos:
        text[video.row, video.start : video.stop] = False
    return text


def text_behind(embeds: Any, text: Any, video: Video) -> Array:
    """[m, d] in host memory: input embeddings of the text after a video, up to the end of its prompt.

    Parameters
    ----------
    embeds : [B, S, d]
    text : of :func:`text_columns`
    """
    behind = text[video.row, video.stop :].nonzero().flatten().to(embeds.device)
    return to_host(embeds[video.row, video.stop :].detach().index_select(0, behind))
