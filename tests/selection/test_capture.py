"""Selections recorded as a CUDA graph: on a device, and what of it can be seen without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from feature_zoo import newline_per_row
from selection_oracles import features
from tensors import same, tensor

import stgraph
from stgraph import TokenGrid, VideoTokens
from stgraph.devices import to_host
from stgraph.errors import FeatureError, GridError, InputError, UnavailableError
from stgraph.selection.capture import CapturedSelection, _side_stream, finished, unread

SHAPE = (5, 4, 6, 40)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "fixed threshold": ("st-simdiff", {}),
    "percentile": ("st-simdiff", {"tau_diff": "p90", "protect_events": True}),
    "no cap": ("st-simdiff", {"max_size": None, "importance": "norm"}),
    "edges of one kind": ("st-simdiff", {"max_size": 3, "spatial": False}),
    "everything": ("st-simdiff", {"reduce": False}),
    "srts": ("srts", {}),
}


@contextmanager
def nothing_read_back() -> Iterator[None]:
    """Raise where the host would wait for a device: for a value, or for the size of a result."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    aten = torch.ops.aten
    waits = {aten._local_scalar_dense, aten.nonzero, aten._unique2, aten.unique_dim, aten.masked_select, aten.equal}

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            masks = func.overloadpacket is aten.index and any(i is not None and i.dtype == torch.bool for i in args[1])
            assert func.overloadpacket not in waits and not masks, f"{func} waits for the device"
            return func(*args, **(kwargs or {}))

    with Watch():
        yield


