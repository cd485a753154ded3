"""``stgraph.compress``: fewer video tokens for an unmodified Hugging Face model."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Literal

from stgraph.errors import InputError
from stgraph.selection.base import Selector
from stgraph.selection.recordings import Recordings
from stgraph.vlm.families import parts_of
from stgraph.vlm.grids import Grids
from stgraph.vlm.hooks import Hooks
from stgraph.vlm.images import check_images
from stgraph.vlm.stages import check_selector, check_where, encoder_reader
from stgraph.vlm.stats import Stats


def compress(
    model: Any,
    selector: Selector,
    probe_layer: int = 1,
    positions: str = "original",
    grids: Grids | None = None,
    where: str = "inside",
    images: bool = False,
    record: bool | Literal["auto"] = "auto",
) -> Compression:
    """While the returned context is open, prompts of ``model`` go through its language model with fewer video tokens.

    The model is unchanged except for hooks on this one instance and, for selectors with attention, a switch at the
    attention that is read; both are removed on exit and after an exception. With ``retain_ratio=1``, logits and
    generated tokens are bit-identical to those of the unmodified model. Several threads may use the model at once.

    Parameters
    ----------
    model : a Hugging Face ...ForConditionalGeneration, or one wrapped by PEFT; ``docs/vlm.md`` lists the families
    selector : of :func:`stgraph.selector`
    probe_layer : decoder layer whose attention ranks surplus candidates (``st-simdiff``) or serves as the selector's
        signal
    positions : "original": kept tokens keep their rotary positions, unless the selector renumbers; "compact": rows are
        renumbered 0, 1, ... on every axis, for ablations
    grids : the videos' layout, for models that do not state it themselves: for each row of the batch a list in prompt
        order, with a (T, H, W) or a TokenGrid per video, and a number of tokens for parts to be left alone; or a
        function from token ids [B, S] to such a list
    where : "inside": tokens are dropped where the selector's authors do, before the language model or between its
        layers; "before": always before it, by a probe pass where attention is needed, for ablations
    images : whether the images of a prompt are also compressed, each as a separate video of one frame; for the families
        that ``docs/vlm.md`` lists
    record : on a CUDA device, record the selection as a CUDA graph when videos of one shape recur, and replay it from
        then on: "auto" at the third video, with torch 2.13 or newer; True at the second, with any torch; False never.
        For selectors that :func:`stgraph.capture` accepts and that do not wait for attention; for at most 4 shapes,
        each with a copy of the features and the memory of one selection, and at most a tenth of what is free. What was
        done, or why not, is in :attr:`VideoRecord.recording`. Not yet run on a GPU

    Returns
    -------
    a context manager; entering it gives :class:`stgraph.vlm.stats.Stats`

    Raises
    ------
    InputError
        the model or selector is of the wrong kind, the images are of an unknown family, the model lacks layers for the
    stages, or (on entering) the model is already being compressed
    UnknownNameError
        the model type is unknown, and ``grids`` is not given
    MissingSignalError
        the selector needs a signal that this model's vision encoder lacks
    UnavailableError
        layers whose attention cannot be read, or that cannot be cut between; on entering, or at a prompt, if the model
        is compiled
    """
    parts = parts_of(model, grids is not None)
    selector = check_selector(selector)
    if positions not in ("original", "compact"):
        raise InputError(f"positions is {positions!r}; it must be 'original' or 'compact'")
    check_where(selector, parts.text, probe_layer, where)
    check_images(parts, selector, images, grids)
    if record not in (True, False, "auto"):
        raise InputError(f"record is {record!r}; it must be 'auto', True or False")
    recordings = Recordings(selector, asked=record is True) if record else None
    stats = Stats()
    encoder = encoder_reader(selector, parts)
    hooks = Hooks(parts, selector, probe_layer, positions, grids, where, stats, encoder, images, recordings)
    return Compression(hooks, stats)


class Compression:
    """Context manager returned by :func:`compress`; it may be entered again after it was left."""

    def __init__(self, hooks: Hooks, stats: Stats) -> None:
        self._hooks = hooks
        self.stats = stats

    def __enter__(self) -> Stats:
        self._hooks.attach()
        return self.stats

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.detach()
