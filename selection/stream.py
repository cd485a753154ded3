"""Streaming ST-SimDiff: frames are decided as they arrive, in memory bounded by a window."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.arrays import to_numpy
from stgraph.devices import feature_array
from stgraph.dump import iter_frames, load
from stgraph.errors import FeatureError, GridError, InputError
from stgraph.graph import FAMILIES
from stgraph.selection.budget import Budget, ceil_share, exact_ratio
from stgraph.selection.integers import check_integer
from stgraph.selection.method import approximate
from stgraph.selection.result import Selection
from stgraph.selection.signals.attention import has_shallow_attention, shallow_attention
from stgraph.selection.st_simdiff.importance import by_attention
from stgraph.selection.st_simdiff.paper import StSimDiff
from stgraph.selection.st_simdiff.parts import Share, without_context
from stgraph.selection.st_simdiff.window import Window, WindowComponents

_INCREMENTAL = "lattice-components"  # the backend whose communities grow with the frames
_NOT_IN_A_STREAM = ("budget", "reduce")


def stream(
    tau_sim: float = 0.8, retain_ratio: float = 0.3, window: int = 64, *, overlap: int = 1, **parameters: Any
) -> Stream:
    """ST-SimDiff for a video that arrives frame by frame.

    A clip of up to ``window`` frames gets exactly what ``stgraph.selector("st-simdiff", ...)`` keeps of it. A longer
    clip is decided in parts, each time the window is full and another frame arrives:

    * The first part is the first ``window`` frames; each later one, the next ``window - overlap``. A later part also
    sees the last ``overlap`` frames of the previous part as context.
    * Graph, communities (with their cap), centrality, events and a percentile ``tau_diff`` are those of the frames the
      part sees. Of each community the top ceil(n r) of its n tokens in the new frames are representatives.
    * The part keeps ceil(r N) tokens minus those kept before, where N counts all tokens up to its end: at every part's
    end exactly ceil(r N) are kept, whatever the video's length.

    So a frame's part is returned at most ``window`` pushes after the frame's own.

    Parameters
    ----------
    tau_sim, retain_ratio : as for the selector
    window : frames in memory, at least 2
    overlap : frames of context, 1 to window - 1; at least one, or the first new frame would have no difference
    **parameters : any other of :class:`StSimDiff` except ``reduce``; ``importance`` by name only, since attention comes
        with the frames

    Raises
    ------
    InputError
        a parameter is unknown or out of range

    Examples
    --------
    >>> import stgraph
    >>> frames = stgraph.stream(0.8, 0.3, window=16)
    >>> pushed = [frames.push(frame) for frame in stgraph.sample().lattice]
    >>> parts = [part for part in [*pushed, frames.finish()] if part is not None]
    >>> [(part.report["first_frame"], len(part)) for part in parts]
    [(0, 1229), (16, 1152), (31, 691)]
    """
    known = [f.name for f in fields(StSimDiff) if f.name not in _NOT_IN_A_STREAM]
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise InputError(f"stream has no parameter {unknown[0]!r}; it has: window, overlap, {', '.join(known)}")
    for name, value, least in (("window", window, 2), ("overlap", overlap, 1)):
        check_integer(name, value, least)
    if overlap >= window:
        raise InputError(f"overlap is {overlap}; it must be less than the window of {window} frames")
    if not isinstance(parameters.get("importance", "auto"), str):
        raise InputError("importance is an array; in a stream it comes with each frame: push(frame, importance)")
    return Stream(StSimDiff(budget=Budget(retain_ratio), tau_sim=tau_sim, **parameters), int(window), int(overlap))


class Stream:
    """Result of :func:`stream`: push frames, receive selections.

    Attributes
    ----------
    n_frames : frames taken in
    n_decided : frames whose part has been returned
    n_kept : tokens kept from these frames
    features : [K, d] in the dtype of the frames: tokens kept by the last part
    """

    def __init__(self, selector: StSimDiff, window: int, overlap: int) -> None:
        self._selector, self._size, self._overlap = selector, window, overlap
        self._window: Window | None = None
        self._components: WindowComponents | None = None
        self._context = 0  # decided frames at the start of the window
        self._finished = False
        self.n_frames = self.n_decided = self.n_kept = 0
        self.features: Array | None = None

    def push(self, frame: Any, importance: Any | None = None) -> Selection | None:
        """Add a frame; if the window is full, decide the frames before it.

        Parameters
        ----------
        frame : [H, W, d] float32, float16 or bfloat16, any array in CPU memory; copied
        importance : [H, W], attention of the last prompt token; for every frame, or for none

        Returns
        -------
        Selection or None
            of one part; its grid and indices begin at its first frame, ``report["first_frame"]``

        Raises
        ------
        FeatureError, GridError, InputError
            the frame differs in form from those before, or holds NaN or Inf; it is not added, and the stream can
            continue
        """
        if self._finished:
            raise InputError("the stream is finished; start another with stgraph.stream(...)")
        x = feature_array(to_numpy(frame, "frame"), "frame")
        if x.ndim != 3:
            raise FeatureError(f"frame has shape {x.shape}; expected [H, W, d]")
        score = None if importance is None else _frame_importance(importance, x)
        if self._window is None:
            if score is None and self._selector.importance == "attention":
                raise InputError("importance='attention' needs the attention of every frame: push(frame, importance)")
            height, width, d = x.shape
            window = Window((height, width, d), x.dtype, self._size + 1, score is not None)
        else:
            window = self._window
        window.check(x, score is not None)
        window.add(x, score, self.n_frames)
        self._start(window)
        self.n_frames += 1
        part = self._decide(window, self._size, last=False) if window.n_frames > self._size else None
        if self._components is not None:
            self._components.follow()
        return part

    def finish(self) -> Selection:
        """Decide the remaining frames: the whole clip, exactly as offline, if the window covers it.

        Raises
        ------
        InputError
            no frame was pushed, or the stream is already finished
        """
        if self._finished or self._window is None:
            why = "is already finished" if self._finished else "has no frame yet; push at least one"
            raise InputError(f"the stream {why}")
        self._finished = True
        part = self._decide(self._window, self._window.n_frames, last=True)
        self._window = self._components = None
        return part

    def select(self, path: str | os.PathLike[str], query: str | os.PathLike[str] | None = None) -> Iterator[Selection]:
        """Push every frame of a dump, read one at a time, with its attention if the dump carries it; then finish.

        Raises
        ------
        DumpError, InputError
            the dump cannot be read
        """
        tokens = load(path, query)
        score = None
        if by_attention(self._selector.importance) and has_shallow_attention(tokens):
            score = shallow_attention(tokens, "importance").reshape(tokens.grid.shape)
        del tokens  # and the mapped file with it
        for t, frame in enumerate(iter_frames(path)):
            part = self.push(frame, None if score is None else score[t])
            if part is not None:
                yield part
        yield self.finish()

    def _start(self, window: Window) -> None:
        if self._window is not None:
            return
        self._window = window
        one = self._selector
        if one.backend == _INCREMENTAL:
            spatial = {"right": one.spatial and one.right, "bottom": one.spatial and one.bottom}
            on = {**spatial, "temporal": one.temporal}
            self._components = WindowComponents(window, float(one.tau_sim), tuple(n for n in FAMILIES if on[n]))

    def _decide(self, window: Window, n_seen: int, last: bool) -> Selection:
        """Decide the first ``n_seen`` frames of the window, and drop the frames no later part will see."""
        one = self._selector
        found = None if self._components is None else self._components.labels()
        seen = one.analyse(window.tokens(n_seen), window.graph(n_seen, float(one.tau_sim)), found)
        part = without_context(seen, self._context)
        first, grid = self.n_decided, part.graph.grid
        end = (first + grid.T) * grid.H * grid.W
        n_target = int(ceil_share(np.array([end]), exact_ratio(one.budget.retain_ratio))[0]) - self.n_kept
        chosen = one.select_from(part, Share(one.budget.retain_ratio, n_target=n_target))
        self.features = chosen.gather(part.tokens.features)
        report = {
            **chosen.report,
            "first_frame": first,
            "n_context_frames": self._context,
            "n_communities": seen.partition.n_communities,
            "largest_community": int(seen.partition.sizes.max()),
            "oversized_ratio": None if seen.partition.capped_in_search else seen.partition.oversized_ratio,
        }
        exactness = chosen.exactness
        if first or not last:
            reasons = [] if exactness == "exact" else [exactness.removeprefix("approximate: ")]
            exactness = approximate(*reasons, f"decided within {self._size} frames of the stream")
        provenance = {**chosen.provenance, "window": self._size, "overlap": self._overlap}
        self.n_decided, self.n_kept = first + grid.T, self.n_kept + len(chosen)
        if not last:
            window.drop(n_seen - self._overlap)
            self._context = self._overlap
            if self._components is not None:
                self._components.restart()
        return replace(chosen, report=report, exactness=exactness, provenance=provenance)


def _frame_importance(importance: Any, frame: Array) -> Array:
    score = to_numpy(importance, "importance")
    if score.shape != frame.shape[:2]:
        raise GridError(f"importance has shape {score.shape}; expected {list(frame.shape[:2])}")
    score = score.astype(np.float32)
    if not np.isfinite(score).all():
        raise InputError("importance holds NaN or Inf; replace it")
    return score
