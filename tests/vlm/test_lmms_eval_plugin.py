"""The model for lmms-eval, as far as it goes without lmms-eval and a checkpoint; and how it reads a video."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stgraph.bench.reproduce.benchmarks import Task
from stgraph.bench.reproduce.by_lmms_eval import LmmsEvalRunner
from stgraph.bench.reproduce.paper import paper_tables
from stgraph.errors import InputError, MissingSignalError, UnavailableError, UnknownNameError
from stgraph.selection.base import SELECTORS, parameters_of, selector
from stgraph.vlm.lmms_eval import plugin as lmms_eval_plugin
from stgraph.vlm.lmms_eval.plugin import VideoChat
from stgraph.vlm.lmms_eval.requests import (
    RequestCounts,
    batches,
    cut,
    generation_arguments,
    means,
    records_of,
    selection_row,
)
from stgraph.vlm.prompt_video import prompt_video
from stgraph.vlm.stages import check_selector

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "tests" / "data" / "bbb_6s.mp4"
needs_av = pytest.mark.skipif(find_spec("av") is None, reason="needs the package 'av'")


def documented_arguments() -> list[str]:
    """What docs/reproduce.md tells to pass as ``--model_args``, and what ``stgraph reproduce`` passes for each row."""
    page = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    documented = re.findall(r"--model_args (\S+)", page)
    assert documented
    runner, task = LmmsEvalRunner("m", Path("logs")), Task("videomme")
    commands = [runner.command(table.name, row, task) for table in paper_tables().values() for row in table.rows]
    return list(dict.fromkeys([*documented, *(words[words.index("--model_args") + 1] for words in commands)]))


def spelled(text: str) -> Any:
    """A value as lmms-eval reads it from the command line."""
    try:
        return text.lower() == "true" if text.lower() in ("true", "false") else float(text)
    except ValueError:
        return text


# The plugin


def test_the_entry_point_names_the_manifest() -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["lmms_eval.models"]
    assert list(points) == [lmms_eval_plugin.MODEL]
    module, _, attribute = points[lmms_eval_plugin.MODEL].partition(":")
    assert getattr(import_module(module), attribute) is lmms_eval_plugin.manifest


def test_importing_it_imports_nothing_optional() -> None:
    code = "import sys, stgraph.vlm.lmms_eval.plugin; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"lmms_eval", "torch", "transformers", "accelerate", "av"} & set(out.stdout.split())


def test_the_manifest_names_a_class_that_is_made_when_asked_for() -> None:
    registry = pytest.importorskip("lmms_eval.models.registry_v2", reason="needs lmms-eval", exc_type=ImportError)
    manifest = lmms_eval_plugin.manifest()
    assert isinstance(manifest, registry.ModelManifest)
    assert manifest.chat_class_path == "stgraph.vlm.lmms_eval.plugin.StgraphHf"


def test_an_unknown_attribute_stays_unknown() -> None:
    with pytest.raises(AttributeError, match="no attribute 'StgraphHF'"):
        _ = lmms_eval_plugin.StgraphHF


# Arguments


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"selector": "st-simdif", "retain_ratio": 0.3}, UnknownNameError, "Did you mean 'st-simdiff'"),
        ({}, InputError, "retain_ratio=None and n_keep=None; give exactly one"),
        ({"retain_ratio": 0.3, "tau": 0.8}, InputError, "has no parameter 'tau'"),
        ({"selector": "none", "retain_ratio": 0.3}, InputError, "selector=none takes no 'retain_ratio'"),
        ({"selector": "none", "batch_size": "auto"}, InputError, "batch_size is 'auto'"),
        ({"selector": "none", "batch_size": 0}, InputError, "batch_size is 0"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_loaded(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        VideoChat("no-such-checkpoint", **arguments)


def test_the_word_none_is_none() -> None:
    assert lmms_eval_plugin._values({"max_size": "none", "tau_diff": "p95"}) == {"max_size": None, "tau_diff": "p95"}
    assert lmms_eval_plugin._selector("none", {}) is None


def test_lists_and_objects_are_json() -> None:
    given = {"layers": "[8,16]", "backend_options": '{"trials":10}', "deletions": '{"3":40}', "attention": "received"}
    assert lmms_eval_plugin._values(given) == {
        "layers": [8, 16],
        "backend_options": {"trials": 10},
        "deletions": {3: 40},
        "attention": "received",
    }
    with pytest.raises(InputError, match=r"layers is '\[8,'; write a list or an object as JSON"):
        lmms_eval_plugin._values({"layers": "[8,"})
    made = lmms_eval_plugin._selector("pyramiddrop", lmms_eval_plugin._values({"retain_ratio": 0.3, **PYRAMID}))
    assert made.layers == (1, 2)


PYRAMID = {"layers": "[1,2]", "ratios": "[0.5,0.25]", "n_layers": 4}


@pytest.mark.parametrize("name", SELECTORS.names())
def test_every_selector_is_taken_with_all_its_parameters(name: str) -> None:
    own = set(inspect.signature(VideoChat.__init__).parameters)
    assert not own & set(parameters_of(name))  # none of them would be taken for one of the model
    try:
        check_selector(selector(name, retain_ratio=0.3))
    except MissingSignalError as error:  # of the LLM's inner layers, which are read from dumps alone
        with pytest.raises(MissingSignalError, match=re.escape(str(error))):  # before anything is loaded
            VideoChat("no-such-checkpoint", selector=name, retain_ratio=0.3)
        return
    assert lmms_eval_plugin._selector(name, lmms_eval_plugin._values({"retain_ratio": 0.3})).name == name


@pytest.mark.parametrize("line", documented_arguments())
def test_documented_arguments_make_a_selector(line: str) -> None:
    own = set(inspect.signature(VideoChat.__init__).parameters) - {"selector"}
    given = dict(part.split("=", 1) for part in line.split(","))
    parameters = {name: spelled(value) for name, value in given.items() if name not in own}
    name = parameters.pop("selector", "st-simdiff")
    if name != "none":
        parameters = {"retain_ratio": 0.3, **parameters}
    lmms_eval_plugin._selector(str(name), lmms_eval_plugin._values(parameters))


def test_what_it_cannot_do_is_said() -> None:
    model = VideoChat.__new__(VideoChat)
    with pytest.raises(UnavailableError, match="generates only"):
        model.loglikelihood([])
    with pytest.raises(UnavailableError, match="answers one round"):
        model.generate_until_multi_round([])


# Requests


def test_a_batch_holds_requests_with_equal_arguments() -> None:
    greedy, long = {"temperature": 0, "until": ["."]}, {"temperature": 0, "until": ["."], "max_new_tokens": 9}
    assert batches([greedy, long, greedy, greedy], 2) == [[0, 2], [3], [1]]
    assert batches([], 2) == []


def test_sampling_only_above_temperature_0() -> None:
    given = {"temperature": 0.7, "top_p": 0.9, "max_new_tokens": 5}
    assert generation_arguments(given) == {**given, "do_sample": True}
    greedy = generation_arguments({"do_sample": True})
    assert greedy == {"max_new_tokens": 1024, "do_sample": False, "temperature": None, "top_p": None, "top_k": None}


def test_stop_strings_end_the_answer() -> None:
    assert cut("B\n\nbecause. it", ["\n\n", "."]) == "B"
    assert cut(" B ", []) == "B"
    assert cut("B", [""]) == "B"


def record(sample: int, n_rows: int = 1, call: int = 0, **figures: Any) -> SimpleNamespace:
    values = {"n_visual": 10, "n_kept": 3, "n_candidates": 4, "select_s": 0.5, **figures}
    return SimpleNamespace(sample=sample, n_rows=n_rows, call=call, to_dict=lambda: {"sample": sample}, **values)


def prompt(n_rows: int) -> SimpleNamespace:
    return SimpleNamespace(n_rows=n_rows, call=0, entered=tuple(range(10, 10 + n_rows)))


def test_records_belong_to_their_request() -> None:
    plain = SimpleNamespace(videos=[record(0), record(1), record(1), record(1, call=1)], prompts=[prompt(2)])
    assert [len(records_of(plain, request, 2)[0]) for request in range(2)] == [1, 2]
    beams = SimpleNamespace(videos=[record(0, 3), record(3, 3)], prompts=[prompt(6)])
    assert [records_of(beams, request, 2)[0][0].sample for request in range(2)] == [0, 3]
    assert [records_of(beams, request, 2)[1] for request in range(2)] == [10, 13]
    equal = SimpleNamespace(videos=[record(0, 2)], prompts=[prompt(2)])
    assert [records_of(equal, request, 2)[0][0].sample for request in range(2)] == [0, 0]
    assert records_of(SimpleNamespace(videos=[], prompts=[]), 0, 1) == ([], None)


def test_the_logged_row_sums_over_videos() -> None:
    row = selection_row([record(0), record(0, n_candidates=None)], {"generate_s": 2.0})
    assert row == {
        "n_visual": 20,
        "n_kept": 6,
        "select_s": 1.0,
        "generate_s": 2.0,
        "videos": [{"sample": 0}, {"sample": 0}],
    }
    assert selection_row([], {"generate_s": 2.0}) == {"generate_s": 2.0}
    assert RequestCounts(5, 1, selection=row).to_dict() == {"input_tokens": 5, "output_tokens": 1, **row}
    assert means([{"n_kept": 2, "videos": []}, {"n_kept": 4}, {}]) == {"n_kept": 3.0}


# Videos in prompts


@needs_av
def test_frames_at_even_distances() -> None:
    video = prompt_video(CLIP, 8)
    assert video.rgb.shape[0] == len(video.times) == 8 and video.rgb.dtype == np.uint8
    assert np.allclose(np.diff(video.times), video.duration_s / 8, atol=0.05)
    metadata = video.metadata
    assert (metadata["height"], metadata["width"]) == video.rgb.shape[1:3]
    assert np.allclose(np.array(metadata["frames_indices"]) / metadata["fps"], video.times, atol=0.5 / metadata["fps"])
    assert metadata["total_num_frames"] / metadata["fps"] == pytest.approx(video.duration_s, abs=0.1)


@needs_av
def test_a_rate_holds_up_to_so_many_frames() -> None:
    at_two = prompt_video(CLIP, frames=None, fps=2)
    assert np.allclose(np.diff(at_two.times), 0.5, atol=0.05)
    few = prompt_video(CLIP, frames=len(at_two.times), fps=2)
    assert np.array_equal(few.times, at_two.times)
    assert np.array_equal(prompt_video(CLIP, frames=4, fps=2).times, prompt_video(CLIP, 4).times)


@needs_av
def test_a_short_video_gives_all_it_has() -> None:
    video = prompt_video(CLIP, 100_000)
    assert len(video.times) == video.metadata["total_num_frames"]


@needs_av
def test_the_instruction_says_when_the_frames_were_taken() -> None:
    video = prompt_video(CLIP, 2)
    assert video.instruction.startswith(f"The video lasts for {video.duration_s:.2f} seconds, and 2 frames are")
    assert f"located at {video.times[0]:.2f}s,{video.times[1]:.2f}s." in video.instruction


@needs_av
def test_a_rate_or_a_number_must_be_given() -> None:
    with pytest.raises(InputError, match="give at least one"):
        prompt_video(CLIP, None)


def test_a_video_is_a_path() -> None:
    with pytest.raises(InputError, match="video is a dict"):
        prompt_video({"video_start": 3})  # type: ignore[arg-type]
