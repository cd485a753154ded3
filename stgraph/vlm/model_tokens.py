"""Visual tokens that a VLM's language model receives for one video, and signals of the run, read by hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.arrays import to_numpy
from stgraph.errors import InputError, MissingSignalError
from stgraph.grid import OTHER, TokenGrid
from stgraph.selection.base import selector
from stgraph.selection.signals.attention import SHALLOW_LAYER
from stgraph.selection.signals.text_raters import text_raters
from stgraph.tokens import VideoTokens
from stgraph.video.dump import Extracted
from stgraph.vlm.families import Parts, parts_of
from stgraph.vlm.grids import Video
from stgraph.vlm.hooks import Hooks
from stgraph.vlm.llm_signals import LLM_SIGNALS, LlmReader
from stgraph.vlm.model_tower import LIVE_SIGNALS, EncoderReader, Signals
from stgraph.vlm.padding import padding_of
from stgraph.vlm.prompt_text import text_behind, text_columns
from stgraph.vlm.pruning import Pruner
from stgraph.vlm.stats import Stats

PROMPT_SIGNALS = ("text_embeds",)
ALWAYS = ("seq_index",)


def check_signals(signals: Sequence[str]) -> None:
    """Raise if a signal cannot be read from a running model."""
    known = (*ALWAYS, *LLM_SIGNALS, *PROMPT_SIGNALS, *LIVE_SIGNALS)
    unknown = [name for name in signals if name not in known]
    if unknown:
        raise MissingSignalError(
            f"signal {unknown[0]!r} is not read from a running model; known are {', '.join(known)}"
        )


def model_tokens(
    model: Any,
    inputs: Mapping[str, Any],
    signals: Sequence[str] = (),
    llm_layers: Sequence[int] | None = None,
    pool_head: str | None = None,
) -> Extracted:
    """Run a prompt with one video through a model, and read the visual tokens its language model receives.

    Parameters
    ----------
    model : a Hugging Face ...ForConditionalGeneration of a known family
    inputs : output of its processor: one prompt with one video, unpadded
    signals : from :data:`stgraph.vlm.llm_signals.LLM_SIGNALS` (into the query file; without any, the language model
        does not run), :data:`PROMPT_SIGNALS` (into the query file, too) and
        :data:`stgraph.vlm.model_tower.LIVE_SIGNALS`
    llm_layers : decoder layers for all LLM signals except ``importance``; None for all
    pool_head : SigLIP checkpoint whose pooling head gives ``pool_attn`` and ``pool_feature``; None for the tower's own

    Raises
    ------
    InputError, GridError
        inputs are not one prompt with one video, the layout is unknown, or layers do not suit the signals
    MissingSignalError
        this model cannot give one of the signals
    """
    import torch

    check_signals(signals)
    parts = parts_of(model)
    llm = LlmReader(parts.text, signals, llm_layers)
    reader = _Reader(parts, llm, rated="llm_attn_text_even" in signals)
    encoded = set(signals) & set(LIVE_SIGNALS)
    encoder = EncoderReader(parts, encoded, "a dump", pool_head) if encoded else None
    hooks = Hooks(parts, reader.selector, SHALLOW_LAYER, "original", None, "before", Stats(), encoder)
    hooks.pruner = reader
    base_inputs = {name: value for name, value in inputs.items() if name != "labels"}
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        llm.open(stack)
        hooks.attach()
        stack.callback(hooks.detach)
        try:
            parts.base(**base_inputs, use_cache=False)
        except _Enough:
            pass
    if reader.video is None:
        raise InputError("the prompt holds no video; its chat template has to place one")
    grid, at = reader.place()
    found, metadata = reader.encoded
    query = llm.query()
    if "importance" in signals:
        query["importance"] = llm.importance()[at][grid.rows].reshape(grid.shape)
    if "text_embeds" in signals:
        query["text_embeds"] = reader.text
    fixed = {**found, **llm.fixed(), "seq_index": at.astype(np.int32)}
    return Extracted(reader.features, grid, fixed, query, metadata)


class _Enough(Exception):
    """Raised to end a pass once everything has been read."""


class _Reader(Pruner):
    """Takes the place of the pruner and records the video's tokens instead of dropping any."""

    def __init__(self, parts: Parts, llm: LlmReader, rated: bool) -> None:
        super().__init__(parts, selector("uniform", retain_ratio=1.0), SHALLOW_LAYER, "original", "before", Stats())
        self.llm, self.rated = llm, rated
        self.video: Video | None = None
        self.features: Array = np.empty(0)
        self.text: Array = np.empty(0)
        self.encoded: tuple[Signals, Signals] = ({}, {})

    def prune(
        self,
        kwargs: Mapping[str, Any],
        ids: Array,
        videos: Sequence[Video],
        asked: Any,
        signals: Mapping[Video, tuple[Signals, Signals]],
    ) -> None:
        """Record features, position, and signals of the vision tower; nothing is dropped."""
        if len(ids) != 1 or len(videos) != 1:
            raise InputError(f"a dump is made of one prompt with one video; this has {len(ids)} with {len(videos)}")
        mask = kwargs.get("attention_mask")
        if mask is not None and mask.ndim == 2 and not bool(mask.all()):
            raise InputError("a dump is made of one unpadded prompt; this one is padded")
        self.video = videos[0]
        self.encoded = signals.get(self.video, self.encoded)
        embeds = kwargs["inputs_embeds"][0, self.video.start : self.video.stop]
        visual = self._visual()
        rows = embeds if visual.all() else embeds[visual.nonzero()[0]]
        self.features = to_numpy(rows.detach().contiguous().cpu()).copy()
        text = text_columns(padding_of(mask, kwargs["inputs_embeds"]), videos)
        self.text = text_behind(kwargs["inputs_embeds"], text, self.video)
        if not self.llm.layers:
            raise _Enough
        grid, at = self.place()
        behind = self.video.stop + text[0, self.video.stop :].nonzero().flatten().cpu().numpy()
        raters = np.empty(0, np.int64)
        if self.rated:
            raters = text_raters(VideoTokens(self.features, grid, {"text_embeds": self.text}), "llm_attn_text_even")
        self.llm.place(behind, at[grid.rows], raters)

    def place(self) -> tuple[TokenGrid, Array]:
        """Grid of the visual tokens, and the column of each in the prompt."""
        assert self.video is not None
        visual = self._visual()
        grid = self.video.grid
        kind = None if grid.kind is None else grid.kind[visual]
        return TokenGrid(*grid.shape, kind), self.video.start + np.flatnonzero(visual)

    def _visual(self) -> Array:
        """[n] bool over the video's columns: True for tokens that are not text between frames."""
        assert self.video is not None
        kind = self.video.grid.kind
        return np.ones(self.video.grid.n_tokens, np.bool_) if kind is None else np.asarray(kind != OTHER)
