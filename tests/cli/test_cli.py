"""The command line as a user types it: help, and what ``stgraph compare`` prints and writes."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import inspect
import pkgutil
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from clips import saved
from command_line import FEW, flat, python_m, run, strict_json
from typer.testing import CliRunner

import stgraph
from stgraph.cli import app, method_options
from stgraph.community.default_backend import compared_backends
from stgraph.selection.st_simdiff.paper import StSimDiff

COMMAND = typer.main.get_command(app)
SUBCOMMANDS: dict[str, Any] = COMMAND.commands  # type: ignore[attr-defined]


@pytest.fixture
def dump(tmp_path: Path) -> str:
    return saved(tmp_path / "clip.safetensors", title="A clip")


# Help


def test_every_command_of_the_folder_can_be_called() -> None:
    names = [module.name for module in pkgutil.iter_modules(stgraph.cli.__path__)]
    found = {name for name in names if hasattr(importlib.import_module(f"stgraph.cli.{name}"), "EXAMPLES")}
    assert {name.replace("-", "_") for name in SUBCOMMANDS} == found
    assert list(SUBCOMMANDS)[:2] == ["compare", "view"]  # what a newcomer is to see first


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_command_and_option_is_explained(name: str) -> None:
    command = SUBCOMMANDS[name]
    assert command.help.endswith(".")
    for parameter in command.params:
        assert parameter.help, f"{name} {parameter.name} has no help"


def test_help_as_a_word() -> None:
    assert run("help") == run("--help")
    assert run("help", "dump") == run("dump", "--help")


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_names_every_option(name: str, flag: str) -> None:
    text = run(name, flag)
    assert f"stgraph {name}" in text
    for parameter in SUBCOMMANDS[name].params:
        for spelling in (*parameter.opts, *parameter.secondary_opts):
            assert spelling in text


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_example_can_be_typed(name: str) -> None:
    lines = SUBCOMMANDS[name].epilog.strip().splitlines()
    assert lines
    for line in lines:
        program, called, *words = shlex.split(line)
        assert (program, called) == ("stgraph", name)
        SUBCOMMANDS[name].make_context(name, words)  # raises at an option or a value that does not exist
        assert line in run(name, "--help")


def test_help_states_the_defaults_of_the_library() -> None:
    text = flat(run("select", "--help"))
    for field in dataclasses.fields(StSimDiff):
        if field.name in method_options.OPTIONS and field.default not in (False, None, dataclasses.MISSING):
            stated = field.name if field.default is True else field.default
            flag = method_options.OPTIONS[field.name].flags[-1].partition("/")[0]
            _, _, after = text.rpartition(flag)
            assert after.partition("[default:")[2].startswith(f"{stated}]")


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_options_of_the_method_are_declared_once(name: str) -> None:
    for parameter in SUBCOMMANDS[name].params:
        option = method_options.OPTIONS.get(parameter.name)
        if option is not None and getattr(parameter, "rich_help_panel", None) == method_options.GROUP:
            assert "/".join([*parameter.opts[-1:], *parameter.secondary_opts]) == option.flags[-1]


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_no_command_declares_more_than_16_options_of_its_own(name: str) -> None:
    signature = inspect.signature(importlib.import_module(f"stgraph.cli.{name.replace('-', '_')}").command)
    own = [parameter for parameter in signature.parameters if parameter not in method_options.OPTIONS]
    assert len(own) <= 16


def test_only_what_is_given_is_handed_on() -> None:
    seen: list[dict[str, Any]] = []

    @method_options.takes_method("tau_sim", "temporal", "param", repeatable={"seed": "0", "retain_ratio": "0.3"})
    def command(quiet: bool = False, *, method: dict[str, Any]) -> None:
        seen.append(method)

    own = typer.Typer()
    own.command()(command)
    for words in (
        [],
        ["--tau-sim", "0", "--no-temporal", "--seed", "0", "-p", "root_level=none"],
        ["--seed", "0:4:2", "--seed", "7", "-r", "0.1:0.3:0.1"],
    ):
        assert CliRunner().invoke(own, words).exit_code == 0
    assert seen == [
        {},
        {"tau_sim": 0.0, "temporal": False, "seed": (0,), "root_level": None},
        {"seed": (0, 2, 4, 7), "retain_ratio": (0.1, 0.2, 0.3)},
    ]


def test_help_lists_every_command() -> None:
    text = run("--help")
    assert all(name in text for name in SUBCOMMANDS)
    bare = CliRunner().invoke(app, [], prog_name="stgraph")
    assert bare.output.split() == text.split()


def test_version() -> None:
    assert run("--version") == f"stgraph {stgraph.__version__}\n"


def test_python_m_stgraph() -> None:
    process = python_m("--version")
    assert process.communicate() == (f"stgraph {stgraph.__version__}\n", "")
    assert process.returncode == 0


# compare


def test_compare_shows_tables(dump: str) -> None:
    text = run("compare", dump, *FEW)
    assert flat(f"{dump}: A clip") in flat(text)
    assert "r = 0.3. Kept: 54 of 180 tokens" in text
    for label in ("lattice-components", "igraph-leiden"):
        assert text.count(label) >= 3  # communities, kept tokens, overlap
    assert "means over 2 seeds" in text


def test_compare_takes_a_backend_of_every_objective_and_every_ratio_by_default(dump: str) -> None:
    rows = strict_json(run("compare", dump, "--format", "json", "--seed", "0", "--no-fidelity"))["rows"]
    assert list(dict.fromkeys(row["backend"] for row in rows)) == compared_backends()
    assert len({row["objective"] for row in rows}) == len(compared_backends()) >= 6
    assert [row["retain_ratio"] for row in rows[:3]] == [0.1, 0.3, 0.5]
    given = ("-b", "all", "-r", "0.3", "--seed", "0", "--no-fidelity", "--format", "json")
    rows = strict_json(run("compare", dump, *given))["rows"]
    assert list(dict.fromkeys(row["backend"] for row in rows)) == list(stgraph.community.base.available_backends())


def test_compare_prints_nothing_but_the_data(dump: str) -> None:
    tables = strict_json(run("compare", dump, *FEW, "--format", "json"))
    assert [(row["backend"], row["seed"]) for row in tables["rows"]] == [
        ("lattice-components", None),
        ("igraph-leiden", 0),
        ("igraph-leiden", 1),
    ]
    assert {row["dump"] for row in tables["rows"] + tables["overlap"]} == {dump}
    assert len(tables["overlap"]) == 3
    table = list(csv.DictReader(run("compare", dump, *FEW, "--format", "csv").splitlines()))
    assert [row["n_kept"] for row in table] == ["54"] * 3
    assert list(table[0]) == list(tables["rows"][0])


@pytest.mark.parametrize("suffix", ["json", "csv", "parquet"])
def test_compare_writes_the_format_of_the_suffix(dump: str, tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    target = tmp_path / f"rows.{suffix}"
    text = run("compare", dump, *FEW, "-o", str(target))
    made = [target] if suffix == "json" else [target, tmp_path / f"rows.overlap.{suffix}"]
    assert text.endswith("Wrote " + ", ".join(map(str, made)) + "\n")
    assert "lattice-components" in text
    assert all(path.stat().st_size > 0 for path in made)
    if suffix == "json":
        assert len(strict_json(target.read_text())["rows"]) == 3


def test_a_format_asked_for_by_name_beats_the_suffix(dump: str, tmp_path: Path) -> None:
    target = tmp_path / "rows.txt"
    run("compare", dump, *FEW, "-o", str(target), "--format", "json")
    assert len(strict_json(target.read_text())["rows"]) == 3


def test_quiet_prints_only_what_was_asked_for(dump: str, tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    assert run("compare", dump, *FEW, "-q", "-o", str(target)) == ""
    assert target.read_text().count("\n") == 4
    assert len(strict_json(run("compare", dump, *FEW, "--quiet", "--format", "json"))["rows"]) == 3


def test_compare_takes_several_dumps(tmp_path: Path) -> None:
    dumps = [saved(tmp_path / f"{seed}.safetensors", seed) for seed in (1, 2)]
    rows = strict_json(run("compare", *dumps, *FEW, "--format", "json"))["rows"]
    assert [row["dump"] for row in rows] == [dumps[0]] * 3 + [dumps[1]] * 3
    assert rows[0]["n_edges"] != rows[3]["n_edges"]
    text = run("compare", *dumps, *FEW)
    assert all(flat(text).count(dump) == 1 for dump in dumps)


def test_compare_hands_its_options_on(dump: str) -> None:
    given = ("--tau-sim", "0.6", "--tau-diff", "p90", "--max-size", "20", "--importance", "norm", "--no-fidelity")
    splits = ("--split", "tree", "--split", "raster")
    rows = strict_json(run("compare", dump, *FEW, *given, *splits, "--format", "json"))["rows"]
    assert [row["split"] for row in rows] == ["tree", "raster", "tree", "tree", "raster", "raster"]
    for row in rows:
        assert (row["tau_sim"], row["tau_diff"], row["max_size"], row["importance"]) == (0.6, "p90", 20, "norm")
        assert row["fidelity_mean"] is row["cut_fidelity_p5"] is None
    free = strict_json(run("compare", dump, *FEW, "--max-size", "none", "--no-temporal", "--format", "json"))["rows"]
    graph = stgraph.build_graph(stgraph.load(dump), temporal=False)
    assert {(row["max_size"], row["n_edges"]) for row in free} == {(None, graph.n_edges)}


@pytest.mark.parametrize(
    ("text", "value"), [("sqrt", "sqrt"), ("none", None), ("12", 12), ("-3", -3), ("+4", 4), ("1.5", "1.5"), ("", "")]
)
def test_max_size_as_typed(text: str, value: int | str | None) -> None:
    assert method_options.max_size(text) == value


@pytest.mark.parametrize(("text", "value"), [("0.2", 0.2), ("-1", -1.0), ("p95", "p95"), ("x", "x")])
def test_tau_diff_as_typed(text: str, value: float | str) -> None:
    assert method_options.tau_diff(text) == value
