"""What the commands other than compare print and write."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import saved
from command_line import flat, run, strict_json

import stgraph
from stgraph import container
from stgraph.bench.speed.stages import Case
from stgraph.selection.base import SELECTORS


@pytest.fixture
def dump(tmp_path: Path) -> str:
    return saved(tmp_path / "clip.safetensors", title="A clip")


def test_inspect(dump: str) -> None:
    text = run("inspect", dump)
    assert flat(dump) in flat(text)
    for part in ("6x5x6", "180 tokens of dimension 12", "title: A clip", "right", "bottom", "temporal", "norm 0"):
        assert flat(part) in flat(text)
    facts = strict_json(run("inspect", dump, "--format", "json", "--tau-sim", "0.5"))
    tokens = stgraph.load(dump)
    assert (facts["grid"], facts["n_tokens"], facts["dimension"], facts["dtype"]) == ([6, 5, 6], 180, 12, "float32")
    assert facts["signals"]["shot_cuts_s"] == {"shape": [1], "dtype": "float64"}
    assert facts["metadata"] == tokens.metadata
    assert facts["graph"] == json.loads(json.dumps(stgraph.build_graph(tokens, 0.5).summary().to_dict()))


def test_inspect_with_a_query(dump: str, tmp_path: Path) -> None:
    query = tmp_path / "query.safetensors"
    stgraph.dump.save_query(query, {"importance": np.ones((6, 5, 6), np.float32)})
    assert "importance" in run("inspect", dump, "--query", str(query))
    assert "importance: attention" in run("select", dump, "--query", str(query))


def test_communities(dump: str) -> None:
    given = ("-b", "igraph-louvain", "--max-size", "9", "--split", "raster", "--seed", "4", "--resolution", "0.5")
    graph = stgraph.build_graph(stgraph.load(dump))
    parts = stgraph.detect_communities(graph, "igraph-louvain", max_size=9, split="raster", seed=4, resolution=0.5)
    text = run("communities", dump, *given)
    assert flat(repr(parts)) in flat(text)
    report = strict_json(run("communities", dump, *given, "--format", "json"))
    assert report["summary"] == parts.summary()
    assert report["provenance"]["parameters"] == {"resolution": 0.5, "seed": 4}


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_communities_of_every_token(dump: str, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"tokens.{suffix}"
    assert run("communities", dump, "-b", "lattice-components", "-o", str(target)) == f"Wrote {target}\n"
    text = target.read_text()
    rows = strict_json(text)["tokens"] if suffix == "json" else list(csv.DictReader(text.splitlines()))
    parts = stgraph.detect_communities(stgraph.build_graph(stgraph.load(dump)), "lattice-components")
    found = np.array([[int(value) for value in row.values()] for row in rows])
    assert list(rows[0]) == ["node", "t", "y", "x", "community", "uncapped_community"]
    t, y, x = np.unravel_index(np.arange(180), (6, 5, 6))
    expected = np.stack([np.arange(180), t, y, x, parts.labels, parts.uncapped_labels], axis=1)
    np.testing.assert_array_equal(found, expected)


def test_select_writes_the_kept_tokens(dump: str, tmp_path: Path) -> None:
    target = tmp_path / "kept.safetensors"
    given = ("-r", "0.2", "-b", "igraph-leiden", "--tau-diff", "p90", "--importance", "norm", "--protect-events")
    text = run("select", dump, "-o", str(target), *given)
    tokens = stgraph.load(dump)
    options: dict[str, Any] = {"backend": "igraph-leiden", "tau_diff": "p90", "importance": "norm"}
    kept = stgraph.selector("st-simdiff", retain_ratio=0.2, protect_events=True, **options).select(tokens)
    assert flat(f"{dump}: {kept!r}") in flat(text)
    assert text.endswith(f"Wrote {target}\n")
    tensors, metadata = container.read(target, "selection")
    np.testing.assert_array_equal(tensors["indices"], kept.indices)
    np.testing.assert_array_equal(tensors["features"], tokens.features[kept.indices])
    np.testing.assert_array_equal(tensors["reason"], kept.reason)
    t, y, x = np.unravel_index(kept.indices, (6, 5, 6))
    for name, axis in {"token_t": t, "token_y": y, "token_x": x}.items():
        np.testing.assert_array_equal(tensors[name], axis)
    assert metadata["source"]["title"] == "A clip"


def test_select_as_json(dump: str) -> None:
    facts = strict_json(run("select", dump, "-n", "7", "--format", "json"))
    assert facts["n_kept"] == sum(facts["reasons"].values()) == facts["report"]["n_target"] == 7
    assert facts["provenance"]["community"]["backend"] == "lattice-components"
    assert strict_json(run("select", dump, "--format", "json"))["n_kept"] == 54


def test_sample_writes_the_bundled_dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = run("sample")
    assert text.startswith("Wrote sample.safetensors: VideoTokens(40x16x16, 10,240 tokens")
    assert "Blender Foundation" in text
    assert "CC BY 3.0" in text
    copy, sample = stgraph.load("sample.safetensors"), stgraph.sample()
    np.testing.assert_array_equal(copy.features.view(np.uint16), sample.features.view(np.uint16))
    assert set(copy.signals) == set(sample.signals)
    assert run("sample", "-o", "again.safetensors").startswith("Wrote again.safetensors")
    assert run("sample", "-q", "-o", "quiet.safetensors") == "" and Path("quiet.safetensors").exists()


def test_without_a_dump_commands_take_the_sample() -> None:
    facts = strict_json(run("inspect", "--format", "json"))
    assert (facts["dump"], facts["n_tokens"]) == ("sample", 10_240)


def test_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    text = run("doctor")
    assert f"stgraph {stgraph.__version__}, Python {sys.version.split()[0]}" in text
    assert f"CPU threads: {stgraph.num_threads()}" in text
    for name, reason in stgraph.backends().items():
        (line,) = re.findall(rf"^ {name} .*$", text, re.MULTILINE)
        assert (" no: " if reason else " yes, ") in line
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "no: pip install -e '.[arrow]'" in run("doctor")


@pytest.mark.usefixtures("threads")
def test_bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = [{"cache": "warm", "import_s": 0.5, "first_selection_s": 0.25, "second_selection_s": 0.125}]
    monkeypatch.setattr("stgraph.bench.speed.stages.CASES", (Case(2, 3, 4, 8, peers=False), Case(2, 2, 3, 128)))
    monkeypatch.setattr("stgraph.bench.speed.selector_speed.CASE", Case(3, 4, 4, 8))
    monkeypatch.setattr("stgraph.bench.speed.first_call.first_call", lambda: first)
    target = tmp_path / "bench.csv"
    text = run("bench", "--rounds", "1", "-o", str(target))
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert {row["case"] for row in rows} == {"2x3x4x8 float32", "2x2x3x128 float32", "3x4x4x8 float32"}
    selectors = [row for row in rows if row["stage"] == "selector"]
    assert [row["by"] for row in selectors] == SELECTORS.names()
    assert all(float(row["seconds"]) > 0 for row in selectors)
    assert {row["by"] for row in selectors if row["quadratic"] == "True"} >= {"llava-scissor", "fastvid"}
    for part in ("2x3x4x8 float32 (24 tokens)", "2x2x3x128 float32 (12 tokens)", "igraph-leiden", "0.250"):
        assert part in text
    assert "Selectors at r = 0.3, 3x4x4x8 float32 (48 tokens)" in text
    assert text.count("quadratic as published") == sum(row["quadratic"] == "True" for row in selectors)
    assert text.endswith(f"Wrote {target}, {tmp_path / 'bench.first_call.csv'}\n")
    quick = strict_json(run("bench", "--quick", "--rounds", "1", "--format", "json"))
    assert {row["case"] for row in quick["rows"]} == {"2x2x3x128 float32"}
    assert quick["first_call"] == first
    alone = strict_json(run("bench", "--selectors", "--rounds", "1", "--format", "json"))
    assert [row["by"] for row in alone["rows"]] == SELECTORS.names()
    assert {row["stage"] for row in alone["rows"]} == {"selector"}
    cpu = strict_json(run("bench", "--cpu-time", "--rounds", "1", "--format", "json"))["rows"]
    assert {row["by"] for row in cpu} == {"plain read", "stgraph"}
    assert all(row["threads"] == 1 and row["machine"].endswith(", 1 thread, CPU time") for row in cpu)


def test_bench_of_cpm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sizes = (Case(3, 6, 6, 8), Case(4, 6, 6, 8, peers=False))
    monkeypatch.setattr("stgraph.bench.speed.cpm.SIZES", sizes)
    dump, target = saved(tmp_path / "clip.safetensors"), tmp_path / "cpm.csv"
    text = run("bench", "--cpm", "--clip", str(dump), "--rounds", "1", "-o", str(target))
    rows = list(csv.DictReader(target.read_text().splitlines()))
    ours = ["lattice-leiden", "lattice-leiden, 10 passes", "lattice-segments"]
    cases = ("sample", str(dump), "synthetic 3x6x6x8 float32")
    expected = [(case, by) for case in cases for by in ("igraph-leiden-cpm", *ours)]
    expected += [("synthetic 4x6x6x8 float32", by) for by in ours]
    assert [(row["case"], row["by"]) for row in rows] == expected
    shares = {row["case"]: row["cpm_ratio"] for row in rows if row["by"] == "lattice-leiden"}
    assert float(shares["sample"]) >= 0.99 and shares["synthetic 4x6x6x8 float32"] == ""
    peers = {row["case"]: float(row["seconds"]) for row in rows if row["by"] == "igraph-leiden-cpm"}
    for row in rows:
        assert (row["cpm_total"] == "") == (row["by"] == "lattice-segments")
        if row["times_faster"]:
            assert float(row["times_faster"]) == pytest.approx(peers[row["case"]] / float(row["seconds"]))
    assert "sample (10,240 tokens)" in text and "share of" in text
    monkeypatch.setattr("stgraph.bench.speed.cpm.SIZES", sizes[1:])
    cpu = strict_json(run("bench", "--cpm", "--cpu-time", "--rounds", "1", "--format", "json"))["rows"]
    assert {row["case"] for row in cpu} == {"sample", "synthetic 4x6x6x8 float32"}
    assert all(row["threads"] == 1 and row["machine"].endswith(", 1 thread, CPU time") for row in cpu)


def test_a_parameter_may_name_what_the_command_repeats(dump: str, tmp_path: Path) -> None:
    several = ("-p", "backend=lattice-components,lattice-leiden", "-p", "split=raster", "-p", "retain_ratio=0.3")
    assert "2 settings" in run("view", dump, *several, "-o", str(tmp_path / "page.html"))
