"""A probe run: rows that repeat, answers that follow from what is kept, plans that are checked before any work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

torch = pytest.importorskip("torch", reason="needs torch")

import stgraph  # noqa: E402
from stgraph.bench.probe import run as running  # noqa: E402
from stgraph.bench.probe.choosing import Chooser  # noqa: E402
from stgraph.bench.probe.exam import Exam, make_clips  # noqa: E402
from stgraph.bench.probe.model import N_TOKENS  # noqa: E402
from stgraph.bench.probe.plan import FEATURES, ProbePlan, ProbeSetting, probe_settings  # noqa: E402
from stgraph.bench.probe.rows import PROBE, ProbeRows, pack, unpack  # noqa: E402
from stgraph.bench.probe.run import run  # noqa: E402
from stgraph.bench.probe.weights import asked_families, load_model, model_names  # noqa: E402
from stgraph.errors import (  # noqa: E402
    BackendUnavailableError,
    InputError,
    MissingSignalError,
    UnknownNameError,
)

MODEL = model_names()[0]


@pytest.fixture(scope="module")
def exam() -> Exam:
    model = load_model(MODEL)
    return Exam(model, make_clips(model.visual, "dev", 6, asked_families()))


def plan(*settings: ProbeSetting, **given: Any) -> ProbePlan:
    values = {"retain_ratios": (0.1, 0.3), "n_questions": 30, "videos": "dev", **given}
    return ProbePlan(settings=settings or probe_settings(["random", "st-simdiff"], {}), **values)


def test_two_runs_give_the_same_rows() -> None:
    first, second = run(plan()), run(plan())
    assert first == second and len(first) == 2 + 2 * 2
    assert all(row.keys() == PROBE.columns.keys() for row in first)


def test_an_interrupted_run_goes_on_to_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once = run(plan())
    path, made = tmp_path / "rows.csv", []

    def stop_at_four(*args: Any) -> Any:
        made.append(1)
        if len(made) == 4:
            raise KeyboardInterrupt
        return row_of(*args)

    row_of = running._row
    monkeypatch.setattr(running, "_row", stop_at_four)
    with pytest.raises(KeyboardInterrupt):
        run(plan(), ProbeRows(path))
    assert len(ProbeRows(path)) == 3
    monkeypatch.setattr(running, "_row", row_of)
    store = ProbeRows(path)
    assert run(plan(), store) == once and store.n_new == 3
    assert run(plan(), ProbeRows(path)) == once


def test_rows_of_another_generator_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    run(plan(), ProbeRows(path))
    path.write_text(path.read_text().replace(running.DIGEST, "0" * 12))
    with pytest.raises(InputError, match="holds rows of generator 000000000000"):
        ProbeRows(path)


def test_probe_settings_other_parameters_are_other_rows() -> None:
    """Those without a column of their own tell rows apart as well, and show in the result."""
    store = ProbeRows()
    few = {"retain_ratios": (0.1,), "n_questions": 10}
    plain = run(plan(ProbeSetting("st-simdiff"), **few), store)
    other = run(plan(ProbeSetting("st-simdiff", {"right": False, "bottom": False}), **few), store)
    assert store.n_new == 4 and plain[-1]["parameters"] is None
    assert other[-1]["parameters"] == '{"bottom": false, "right": false}'
    assert other[-1]["n_communities"] > plain[-1]["n_communities"]


def test_accuracy_is_that_of_the_answers() -> None:
    for row in run(plan()):
        right = unpack(row)
        assert right.shape == (row["n_videos"], row["n_questions"] // row["n_videos"])
        assert row["accuracy"] == pytest.approx(right.mean()) and row["accuracy_low"] <= row["accuracy"]
        asked = [family for family in running.asked_families() if row[family] is not None]
        assert tuple(asked) == asked_families()


def test_answers_are_packed_and_unpacked() -> None:
    right = np.random.default_rng(0).random((7, 5)) < 0.5
    assert np.array_equal(unpack({"answers": pack(right), "n_videos": 7, "n_questions": 35}), right)


def test_keeping_everything_is_the_full_model(exam: Exam) -> None:
    chosen = Chooser(exam).choose(ProbeSetting("st-simdiff"), 1.0)
    assert np.array_equal(exam.answer(chosen.selections), exam.answer_all())


def test_all_tokens_answer_and_none_guess(exam: Exam) -> None:
    assert exam.answer_all().mean() > 0.9 > 0.5 > exam.answer_blind().mean()


def test_dropping_what_is_asked_for_costs_the_answer(exam: Exam) -> None:
    """Without the tokens in which an object is seen, its colour is guessed; without as many others it is not."""
    from stgraph.bench.probe.scene import make_scene
    from stgraph.bench.probe.splits import seed_of

    kept = Chooser(exam).choose(ProbeSetting("random"), 0.5).selections
    without, others = [], []
    for i, selection in enumerate(kept):
        scene = make_scene(seed_of("dev", i))
        near = np.zeros_like(scene.shapes, np.bool_)
        for sight in (*scene.still, scene.mover, *scene.brief):
            near |= binary_dilation(scene.shapes == sight.shape, np.ones((1, 5, 5)))  # a feature sees its neighbours
        rest = np.flatnonzero(~near.reshape(-1))
        without.append(replace(selection, indices=rest))
        others.append(replace(selection, indices=np.sort(np.random.default_rng(i).permutation(N_TOKENS)[: len(rest)])))
    about = np.isin(exam.clips.families, ("obj", "mov", "evt"))
    assert exam.answer(without)[:, about].mean() < 0.4 < 0.8 < exam.answer(others)[:, about].mean()


def test_merged_tokens_are_what_the_model_reads(exam: Exam) -> None:
    """Merged to nothing, they tell nothing, although the kept positions are the same."""
    merged = Chooser(exam).choose(ProbeSetting("sttm"), 0.3).selections
    assert {selection.kind for selection in merged} == {"merge"}
    emptied = [replace(selection, assignment=selection.assignment * 0) for selection in merged]
    assert exam.answer(emptied).mean() < 0.5 < 0.8 < exam.answer(merged).mean()


def test_random_draws_anew_for_each_video(exam: Exam) -> None:
    kept = Chooser(exam).choose(ProbeSetting("random"), 0.1).selections
    again = Chooser(exam).choose(ProbeSetting("random"), 0.1).selections
    assert not np.array_equal(kept[0].indices, kept[1].indices)
    assert all(np.array_equal(a.indices, b.indices) for a, b in zip(kept, again, strict=True))


@pytest.mark.parametrize("features", FEATURES)
def test_shared_work_changes_no_selection(exam: Exam, features: str) -> None:
    """Communities are computed once for settings that share them; each selection is that of the selector alone."""
    chooser = Chooser(exam)
    for parameters in (
        {"tau_diff": 0.3},
        {"tau_diff": "p95"},
        {"events": False},
        {"tau_sim": 0.9},
        {"split": "raster"},
    ):
        setting = ProbeSetting("st-simdiff", parameters, features)
        chosen = chooser.choose(setting, 0.2)
        selector = stgraph.selector("st-simdiff", retain_ratio=0.2, **parameters)
        for selection, tokens in zip(chosen.selections, exam.tokens(features), strict=True):
            assert np.array_equal(selection.indices, selector.select(tokens).indices)


def test_features_differ(exam: Exam) -> None:
    plain, centred, encoder = (exam.tokens(name)[0].lattice for name in FEATURES)
    assert np.abs(centred.reshape(-1, 128).mean(0)).max() < 1e-5 < np.abs(plain.reshape(-1, 128).mean(0)).max()
    assert not np.allclose(plain, encoder)
    with pytest.raises(InputError, match="features is 'raw'; it must be one of projector"):
        exam.tokens("raw")


def test_attention_is_a_distribution_and_looks_at_objects(exam: Exam) -> None:
    for tokens in exam.tokens():
        attention = tokens.signals["importance"]
        assert attention.min() >= 0 and 0.2 < attention.sum() <= 1


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"models": ("gpt",)}, InputError, "model is 'gpt'"),
        ({"videos": "train"}, InputError, "measure on 'test'"),
        ({"videos": "valid"}, InputError, "split is 'valid'"),
        ({"n_questions": 0}, InputError, "n_questions is 0"),
        ({"n_questions": 10**9}, InputError, "the probe has"),
        ({"retain_ratios": ()}, InputError, "retain_ratios is empty"),
        ({"retain_ratios": (1.5,)}, InputError, "retain_ratio is 1.5"),
    ],
)
def test_bad_plans_are_refused(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plan(**given)


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        (ProbeSetting("nothing"), UnknownNameError, "nothing"),
        (ProbeSetting("uniform", {"tau_sim": 0.5}), InputError, "has no parameter 'tau_sim'"),
        (ProbeSetting("visionzip"), MissingSignalError, "needs the signal 'enc_.*use --weights vit-4"),
        (ProbeSetting("st-simdiff", {"tau_sim": 2.0}), InputError, "tau_sim is 2"),
        (ProbeSetting("st-simdiff", features="pixels"), InputError, "features is 'pixels'"),
        (ProbeSetting("st-simdiff", {"backend": "cugraph-leiden"}), BackendUnavailableError, "cannot run here"),
    ],
)
def test_bad_settings_are_refused(setting: ProbeSetting, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plan(setting)


def test_settings_are_a_product_without_repeats() -> None:
    found = probe_settings(
        ["random", "st-simdiff"], {"backend": ("lattice-components", "igraph-leiden"), "split": ("tree",)}
    )
    assert [s.selector for s in found] == ["random", "st-simdiff", "st-simdiff"]
    assert [s.parameters.get("backend") for s in found] == [None, "lattice-components", "igraph-leiden"]
    both = probe_settings(["random", "st-simdiff"], {}, ("projector", "encoder"))
    assert [(s.selector, s.features) for s in both][1:] == [("st-simdiff", "projector"), ("st-simdiff", "encoder")]
    assert len(both) == 3
    (lists,) = probe_settings(["pyramiddrop"], {"layers": ([1, 2], [1, 2])})
    assert lists.parameters["layers"] == [1, 2]
