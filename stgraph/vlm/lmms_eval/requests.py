"""Requests of lmms-eval: batching, generation arguments, and the log of their answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class RequestCounts:
    """Token counts of one request, logged by lmms-eval with the sample, and the selection's figures.

    ``input_tokens`` enter the LLM, after the selection; for ``selection`` see :func:`selection_row`.
    """

    input_tokens: int
    output_tokens: int
    reasoning_tokens: int | None = None
    selection: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The row in the log of samples."""
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens, **self.selection}


def batches(arguments: list[dict[str, Any]], size: int) -> list[list[int]]:
    """Places of the requests in batches of at most ``size``, each with equal generation arguments.

    Examples
    --------
    >>> batches([{"max_new_tokens": 8}, {"max_new_tokens": 1}, {"max_new_tokens": 8}], 2)
    [[0, 2], [1]]
    """
    alike: dict[str, list[int]] = {}
    for place, given in enumerate(arguments):
        alike.setdefault(repr(sorted(given.items())), []).append(place)
    return [places[i : i + size] for places in alike.values() for i in range(0, len(places), size)]


def generation_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """A task's arguments for ``generate``: greedy unless the temperature is above 0.

    Examples
    --------
    >>> generation_arguments({"max_new_tokens": 16, "temperature": 0, "num_beams": 1})
    {'max_new_tokens': 16, 'temperature': None, 'num_beams': 1, 'do_sample': False, 'top_p': None, 'top_k': None}
    """
    if given.get("temperature"):
        return {"max_new_tokens": 1024, **given, "do_sample": True}
    # None takes away what the checkpoint's own generation config says about sampling.
    greedy = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {"max_new_tokens": 1024, **given, **greedy}


def cut(text: str, until: list[str]) -> str:
    """The text before the first of the stop strings.

    Examples
    --------
    >>> cut("B. A red ball", [".", "!"])
    'B'
    """
    for stop in until:
        text = text.split(stop)[0] if stop else text
    return text.strip()


def records_of(stats: Any, request: int, n_requests: int) -> tuple[list[Any], int | None]:
    """The records of one request's videos in a batch, and the number of its tokens that entered the LLM (None without a
    video in the batch).

    Beams give a request several rows, and equal adjacent requests share the records of the first. Without a cache each
    token is a prompt of its own: the first one counts.
    """
    if not stats.prompts:
        return [], None
    prompt = stats.prompts[0]
    row = request * (prompt.n_rows // n_requests)
    videos = [video for video in stats.videos if video.call == prompt.call]
    return [video for video in videos if video.sample <= row < video.sample + video.n_rows], prompt.entered[row]


def selection_row(videos: list[Any], shared_s: dict[str, float]) -> dict[str, Any]:
    """The selection's log entry for one request.

    Parameters
    ----------
    videos : the :class:`stgraph.vlm.stats.VideoRecord` of its videos; the figures are their sums, and further facts are
        in "videos"
    shared_s : its share of the batch's seconds
    """
    names = ("n_visual", "n_kept", "n_candidates", "select_s") if videos else ()
    found = {name: [getattr(video, name) for video in videos] for name in names}
    row: dict[str, Any] = {name: sum(values) for name, values in found.items() if None not in values}
    row.update(shared_s)
    return {**row, "videos": [video.to_dict() for video in videos]} if videos else row


def means(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The mean of each figure over requests that have it."""
    names = {name: None for row in rows for name in row if name != "videos"}
    found = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}