@pytest.mark.usefixtures("interpreter")
@pytest.mark.parametrize("case", CASES)
def test_recorded_work_reads_nothing_back_and_brings_nothing(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, options = CASES[case]
    selector = stgraph.selector(name, retain_ratio=0.3, tau_sim=0.5, **options)
    x = features(3, SHAPE)
    tokens = VideoTokens.from_array(tensor(x))
    with nothing_read_back(), monkeypatch.context() as patch:
        # A transfer from host memory would be recorded with the address of memory that is gone at the replay.
        patch.setattr("stgraph.devices._tensor", None)
        found = unread(selector, tokens)
    kept = finished(selector, found, tokens, perf_counter())
    expected = selector.select(VideoTokens.from_array(x))
    same(kept.indices, expected.indices)
    same(kept.reason, expected.reason)
    assert {**kept.report, "seconds": 0} == pytest.approx({**expected.report, "seconds": 0}, abs=1e-6)
    assert list(kept.report["seconds"]) == ["replay"]
    assert kept.provenance == {**expected.provenance, "community": kept.provenance["community"]}


@pytest.mark.usefixtures("interpreter")
@pytest.mark.parametrize("newlines", ["in", "out"])
def test_nor_where_newlines_lie_between_the_patches(newlines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = newline_per_row(*SHAPE[:3])
    selector = stgraph.selector("srts", retain_ratio=0.3, newlines=newlines)
    tokens = VideoTokens(tensor(features(3, (1, 1, kind.size, 40)).reshape(-1, 40)), TokenGrid(*SHAPE[:3], kind))
    view = selector.budget.view(tokens, selector.newlines)
    with nothing_read_back(), monkeypatch.context() as patch:
        patch.setattr("stgraph.devices._tensor", None)
        found = unread(selector, view)
    kept = finished(selector, found, tokens, perf_counter())
    same(kept.indices, to_host(selector.select(tokens).indices))


@pytest.mark.usefixtures("interpreter")
def test_the_watch_sees_what_waits() -> None:
    tokens = VideoTokens.from_array(tensor(features(3, SHAPE)))
    with pytest.raises(AssertionError, match="waits for the device"), nothing_read_back():
        _ = stgraph.build_graph(tokens).n_edges


@pytest.mark.usefixtures("interpreter")
def test_bad_tokens_are_named_when_read() -> None:
    x = features(3, SHAPE)
    x[1, 2, 3, 4] = np.nan
    selector = stgraph.selector("st-simdiff", retain_ratio=0.3)
    tokens = VideoTokens.from_array(tensor(x))
    with pytest.raises(FeatureError, match="token is 39 "):
        finished(selector, unread(selector, tokens), tokens, 0.0)


class StandIn:
    """torch.cuda on tensors in host memory: notes the order of what is asked of it, and replays nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.mishap: Exception | None = None  # at the end of a recording
        self._streams = ["caller"]

    def CUDAGraph(self) -> StandIn:
        return self

    def Stream(self, device: Any = None) -> Named:
        return Named(self, "side")

    def Event(self) -> Named:
        return Named(self, "event")

    def current_stream(self) -> Named:
        return Named(self, self._streams[-1])

    def device(self, device: Any) -> Any:
        return nullcontext()

    @contextmanager
    def stream(self, stream: Named) -> Iterator[None]:
        self._streams.append(stream.name)
        try:
            yield
        finally:
            self._streams.pop()

    def capture_begin(self, capture_error_mode: str) -> None:
        self.asked.append(f"record {capture_error_mode} on {self._streams[-1]}")

    def capture_end(self) -> None:
        self.asked.append("end")
        if self.mishap is not None:
            raise self.mishap

    def replay(self) -> None:
        self.asked.append(f"replay on {self._streams[-1]}")


class Named:
    """A stream or an event of a :class:`StandIn`."""

    def __init__(self, cuda: StandIn, name: str) -> None:
        self.cuda, self.name = cuda, name

    def wait_stream(self, other: Named) -> None:
        self.cuda.asked.append(f"{self.name} waits for {other.name}")

    wait_event = wait_stream

    def record(self, stream: Named) -> None:
        self.cuda.asked.append(f"{self.name} on {stream.name}")


@pytest.fixture
def cuda(interpreter: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    stand_in = StandIn()
    for name in ("CUDAGraph", "Stream", "Event", "current_stream", "device", "stream"):
        monkeypatch.setattr(f"torch.cuda.{name}", getattr(stand_in, name))
    _side_stream.cache_clear()
    yield stand_in
    _side_stream.cache_clear()


def test_a_recording_restricts_its_own_thread_alone_and_callers_wait_for_each_other(cuda: StandIn) -> None:
    tokens = VideoTokens.from_array(tensor(features(3, SHAPE)))
    selector = stgraph.selector("srts", retain_ratio=0.3)
    replay = CapturedSelection(selector, tokens)
    recorded = ["side waits for caller", "record thread_local on side", "end", "caller waits for side"]
    assert cuda.asked == recorded
    kept = replay(tokens)
    assert cuda.asked[4:] == ["caller waits for event", "replay on caller", "event on caller"]
    same(kept.indices, to_host(selector.select(tokens).indices))


@pytest.mark.parametrize("other", [None, RuntimeError("the capture is void"), ValueError("instantiation")])
def test_a_recording_that_fails_ends_and_reports_what_came_first(
    other: Exception | None, cuda: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[None] = []

    def breaks(*args: Any) -> Any:
        calls.append(None)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return unread(*args)

    cuda.mishap = other if isinstance(other, RuntimeError) else None
    monkeypatch.setattr("stgraph.selection.capture.unread", breaks)
    tokens = VideoTokens.from_array(tensor(features(3, SHAPE)))
    with pytest.raises(RuntimeError, match="out of memory"):
        CapturedSelection(stgraph.selector("srts", retain_ratio=0.3), tokens)
    assert cuda.asked[-1] == "end"
    assert cuda.current_stream().name == "caller"
    calls.append(None)
    cuda.mishap = other
    made: Callable[[], Any] = lambda: CapturedSelection(stgraph.selector("srts", retain_ratio=0.3), tokens)  # noqa: E731
    if other is None:
        made()
    else:
        with pytest.raises(type(other), match=str(other)):
            made()
    assert cuda.current_stream().name == "caller"


def test_what_was_recorded_in_inference_mode_is_replayed_outside_and_back(cuda: StandIn) -> None:
    import torch

    x = tensor(features(3, SHAPE))
    selector = stgraph.selector("srts", retain_ratio=0.3)
    with torch.inference_mode():
        replay = CapturedSelection(selector, VideoTokens.from_array(x.clone()))
    expected = selector.select(VideoTokens.from_array(x)).indices
    assert replay(VideoTokens.from_array(x)).indices.equal(expected)
    assert replay(VideoTokens.from_array(x.clone().requires_grad_())).indices.equal(expected)
    assert not replay.features.requires_grad
    with torch.inference_mode():
        assert replay(VideoTokens.from_array(x)).indices.equal(expected)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("evs", {}, "evs reads sizes back"),
        ("dets", {}, "dets reads sizes back"),
        ("st-simdiff", {"backend": "igraph-leiden"}, "backend igraph-leiden reads"),
        ("st-simdiff", {"split": "raster"}, "splitter raster runs on the CPU"),
        ("st-simdiff", {"importance": np.ones(SHAPE[:3])}, "importance given is read again"),
    ],
)
def test_what_cannot_be_recorded_is_refused(name: str, options: dict[str, Any], reason: str) -> None:
    selector = stgraph.selector(name, retain_ratio=0.3, **options)
    with pytest.raises(InputError, match=reason):
        stgraph.capture(selector, VideoTokens.from_array(features(3, SHAPE)))


def test_a_device_is_needed() -> None:
    with pytest.raises(UnavailableError, match="on a CUDA device, not on cpu"):
        stgraph.capture(stgraph.selector("st-simdiff", retain_ratio=0.3), VideoTokens.from_array(features(3, SHAPE)))


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
def test_a_replay_is_the_selection(case: str) -> None:
    name, options = CASES[case]
    selector = stgraph.selector(name, retain_ratio=0.3, tau_sim=0.5, **options)
    shape = (16, 14, 14, 256)
    first = VideoTokens.from_array(tensor(features(3, shape)).cuda())
    replay = stgraph.capture(selector, first)
    for seed in (4, 5, 4):
        tokens = VideoTokens.from_array(tensor(features(seed, shape, noise=0.2)).cuda())
        kept, expected = replay(tokens), selector.select(tokens)
        assert kept.indices.equal(expected.indices)
        assert kept.scores.equal(expected.scores)
        assert {**kept.report, "seconds": 0} == {**expected.report, "seconds": 0}
    replay.features.copy_(first.features)
    assert replay(VideoTokens.from_array(replay.features)).indices.equal(selector.select(first).indices)


@pytest.mark.gpu
def test_replays_refuse_what_was_not_recorded() -> None:
    x = features(3, SHAPE)
    replay = stgraph.capture(stgraph.selector("st-simdiff", retain_ratio=0.3), VideoTokens.from_array(tensor(x).cuda()))
    with pytest.raises(GridError, match=r"captured for .* called with .* capture another"):
        replay(VideoTokens.from_array(tensor(x[:4]).cuda()))
    with pytest.raises(GridError, match="captured for"):
        replay(VideoTokens.from_array(x))
    x[1, 2, 3, 4] = np.nan
    with pytest.raises(FeatureError, match="token is 39 "):
        replay(VideoTokens.from_array(tensor(x).cuda()))
    kept = to_host(replay(VideoTokens.from_array(tensor(features(3, SHAPE)).cuda())).indices)
    assert len(kept) == 36
