"""Recordings on a device, within a model, while other threads use it."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from vlm_models import CASES, noise, torch
from vlm_threads import skip_shared_state, together

import stgraph
from stgraph.selection.recorder import CudaRecorder
from stgraph.selection.recordings import Recordings, memory

pytestmark = pytest.mark.gpu


@contextmanager
def busy(errors: list[Exception]) -> Iterator[None]:
    """A data loader that pins memory, a thread that takes and gives back device memory, waits for it and, where torch
    allows that beside a recording, samples."""
    stop = threading.Event()
    samples = CudaRecorder().hazard() is None

    def loads() -> None:
        data = torch.utils.data.TensorDataset(torch.zeros(4096, 256))
        while not stop.is_set():
            for (rows,) in torch.utils.data.DataLoader(data, batch_size=256, pin_memory=True):
                rows.to("cuda", non_blocking=True)
                if stop.is_set():
                    break

    def allocates() -> None:
        n = 1
        with torch.cuda.stream(torch.cuda.Stream()):
            while not stop.is_set():
                weights = torch.rand(4096, device="cuda") if samples else torch.ones(4096, device="cuda")
                if samples:
                    torch.multinomial(weights, 8)
                torch.empty(n := n * 3 % (1 << 26) + 1, device="cuda").fill_(1.0).sum().item()
                torch.cuda.synchronize()
                torch.cuda.empty_cache()

    def guarded(work: Any) -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (loads, allocates)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("streams", [False, True], ids=["one stream", "a stream each"])
@pytest.mark.parametrize("family", ["qwen2_vl", "llava_onevision"])
def test_two_threads_of_one_model_while_others_use_the_device(family: str, streams: bool) -> None:
    """Every video gets the nodes it gets unrecorded, and nobody gets an error."""
    skip_shared_state(family)
    case = CASES[family](1)
    model = copy.deepcopy(case.model).to("cuda")
    selector = stgraph.selector("srts", retain_ratio=0.3, tau_sim=0.3)
    videos = [noise(*case.inputs["pixel_values_videos"].shape, seed=seed) for seed in range(6)]
    inputs = {name: value.to("cuda") for name, value in case.inputs.items() if hasattr(value, "to")}

    @torch.no_grad()
    def ask(video: Any) -> Any:
        return model(**{**inputs, "pixel_values_videos": video.to("cuda")}).logits[0, -1].cpu()

    with stgraph.compress(model, selector, record=False) as plain:
        expected = [ask(video) for video in videos]

    def asks() -> list[Any]:
        with torch.cuda.stream(torch.cuda.Stream() if streams else torch.cuda.default_stream()):
            return [ask(video) for _ in range(5) for video in videos]

    errors: list[Exception] = []
    with busy(errors), stgraph.compress(model, selector, record=True) as stats:
        results = together([asks, asks])
    assert not errors
    assert not any(isinstance(found, Exception) for found in results), results
    for found in results:
        for logits, wanted in zip(found, expected * 5, strict=True):
            assert torch.allclose(logits, wanted, atol=1e-3)
    wanted_nodes = {tuple(video.nodes) for video in plain.videos}
    assert {tuple(video.nodes) for video in stats.videos} == wanted_nodes
    did = [str(video.recording) for video in stats.videos]
    assert did.count("recorded") == 1
    assert did.count("replayed") >= 2 * 30 - 3


def test_a_recording_takes_no_more_memory_than_is_reckoned_with() -> None:
    shape = (32, 14, 14, 1024)
    tokens = stgraph.VideoTokens.from_array(torch.randn(*shape, device="cuda").bfloat16())
    recordings = Recordings(stgraph.selector("srts", retain_ratio=0.3), asked=True)
    recordings.replay(tokens)
    recordings._selector.select(tokens)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    found, did = recordings.replay(tokens)
    assert did == "recorded" and found is not None
    torch.cuda.empty_cache()  # what the run before the recording took
    assert torch.cuda.memory_reserved() - before <= memory(tokens)


def test_nothing_is_recorded_or_replayed_in_another_recording() -> None:
    tokens = stgraph.VideoTokens.from_array(torch.randn(8, 4, 4, 64, device="cuda"))
    recordings = Recordings(stgraph.selector("srts", retain_ratio=0.3), asked=True)
    for _ in range(3):
        recordings.replay(tokens)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found, note = recordings.replay(tokens)
        _ = tokens.features + 1
    assert found is None and note == "not recorded: the caller's stream is being recorded"
    assert recordings.replay(tokens)[1] == "replayed"


def test_after_a_recording_that_failed_the_device_works_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait inside the recording voids it: the selection is made unrecorded, others are recorded, sampling works."""
    from stgraph.selection import capture

    whole, calls = capture.unread, []

    def waits(*args: Any) -> Any:
        calls.append(None)
        found = whole(*args)
        if len(calls) == 2:
            torch.cuda.synchronize()
        return found

    tokens = stgraph.VideoTokens.from_array(torch.randn(8, 4, 4, 64, device="cuda"))
    other = stgraph.VideoTokens.from_array(torch.randn(6, 4, 4, 64, device="cuda"))
    selector = stgraph.selector("srts", retain_ratio=0.3)
    recordings = Recordings(selector, asked=True)
    expected = selector.select(tokens).indices
    recordings.replay(tokens)
    monkeypatch.setattr(capture, "unread", waits)
    found, note = recordings.replay(tokens)
    assert found is None and note.startswith("not recorded: recording failed")
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert selector.select(tokens).indices.equal(expected)
    if CudaRecorder().hazard() is None:
        torch.rand(8, device="cuda").sum().item()
        recordings.replay(other)
        assert recordings.replay(other)[1] == "recorded"
