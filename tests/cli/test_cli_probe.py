"""``stgraph probe``, end to end: the tables, the rows, the paper beside them, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch")

from command_line import run as stgraph
from refusals import Refused

from stgraph.bench.probe.presets import PRESETS, preset
from stgraph.bench.probe.rows import PROBE, ProbeRows, unpack
from stgraph.bench.probe.splits import DIGEST
from stgraph.bench.probe.study import QUESTIONS, TAU_SIMS, chosen_thresholds, study, study_settings
from stgraph.bench.tables.reading import read_rows
from stgraph.errors import InputError, UnknownNameError
from stgraph.selection.st_simdiff.presets import ABLATION

STORED = Path(__file__).parents[1] / "data" / "probe_rows.csv"
SMALL = ("probe", "--questions", "40", "--videos", "dev")


def test_tables_show_accuracy_families_and_communities() -> None:
    out = stgraph(*SMALL, "-s", "random", "-s", "st-simdiff", "-b", "igraph-leiden", "-r", "0.1", "-r", "0.3")
    for text in ("Accuracy, % right", "r = 0.1", "By family of questions, r = 0.3", "guessing", "no token (r = 0)"):
        assert text in out
    assert "above √N" in out and "hold" in out and "not a substitute for VideoMME" in out


def test_rows_go_into_a_file_and_are_not_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    first = stgraph(*SMALL, "-s", "random", "-r", "0.1", "-o", str(path))
    assert "3 new rows, 3 in all" in first
    more = stgraph(*SMALL, "-s", "random", "-s", "uniform", "-r", "0.1", "-o", str(path))
    assert "1 new rows, 4 in all" in more
    assert "Nothing to do: all 3 rows" in stgraph(*SMALL, "-s", "random", "-r", "0.1", "-o", str(path))
    assert {row["selector"] for row in ProbeRows(path).all()} == {"full", "blind", "random", "uniform"}


def test_paper_stands_beside_the_probe() -> None:
    out = stgraph(*SMALL, "--preset", "table-3", "-r", "0.3")
    for text in (
        "Beside the paper (table 3, LLaVA-Video-7B, 64 frames)",
        "VideoMME",
        "60.3",
        "63.2",
        "57.5",
        *ABLATION,
    ):
        assert text in out


def test_presets_are_the_papers_tables_and_figures() -> None:
    for name, found in PRESETS.items():
        assert len(found.names) == len(found.settings) and preset(name) is found
        assert all(0 <= i < len(found.settings) and ratio in found.retain_ratios for i, ratio in found.paper)
        assert all(setting.parameters["importance"] == "attention" for setting in found.settings)
    assert PRESETS["table-3"].settings == PRESETS["table-5"].settings
    assert PRESETS["figure-6-tau-sim"].paper[(4, 0.3)] == {"VideoMME": 60.2, "LongVideoBench": 55.2}
    assert PRESETS["figure-6-tau-sim"].settings[4].parameters["tau_sim"] == 0.8
    with pytest.raises(UnknownNameError, match="no preset 'table-4'"):
        preset("table-4")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "table-3", "-s", "random"], "--preset has its own selector"),
        (["--study", "DIR", "-r", "0.3"], "--study has its own retain ratio"),
        (["--study", "DIR", "-o", "rows.csv"], "--study has its own output"),
        (["-p", "nothing=3"], "has a parameter 'nothing'"),
        (["-s", "visionzip"], "which the probe's model dropped-1 does not give: use --weights vit-4"),
        (["--weights", "gpt"], "model is 'gpt'"),
        (["--features", "raw"], "features is 'raw'"),
        (["--restart"], "--restart replaces the output file"),
    ],
)
def test_what_does_not_fit_is_refused(refused: Refused, words: list[str], message: str) -> None:
    assert message in refused("probe", *words)


def test_stored_rows_come_out_again() -> None:
    """300 questions, as a release gives them. Rounding differs between processors, so one answer in fifty may."""
    stored = read_rows(STORED, "csv", PROBE)  # whatever version wrote them
    assert {row["generator"] for row in stored} == {DIGEST}
    assert len(stored) == 2 + 3 * 2
    fresh = ProbeRows()
    from stgraph.bench.probe.plan import ProbePlan, probe_settings
    from stgraph.bench.probe.run import run

    settings = probe_settings(["random", "uniform", "st-simdiff"], {"backend": ("lattice-components",)})
    run(ProbePlan(settings=settings, retain_ratios=(0.1, 0.3), n_questions=300), fresh)
    for row in stored:
        (again,) = fresh.get([PROBE.key_of(row)])
        assert (unpack(row) != unpack(again)).mean() < 0.02
        assert abs(row["accuracy"] - again["accuracy"]) < 0.02
        same = [
            name
            for name in PROBE.columns
            if name in PROBE.key or name in ("weights", "generator", "n_kept", "exactness")
        ]
        assert {name: row[name] for name in same} == {name: again[name] for name in same}
        if row["n_communities"] is not None:
            assert again["n_communities"] == pytest.approx(row["n_communities"], rel=0.02)


@pytest.mark.slow
def test_study_chooses_on_dev_and_measures_on_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stgraph.bench.probe import study as module

    monkeypatch.setattr(module, "RATIOS", (0.1,))
    monkeypatch.setattr(module, "TAU_SIMS", (0.8, 0.95))
    monkeypatch.setattr(module, "model_names", lambda: ("dropped-1",))
    monkeypatch.setattr(module, "study_objectives", lambda out, progress, most: [out / f"objectives-{most}.csv"])
    monkeypatch.setattr(module, "study_rankings", lambda out, progress, most: [out / f"rankings-dev-{most}.csv"])
    monkeypatch.setattr(module, "study_densities", lambda out, progress, most: [out / f"densities-{most}.csv"])
    (tmp_path / "dev.csv").write_text("of an earlier run")
    with pytest.raises(InputError, match=r"dev\.csv .*; name another output, or replace it with --restart"):
        study(tmp_path, 20)
    made = study(tmp_path, 20, restart=True)
    assert [path.name for path in made] == [
        "dev.csv",
        "test.csv",
        "contrasts.csv",
        "thresholds.csv",
        "features.csv",
        "objectives-20.csv",
        "rankings-dev-20.csv",
        "densities-20.csv",
    ]
    dev, test = ProbeRows(tmp_path / "dev.csv").all(), ProbeRows(tmp_path / "test.csv").all()
    assert {row["videos"] for row in dev} == {"dev"} and {row["videos"] for row in test} == {"test"}
    asked = {line.split(",")[0] for line in (tmp_path / "contrasts.csv").read_text().splitlines()[1:]}
    assert {column for column, *_ in QUESTIONS if column != "tau_sim"} <= asked


@pytest.mark.slow
def test_the_study_of_objectives_compares_each_with_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stgraph.bench.probe import objectives as module

    for name, value in {"N_QUESTIONS": 20, "RATIOS": (0.1,), "TAU_SIMS": (0.8,), "CAPS": ("sqrt", 8)}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "model_names", lambda: ("dropped-1",))
    rows_file, contrasts = module.study_objectives(tmp_path)
    backends = {row["backend"] for row in ProbeRows(rows_file).all()}
    assert {*module.OBJECTIVES, module.SEGMENTS, "control-shuffled", "control-boxes-2x2x2"} <= backends
    asked = [line.split(",")[:3] for line in contrasts.read_text().splitlines()[1:]]
    assert {(a, b) for column, a, b in asked if column == "backend"} >= {
        (name, module.COMPONENTS) for name in (*module.OBJECTIVES[1:], module.SEGMENTS)
    }


def test_thresholds_are_those_of_the_highest_accuracy() -> None:
    def row(features: str, tau: float, accuracy: float) -> dict[str, object]:
        return {"features": features, "tau_sim": tau, "accuracy": accuracy}

    rows = [
        row("projector", 0.8, 0.6),
        row("projector", 0.8, 0.8),
        row("projector", 0.9, 0.69),
        row("projector", 0.95, 0.7),
    ]
    rows += [row(features, tau, tau) for features in ("projector-centred", "encoder") for tau in TAU_SIMS]
    assert chosen_thresholds(rows) == {"projector": 0.8, "projector-centred": 0.95, "encoder": 0.95}


def test_study_repeats_no_setting() -> None:
    settings = study_settings({"projector": 0.9, "projector-centred": 0.8, "encoder": 0.85})
    assert len(settings) == len(
        {(s.selector, s.features, tuple(sorted(map(str, s.parameters.items())))) for s in settings}
    )
    assert {s.parameters.get("split") for s in settings} >= {"tree", "raster", "redetect"}
    assert {str(s.parameters.get("max_size")) for s in settings} >= {"sqrt", "None"}


def test_selectors_by_an_encoders_attention_run_on_the_model_that_has_one() -> None:
    out = stgraph(*SMALL, "--weights", "vit-4", "-s", "visionzip", "-s", "random", "-r", "0.1")
    assert "visionzip" in out and "vit-4" in out


def test_all_are_those_that_the_probes_model_can_serve(tmp_path: Path) -> None:
    """Others need signals of a vision encoder."""
    from stgraph.bench.probe.plan import ProbeSetting, probe_selectors
    from stgraph.errors import MissingSignalError
    from stgraph.selection.base import SELECTORS

    served = probe_selectors()
    assert {"random", "fastv", "divprune", "st-simdiff-attention", "sparsevlm", "cdpruner", "dart"} <= set(served)
    assert {"flashvid", "flashvid-attention", "visionzip"}.isdisjoint(served)
    for name in set(SELECTORS.names()) - set(served):
        with pytest.raises(MissingSignalError, match="use --weights vit-4, which does"):
            ProbeSetting(name).check(0.3)
    assert probe_selectors(["vit-4"]) == SELECTORS.usable() and probe_selectors(["vit-4", "whole-3"]) == served
    stgraph(*SMALL, "-s", "pyramiddrop", "-r", "0.3", "-o", str(tmp_path / "rows.csv"))
    parameters = ProbeRows(tmp_path / "rows.csv").all()[-1]["parameters"]
    assert parameters == '{"layers": [1, 2], "n_layers": 3, "ratios": [0.25, 0.125]}'
