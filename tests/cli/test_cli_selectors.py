"""Selectors on the command line: compare them, use any of them, try them all without a model."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import clip, saved
from command_line import flat, run, strict_json
from refusals import Refused

import stgraph
from stgraph import container
from stgraph.bench.synthetic import synthetic_signals
from stgraph.cli import main
from stgraph.selection.base import SELECTORS
from stgraph.selection.st_simdiff.paper import StSimDiff
from stgraph.selection.st_simdiff.presets import ABLATION, ablation

FEW = ("-s", "st-simdiff, evs,sttm", "-r", "0.3", "-r", "0.5")


@pytest.fixture
def dump(tmp_path: Path) -> str:
    return saved(tmp_path / "clip.safetensors", title="A clip")


@pytest.fixture
def signalled(tmp_path: Path) -> str:
    synthetic_signals(clip()).save(tmp_path / "signals.safetensors")
    return str(tmp_path / "signals.safetensors")


def test_compare_all_lists_what_it_leaves_out(dump: str) -> None:
    text = run("compare", "-s", "all", dump, "-r", "0.3", "--seed", "0")
    for name in SELECTORS.names():
        assert name in text
    assert "r = 0.3. Kept of 180 tokens" in text
    assert "needs signals enc_cls_attn, enc_features" in text
    assert "--synthetic-signals" in text


def test_compare_all_runs_all_on_made_up_signals(signalled: str) -> None:
    text = run("compare", "-s", "all", signalled, "-r", "0.1", "-r", "0.5", "--seed", "0", "--no-fidelity")
    assert "Not run" not in text
    for name in SELECTORS.names():
        assert text.count(f"\n{name} ") == 2


def test_compare_ends_in_findings(signalled: str) -> None:
    """Each sentence against the rows it is about."""
    named = ("random", "uniform", "evs", "divprune", "fastv")
    options = ("compare", *(part for name in named for part in ("-s", name)), signalled, "-r", "0.3", "--seed", "0")
    tables = strict_json(run(*options, "--format", "json"))
    fidelity = {row["selector"]: row["fidelity_mean"] for row in tables["rows"]}
    shared = {(row["selector_a"], row["selector_b"]): row["jaccard"] for row in tables["overlap"]}
    text = flat(run(*options))
    best, worst = max(fidelity, key=lambda name: fidelity[name]), min(fidelity, key=lambda name: fidelity[name])
    nearest = f"nearest to what {best} hands on ({fidelity[best]:.3f}), farthest from {worst}'s ({fidelity[worst]:.3f})"
    assert flat(f"r = 0.3: dropped tokens are {nearest}") in text
    for baseline in ("random", "uniform"):
        below = sum(value < fidelity[baseline] for value in fidelity.values())
        assert flat(f"{below} of the 4 others are below {baseline} ({fidelity[baseline]:.3f})") in text
    (a, b), (c, d) = min(shared, key=lambda pair: shared[pair]), max(shared, key=lambda pair: shared[pair])
    least, most = 100 * shared[a, b], 100 * shared[c, d]
    assert flat(f"{a} and {b} share {least:.0f} % of the tokens either keeps, {c} and {d} {most:.0f} %") in text
    assert flat("Fidelity is coverage, not accuracy") in text
    without = flat(run(*options, "--no-fidelity"))
    assert flat(f"{a} and {b} share") in without and "coverage,notaccuracy" not in without
    alone = flat(run("compare", "-s", "evs", signalled, "-r", "0.3"))
    assert "eitherkeeps" not in alone


def test_compare_names_the_default_backend(dump: str) -> None:
    named = ("compare", "-s", "uniform,st-simdiff,srts", dump, "-r", "0.3", "--seed", "0", "--no-fidelity")
    assert f"Communities by the default backend, {StSimDiff.backend}: st-simdiff, srts." in run(*named)
    assert "default backend" not in run(*named, "-b", "igraph-leiden")


def test_compare_named_selectors_as_rows(dump: str, tmp_path: Path) -> None:
    tables = strict_json(run("compare", *FEW, dump, "--format", "json"))
    assert list(tables) == ["rows", "overlap"]
    assert [(row["selector"], row["retain_ratio"]) for row in tables["rows"]] == [
        (name, ratio) for name in ("st-simdiff", "evs", "sttm") for ratio in (0.3, 0.5)
    ]
    assert {row["n_kept"] for row in tables["rows"]} == {54, 90}
    assert len(tables["overlap"]) == 6
    target = tmp_path / "rows.csv"
    run("compare", *FEW, dump, "-o", str(target))
    with target.open(newline="") as stream:
        assert [row["selector"] for row in csv.DictReader(stream)] == [row["selector"] for row in tables["rows"]]
    assert (tmp_path / "rows.overlap.csv").exists()
    assert not (tmp_path / "rows.skipped.csv").exists()


def test_compare_takes_backends_and_thresholds(dump: str) -> None:
    given = ("-s", "st-simdiff,evs", "-b", "lattice-components", "-b", "igraph-leiden", "--tau-sim", "0.5")
    rows = strict_json(run("compare", *given, dump, "-r", "0.3", "--format", "json"))["rows"]
    assert [(row["selector"], row["backend"]) for row in rows] == [
        ("st-simdiff", "lattice-components"),
        ("st-simdiff", "igraph-leiden"),
        ("evs", None),
    ]


def test_compare_takes_any_parameter(signalled: str, refused: Refused) -> None:
    given = ("-s", "visionzip,uniform,pyramiddrop", "-r", "0.3", "--no-fidelity", "--format", "json")
    plain = strict_json(run("compare", signalled, *given))["rows"]
    asked = ("-p", "attention=received", "-p", "layers=1,2,3")
    others = strict_json(run("compare", signalled, *given, *asked))["rows"]
    assert "attention each patch receives" in others[0]["exactness"]
    assert "attention each patch receives" not in plain[0]["exactness"]
    assert others[1]["n_kept"] == plain[1]["n_kept"] and others[2]["mean_layer_tokens"] < plain[2]["mean_layer_tokens"]
    says = "none of the selectors visionzip, uniform, pyramiddrop has a parameter 'nothing'"
    assert says in refused("compare", signalled, *given, "-p", "nothing=3")
    assert "has no parameter 'nothing'" in refused("compare", signalled, "-p", "nothing=3")


def test_compare_measured_over_the_layers(signalled: str) -> None:
    given = ("-s", "fastv,evs", "-r", "0.3", "--no-fidelity", "--format", "json")
    kept = strict_json(run("compare", signalled, *given))["rows"]
    layers = strict_json(run("compare", signalled, *given, "--measured", "layers"))["rows"]
    assert [row["n_kept"] for row in kept] == [54, 54]
    assert layers[0]["n_kept"] < 54 == layers[1]["n_kept"]
    assert layers[0]["mean_layer_tokens"] == pytest.approx(54, abs=1)


def test_select_with_any_selector(signalled: str, tmp_path: Path) -> None:
    target = tmp_path / "kept.safetensors"
    text = run("select", signalled, "-s", "sttm", "-r", "0.3", "-o", str(target))
    assert flat("Selection(54 of 180 tokens: 54 context; by sttm)") in flat(text)
    tensors, metadata = container.read(target, "selection")
    expected = stgraph.selector("sttm", retain_ratio=0.3).select(stgraph.load(signalled))
    np.testing.assert_array_equal(tensors["features"], expected.features)
    assert metadata["kind"] == "merge"
    facts = strict_json(run("select", signalled, "-s", "fastv", "-n", "20", "-p", "layer=1", "--format", "json"))
    assert facts["account"]["prune_layer"] == 1
    assert facts["account"]["n_input"] == 180
    assert facts["n_kept"] == 20
    assert flat("newlines out") in flat(run("select", signalled, "-s", "random", "-p", "seed=7"))


@pytest.mark.parametrize("name", ABLATION)
def test_select_with_a_preset(signalled: str, name: str) -> None:
    facts = strict_json(run("select", signalled, "--preset", name, "-r", "0.3", "--format", "json"))
    selector = stgraph.selector("st-simdiff", retain_ratio=0.3, **ablation(name))
    kept = selector.select(stgraph.load(signalled))
    assert facts["provenance"]["families"] == list(kept.provenance["families"])
    assert facts["reasons"] == kept.reasons()
    assert facts["report"]["importance"] == "attention"


def test_an_option_beats_the_preset(dump: str) -> None:
    facts = strict_json(run("select", dump, "--preset", "spatial", "--importance", "norm", "--format", "json"))
    assert facts["report"]["importance"] == "norm"
    assert facts["provenance"]["families"] == ["right", "bottom"]


def test_the_sample_can_carry_made_up_signals(tmp_path: Path) -> None:
    target = tmp_path / "sample.safetensors"
    run("sample", "--synthetic-signals", "-o", str(target))
    tokens = stgraph.load(target)
    for name in SELECTORS.names():
        stgraph.selector(name, retain_ratio=0.5).check_signals(tokens)  # type: ignore[attr-defined]
    assert "enc_cls_attn" in tokens.metadata["synthetic_signals"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("compare", "-s", "evs,simdif"), "no selector 'simdif'"),
        (("compare", "-s", "all", "--split", "tree", "--split", "raster"), "--selector takes one --split"),
        (("compare", "--measured", "layers"), "--measured and --newlines belong to --selector"),
        (("compare", "-s", "evs", "--newlines", "maybe"), "newlines is 'maybe'"),
        (("compare", "-s", "evs", "--tau-sim", "0.7"), "none of the selectors evs has a parameter 'tau_sim'"),
        (("compare", "-s", "evs,pool", "-b", "auto"), "none of the selectors evs, pool has a parameter 'backend'"),
        (("compare", "-s", "fastv"), "selector 'fastv' needs signals llm_attn_last, llm_attn_layers"),
        (("select", "-s", "evs", "--tau-sim", "0.5"), "selector 'evs' has no parameter 'tau_sim'"),
        (("select", "-s", "fastervlm"), "fastervlm needs the signal 'enc_cls_attn'"),
        (("select", "-s", "pyramiddrop", "-p", "layers=1,x"), "layers is [1, 'x']; it must be ascending integers"),
        (("select", "-p", "seed"), "--param is 'seed'; write it as name=value"),
        (("select", "--tau-sim", "0.8", "-p", "tau_sim=0.7"), "tau_sim is given twice, as 0.8 and as 0.7"),
        (("select", "-p", "tau_sim=0.8", "-p", "tau_sim=0.7"), "tau_sim is given twice, as 0.8 and as 0.7"),
        (("select", "-p", "backend_options=1", "-p", "backend_options.a=2"), "backend_options is given twice, as 1"),
        (("select", "--preset", "table-9"), "no preset 'table-9'. Known: paper, robust"),
        (("select", "--preset", "full"), "needs the signal 'importance'"),
    ],
)
def test_what_cannot_be_is_refused(
    args: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["stgraph", *args])
    status: Any = main()
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err


def test_parameters_of_several_values(signalled: str) -> None:
    """On the command line as in Python."""
    layers = ("-p", "layers=1,2", "-p", "ratios=0.5,0.25", "-p", "n_layers=4")
    facts = strict_json(run("select", signalled, "-s", "pyramiddrop", "-n", "20", *layers, "--format", "json"))
    assert facts["report"]["left"] == [40, 20] and facts["account"]["mean_layer_tokens"] == (180 + 40 + 20 + 20) / 4
    deletions = ("-p", "deletions.0=2", "-p", "deletions.1=1", "-p", "n_layers=4")
    facts = strict_json(run("select", signalled, "-s", "fitprune", "-n", "30", *deletions, "--format", "json"))
    assert facts["report"]["left"] == [80, 30]
