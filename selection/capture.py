"""Selections recorded as a CUDA graph and replayed for videos of one shape, without the host's overhead."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from time import perf_counter
from typing import Any

from stgraph.community.base import backend
from stgraph.community.size_cap import SPLITTERS
from stgraph.devices import reader
from stgraph.errors import GridError, InputError, UnavailableError, bad_token
from stgraph.graph import TokenGraph
from stgraph.selection.result import Selection
from stgraph.selection.st_simdiff.analysis import Analysis, Reduced
from stgraph.selection.st_simdiff.importance import resolve_importance
from stgraph.selection.st_simdiff.paper import StSimDiff
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, eq=False)
class Unread:
    """An analysis and its reduction on a GPU. ``read`` waits for them and reads the first bad token (N if none) and the
    figures of the report."""

    analysis: Analysis
    reduced: Reduced
    read: Callable[[], list[float]]


_recording = threading.Lock()  # a process records one graph at a time, as torch asks


class CapturedSelection:
    """Result of :func:`capture`: call it with tokens of the shape it was made for, one thread at a time."""

    def __init__(self, selector: StSimDiff, tokens: VideoTokens) -> None:
        import torch

        self.selector = selector
        device = tokens.features.device
        # Memory taken in inference mode could be written to in that mode alone.
        with _recording, torch.inference_mode(False), torch.no_grad(), torch.cuda.device(device):
            self._graph, self._left = torch.cuda.CUDAGraph(), torch.cuda.Event()
            self._features, self._grid = tokens.features.clone(), tokens.grid
            view = selector.budget.view(VideoTokens(self._features, tokens.grid), selector.newlines)
            caller, side = torch.cuda.current_stream(), _side_stream(device)
            side.wait_stream(caller)
            with torch.cuda.stream(side):
                unread(selector, view)  # kernels compile and are loaded before anything is recorded
                self._found = _recorded(self._graph, lambda: unread(selector, view))
            caller.wait_stream(side)

    def __call__(self, tokens: VideoTokens) -> Selection:
        """Select from other tokens on the same grid; they are first copied to the memory the recorded work reads,
        unless they are there already (:attr:`features`).

        Raises
        ------
        GridError
            the features have another shape, dtype or device, or the grid differs
        FeatureError
            a token holds NaN or Inf
        """
        import torch

        start = perf_counter()
        given, own = tokens.features, self._features
        alike = (given.shape, given.dtype, given.device) == (own.shape, own.dtype, own.device)
        if not alike or tokens.grid != self._grid:
            made_for = VideoTokens(own, self._grid)
            raise GridError(
                f"captured for {made_for!r} on {own.device}, called with {tokens!r} on {tokens.device}; "
                "capture another for it"
            )
        with torch.cuda.device(own.device):
            stream = torch.cuda.current_stream()
            stream.wait_event(self._left)
            if given.data_ptr() != own.data_ptr():
                own.copy_(given)
            self._graph.replay()
            selection = finished(self.selector, self._found, tokens, start)
            self._left.record(stream)  # the next caller, perhaps on another stream, must not overwrite what is copied
            return selection

    @property
    def features(self) -> Any:
        """The memory the recorded work reads: an encoder that writes its output here saves the copy."""
        return self._features


@cache
def _side_stream(device: Any) -> Any:
    """The stream of a device on which selections are recorded. One, since torch hands the same few out again and again,
    and what another thread started on a stream that is being recorded would be recorded with it."""
    import torch

    return torch.cuda.Stream(device)


def _recorded(graph: Any, work: Callable[[], Unread]) -> Unread:
    """Record on the current stream what ``work`` starts.

    In the mode "thread_local", CUDA forbids this thread alone what would void the recording; others take memory and
    wait for the device as ever. Unlike in torch.cuda.graph, the device is not waited for and cached memory not given
    back.
    """
    graph.capture_begin(capture_error_mode="thread_local")
    try:
        found = work()
    except BaseException:
        with suppress(RuntimeError):  # that the recording is void is not the error to report
            graph.capture_end()
        raise
    graph.capture_end()
    return found


def capture(selector: Any, tokens: VideoTokens) -> CapturedSelection:
    """Record a selection of tokens like ``tokens`` as a CUDA graph.

    A call then issues one replay instead of about fifty launches, and waits for the device once. Results equal
    ``selector.select``. Other threads may use the device meanwhile, except for drawing random numbers on it with torch
    below 2.13.

    Parameters
    ----------
    selector : st-simdiff or srts with backend "lattice-components" and a splitter that runs on the GPU ("tree")
    tokens : on a CUDA device; only their shape, dtype and grid matter

    Raises
    ------
    InputError
        the selector's work cannot be recorded; the message says why
    UnavailableError
        the tokens are not on a CUDA device
    """
    if why := obstacle(selector, tokens):
        raise InputError(f"capture: {why}")
    if not tokens.on_gpu or tokens.features.device.type != "cuda":
        raise UnavailableError(f"capture needs tokens on a CUDA device, not on {tokens.device}: use tokens.to('cuda')")
    return CapturedSelection(selector, tokens)


def obstacle(selector: Any, tokens: VideoTokens) -> str | None:
    """Why the selection of these tokens cannot be recorded, wherever they lie; None if it can."""
    if not isinstance(selector, StSimDiff):
        return f"{getattr(selector, 'name', selector)!s} reads sizes back from the device; st-simdiff and srts do not"
    if not backend(selector.backend).capabilities.canonical:
        return f"backend {selector.backend} reads sizes back from the device; lattice-components does not"
    if not getattr(SPLITTERS.get(selector.split), "on_gpu", False):
        return f"splitter {selector.split} runs on the CPU; tree does not"
    if (importance := resolve_importance(selector.importance, tokens)) in ("attention", "given"):
        return f"importance {importance} is read again for each video; name one that is computed, such as 'centrality'"
    if tokens.grid.row_steps is None:
        return "the patches do not recur evenly among the tokens, and are gathered by numbers in host memory"
    return None


def unread(selector: StSimDiff, tokens: VideoTokens) -> Unread:
    """Issue the work of ``selector.select`` on a GPU, without reading back; ``tokens`` are those that count
    (:meth:`stgraph.selection.budget.Budget.view`)."""
    from stgraph.kernels.gpu.neighbours import issue

    similarity, norms, bad = issue(tokens.lattice)
    analysis = selector.analyse(tokens, TokenGraph(tokens.grid, similarity, norms, selector.tau_sim))
    reduced = selector.reduce_to(analysis, selector.budget)
    return Unread(replace(analysis, seconds={}), reduced, reader(bad, *reduced.figures))


def finished(selector: StSimDiff, found: Unread, tokens: VideoTokens, start: float) -> Selection:
    """The selection from the issued work; owned by the caller."""
    first_bad, *figures = found.read()
    view = found.analysis.tokens
    if first_bad < view.grid.n_nodes:
        raise bad_token(int(first_bad), view.grid.H, view.grid.W)
    seconds = {"replay": perf_counter() - start}
    choice = selector.choice_of(found.analysis, found.reduced, figures, selector.budget, seconds)
    choice = replace(choice, scores=choice.scores.clone())  # the next replay writes there; nodes and reasons are copied
    return selector.finish(choice, tokens, view, selector.budget)
