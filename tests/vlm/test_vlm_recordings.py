"""Recorded selections inside a running model, with a stand-in for the device."""

from __future__ import annotations

from typing import Any

import pytest
from recorder_on_the_host import OnTheHost
from vlm_models import CASES, torch

import stgraph
from stgraph.errors import InputError

pytestmark = pytest.mark.usefixtures("interpreter")


def test_compress_refuses_other_values_of_record() -> None:
    with pytest.raises(InputError, match="record is 'always'; it must be 'auto', True or False"):
        stgraph.compress(CASES["qwen2_vl"](1).model, stgraph.selector("srts", retain_ratio=0.5), record="always")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "given", "n_plain"),
    [("llava_onevision", {}, 2), ("qwen2_vl", {"record": True}, 1), ("qwen2_vl", {"record": False}, 4)],
    ids=str,
)
def test_compress_records_unless_told_not_to_and_says_so(
    family: str, given: dict[str, Any], n_plain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, case = OnTheHost(), CASES[family](1)
    monkeypatch.setattr("stgraph.selection.recordings.CudaRecorder", lambda: recorder)
    with stgraph.compress(case.model, stgraph.selector("srts", retain_ratio=0.3), **given) as stats, torch.no_grad():
        logits = [case.model(**case.inputs).logits for _ in range(4)]
    assert all(one.equal(logits[0]) for one in logits)
    assert len({tuple(video.nodes) for video in stats.videos}) == 1
    did = [video.recording for video in stats.videos]
    assert did == [video.to_dict()["recording"] for video in stats.videos]
    if given == {"record": False}:
        assert did == [None] * 4
    else:
        assert all(str(one).startswith("not recorded: number") for one in did[:n_plain])
        assert did[n_plain:] == ["recorded", *["replayed"] * (3 - n_plain)]
