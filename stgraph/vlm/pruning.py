"""Cutting a prompt before the text model: select for each of its videos, probe once, cut."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import gpu_tensor, in_own_dtype, to_host
from stgraph.errors import InputError, UnavailableError
from stgraph.kernels import gpu_engine_missing
from stgraph.selection.base import Selector
from stgraph.selection.method import host_copy
from stgraph.selection.recordings import Recordings
from stgraph.selection.stages import PROMPT_SIGNALS, Waiting
from stgraph.tokens import VideoTokens
from stgraph.vlm.attention_probe import last_token_attention
from stgraph.vlm.calls import Asked
from stgraph.vlm.continuation import Continuation
from stgraph.vlm.deep_features import DeepFeatures
from stgraph.vlm.families import Parts
from stgraph.vlm.grids import Video
from stgraph.vlm.jobs import Job, is_merge, is_whole
from stgraph.vlm.keywords import CACHE_NAMES, visual_of
from stgraph.vlm.layer_kinds import BESIDE, check_window, departure_of, window_of
from stgraph.vlm.merging import with_merged
from stgraph.vlm.model_tower import Signals
from stgraph.vlm.padding import check_last_token, first_of_equal, padding_of
from stgraph.vlm.prompt_pass import PromptPass
from stgraph.vlm.prompt_text import text_behind, text_columns
from stgraph.vlm.sequence import cut_inputs, cut_of, following, with_positions
from stgraph.vlm.stages import begin, exactness_of, layer_before, stages_inside
from stgraph.vlm.stats import PromptRecord, Stats, VideoRecord

_log = logging.getLogger("stgraph")
Lengths = tuple[int, int, int | None]  # of a prompt: before, after, and of its probe pass
_numbering = threading.Lock()  # prompts of several threads get one number each, and records that lie together


@dataclass(frozen=True, eq=False)
class Shortened:
    """A prompt shortened to fewer tokens.

    Attributes
    ----------
    inputs : keyword arguments of the text model
    continuation : state for decoding
    layers : remaining cuts between decoder layers, or None
    """

    inputs: dict[str, Any]
    continuation: Continuation
    layers: PromptPass | None


def _check_one_query(asked: Asked) -> None:
    """Raise if the last token may not be the prompt's, whose attention determines the kept tokens."""
    if asked.n_last > 1:
        raise InputError(
            f"logits of the last {asked.n_last} tokens are wanted, as for guesses in assisted decoding, but the "
            "attention of the very last one would decide what is kept: leave out assistant_model, "
            "prompt_lookup_num_tokens and logits_to_keep, or use a selector without attention"
        )


