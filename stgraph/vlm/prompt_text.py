"""The text tokens of a prompt, as its language model gets them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stgraph.aliases import Array
from stgraph.devices import to_host
from stgraph.vlm.grids import Video


def text_columns(real: Any, videos: Sequence[Video]) -> Any:
    """[B, S] bool: columns that are neither padding nor of a video; images among them count as text.

    Parameters
    ----------
    real : [B, S] bool tensor: columns that are not padding
    """
    text = real.clone()
    for video in videos:
        text[video.row, video.start : video.stop] = False
    return text


def text_behind(embeds: Any, text: Any, video: Video) -> Array:
    """[m, d] in host memory: the input embeddings of the text behind a video, up to the end of its prompt.

    Parameters
    ----------
    embeds : [B, S, d]
    text : of :func:`text_columns`
    """
    behind = text[video.row, video.stop :].nonzero().flatten().to(embeds.device)
    return to_host(embeds[video.row, video.stop :].detach().index_select(0, behind))