@dataclass
class Pruner:
    """Cuts prompts for one model and one selector."""

    parts: Parts
    selector: Selector
    probe_layer: int
    positions: str
    where: str
    stats: Stats
    recordings: Recordings | None = None
    _calls: int = field(default=0, init=False)

    def prune(
        self,
        kwargs: Mapping[str, Any],
        ids: Array,
        videos: Sequence[Video],
        asked: Asked,
        signals: Mapping[Video, tuple[Signals, Signals]],
    ) -> Shortened | None:
        """The text model's inputs without the dropped tokens; None if nothing is dropped.

        Parameters
        ----------
        kwargs : keyword arguments of the text model
        ids : [B, S], token ids
        asked : requests of the model's caller
        signals : of the vision tower, with metadata, for each video, if the selector needs any

        Raises
        ------
        InputError
            an argument or padding does not allow dropping tokens
        """
        import torch

        embeds = kwargs["inputs_embeds"]
        real = padding_of(kwargs.get("attention_mask"), embeds)
        first = first_of_equal(ids, kwargs, videos)
        text = text_columns(real, videos) if self.selector.requires & PROMPT_SIGNALS else None
        jobs = []
        for video in (video for video in videos if first[video.row] == video.row):
            own, facts = signals.get(video, ({}, {}))
            prompt = {} if text is None else {"text_embeds": text_behind(embeds, text, video)}
            jobs.append(self._begin(video, embeds, {**own, **prompt}, facts))
        full = with_positions(kwargs)
        ends = [(video.row, video.stop) for video in videos]
        window, longest = window_of(self.parts.text), int(real.sum(1).max())
        probe_length, probe_s = None, 0.0
        while waiting := [(job, state) for job in jobs if (state := self._before(job)) is not None]:
            reading = [job for job, state in waiting if state.stage.attention is not None]
            for job, state in waiting:
                if state.stage.attention is None:
                    job.resume(None)
            if not reading:
                continue
            check_last_token(real, ends)
            check_window(window, longest)
            _check_one_query(asked)
            length, seconds = self._probe(full, real, jobs, reading)
            probe_length, probe_s = max(length, probe_length or 0), probe_s + seconds
        inside = [job.state for job in jobs if isinstance(job.state, Waiting)]
        by_row: dict[int, list[Job]] = {row: [] for row in range(len(ids))}
        for job in jobs:
            by_row[job.video.row].append(job)
        keep = real.clone()
        for row in range(len(ids)):
            for job in by_row[first[row]]:
                job.keep_in(keep[row])
        entered = tuple(keep.sum(1).tolist())
        lengths: Lengths = (ids.shape[1], max(entered), probe_length)
        for job in jobs:
            job.note(0)
        merging = [(row, job) for row in range(len(ids)) for job in by_row[first[row]] if is_merge(job.state)]
        if not merging and not inside and torch.equal(keep, real):
            self._record(jobs, first, entered, lengths, probe_s)
            return None
        if asked.per_token is not None:
            raise InputError(
                f"{asked.per_token} refers to the positions of the whole prompt, of which tokens are dropped here; "
                "leave compress(), or use a selector with retain_ratio=1"
            )
        if asked.n_last > 1 and any(stop > ids.shape[1] - asked.n_last for _, stop in ends):
            raise InputError(
                f"logits_to_keep={asked.n_last} reaches back into a video, of which tokens are dropped: logits would "
                "be those of other tokens. Ask for no more than follow the video, or use retain_ratio=1"
            )
        if asked.compiled:
            raise UnavailableError(
                "generate() has compiled the decoding step of this model for static caches, and compiled code runs "
                "past the hooks of compress(): leave out cache_implementation, or load the model anew and pass "
                "disable_compile=True from the start"
            )
        check_last_token(real, ends)
        check_window(window, longest)
        if any(state.stage.attention is not None for state in inside):
            _check_one_query(asked)
        for row, job in merging:
            full = with_merged(full, row, job.video.start, job.state)
        cut = cut_of(keep)
        compact = [any(self._policy(job) == "compact" for job in by_row[first[row]]) for row in range(len(ids))]
        for job in jobs:
            job.renumbered = job.positions
        renumbered = torch.tensor(compact, device=embeds.device) if any(compact) else None
        new = cut_inputs(full, cut, renumbered)
        after = following(full["position_ids"])
        continuation = Continuation(
            real=real,
            columns=cut.columns,
            valid=cut.valid,
            padded=not bool(cut.valid.all()),
            length=ids.shape[1],
            kept_length=cut.columns.shape[1],
            window=window,
            next_position=after,
            shift=after - following(new["position_ids"]) if any(compact) else torch.zeros_like(after),
            ids=ids,
        )
        if not inside:
            self._record(jobs, first, entered, lengths, probe_s)  # not before the prompt can no longer be refused
            return Shortened(new, continuation, None)

        def finish(kept_length: int) -> None:
            self._record(jobs, first, entered, (lengths[0], kept_length, probe_length), probe_s)

        rows = [by_row[first[row]] for row in range(len(ids))]
        stages, levels = stages_inside(self.selector, len(self.parts.text.layers)), continuation.levels
        deep = None if visual_of(new) is None else DeepFeatures(new, levels)
        texts = text_columns(real, videos)
        layers = PromptPass(self.parts.text, cut, rows, stages, self.probe_layer, deep, finish, levels, texts)
        return Shortened(new if deep is None else {**new, "deepstack_visual_embeds": deep}, continuation, layers)

    def _before(self, job: Job) -> Waiting | None:
        """The stage a job waits for, if it comes before the first layer."""
        state = job.state
        here = isinstance(state, Waiting) and (self.where == "before" or not state.stage.layer)
        return state if isinstance(state, Waiting) and here else None

    def _policy(self, job: Job) -> str:
        """Renumbering policy of rows, from the selector or the caller."""
        return "compact" if self.positions == "compact" else job.positions

    def _begin(self, video: Video, embeds: Any, signals: Signals, facts: Signals) -> Job:
        """The first stage of one video; its features are the rows of the input embeddings, read on their device if the
        selector can."""
        span, why = embeds[video.row, video.start : video.stop].detach(), None
        on_gpu = gpu_tensor(span) is not None
        if not (self.selector.on_gpu if on_gpu else span.device.type == "cpu"):
            why = host_copy(self.selector.name, str(span.device))
        elif on_gpu:
            why = gpu_engine_missing()
        if why is not None:
            _log.info("%s", why)
            span = to_host(span)
        start = perf_counter()
        metadata = {"model_type": self.parts.model_type, "row": video.row, video.medium: video.index, **facts}
        inside = {"llm_layers": len(self.parts.text.layers)} if self.where == "inside" else {}
        tokens = VideoTokens(span, video.grid, signals, {**metadata, **inside})
        with in_own_dtype(embeds.device):
            replayed, recording = (None, None) if self.recordings is None else self.recordings.replay(tokens)
            state = begin(self.selector, tokens, self.probe_layer) if replayed is None else replayed
        return Job(video, state, perf_counter() - start, why, tokens.on_gpu, embeds.device, recording)

    def _probe(
        self, inputs: Mapping[str, Any], real: Any, jobs: Sequence[Job], waiting: Sequence[Job]
    ) -> tuple[int, float]:
        """One pass through the first layers for all rows with a waiting video, which then resumes."""
        import torch

        layer = layer_before(self.selector, self.probe_layer, self.where)
        started = perf_counter()
        rows = sorted({job.video.row for job in waiting})
        keep = real.clone()
        for job in jobs:
            job.keep_in(keep[job.video.row])
        for job in jobs:
            if job.video.row in rows and is_merge(job.state):
                inputs = with_merged(inputs, job.video.row, job.video.start, job.state)
        cut = cut_of(keep, rows)
        probed = cut_inputs({name: inputs[name] for name in inputs if name not in CACHE_NAMES}, cut)
        found = last_token_attention(self.parts.text, probed, cut.valid)
        attention = torch.zeros(len(rows), real.shape[1], dtype=torch.float64, device=found.device)
        # Columns are unique except for padding, which adds nothing.
        columns, valid = (a.to(found.device) for a in (cut.columns, cut.valid))
        attention.scatter_add_(1, columns, torch.where(valid, found.double(), 0.0))
        probe_s = perf_counter() - started
        for job in waiting:
            job.resume(attention[rows.index(job.video.row)])
            job.probed, job.probe_s = layer, job.probe_s + probe_s
        return cut.columns.shape[1], probe_s

    def _record(
        self, jobs: Sequence[Job], first: Sequence[int], entered: tuple[int, ...], lengths: Lengths, probe_s: float
    ) -> None:
        """One record per video, and one for the prompt."""
        n_layers, departure = len(self.parts.text.layers), departure_of(self.parts.text)
        with _numbering:
            call, self._calls = self._calls, self._calls + 1
            for job in jobs:
                chosen, video = job.selection, job.video
                departures = [*([] if is_whole(chosen) else [departure]), *([BESIDE] if job.beside else [])]
                record = VideoRecord(
                    call=call,
                    sample=video.row,
                    index=video.index,
                    n_rows=list(first).count(video.row),
                    selector=self.selector.name,
                    grid=video.grid.shape,
                    n_visual=chosen.account.n_visual,
                    n_kept=len(chosen),
                    n_candidates=job.n_candidates or chosen.report.get("n_candidates"),
                    n_extra=int(np.count_nonzero(video.stays)),
                    account=job.account(n_layers),
                    kind=chosen.kind,
                    positions=self._policy(job),
                    exactness=exactness_of(chosen, job.probed, self.selector, self.where, n_layers, *departures),
                    select_s=job.select_s,
                    probe_s=job.probe_s,
                    host_copy=job.host_copy,
                    graph_host_copy=chosen.provenance.get("community", {}).get("host_copy"),
                    recording=job.recording,
                    nodes=to_host(chosen.nodes),
                    report=chosen.report,
                    medium=video.medium,
                )
                self.stats.videos.append(record)
            layer = None if lengths[2] is None else layer_before(self.selector, self.probe_layer, self.where)
            self.stats.prompts.append(PromptRecord(call, len(first), *lengths, probe_s, layer, entered))
