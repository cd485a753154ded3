"""What goes wrong on the command line ends in one line that names it, exit status 2, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import clip, saved
from refusals import Refused
from safetensors.numpy import save_file

from stgraph import VideoTokens, container
from stgraph.cli import main

DUMP_COMMANDS = ("compare", "inspect", "communities", "select", "view")


@pytest.fixture
def dump(tmp_path: Path) -> str:
    return saved(tmp_path / "clip.safetensors")


# Dumps


@pytest.mark.parametrize("command", DUMP_COMMANDS)
def test_missing_file_and_folder(refused: Refused, tmp_path: Path, command: str) -> None:
    missing = tmp_path / "none.safetensors"
    give = "give the path of a token dump (.safetensors)"
    assert refused(command, str(missing)) == f"cannot read {missing}: it does not exist; {give}"
    assert refused(command, str(tmp_path)) == f"cannot read {tmp_path}: it is a folder; {give}"


@pytest.mark.parametrize("command", DUMP_COMMANDS)
@pytest.mark.parametrize("kept", [0, 7, 200, -1])
def test_truncated_dump(refused: Refused, dump: str, command: str, kept: int) -> None:
    whole = Path(dump).read_bytes()
    Path(dump).write_bytes(whole[:kept])
    message = refused(command, dump)
    assert message.startswith(f"cannot read {dump}: ")
    assert message.endswith("it is truncated or not a safetensors file")


@pytest.mark.parametrize("command", DUMP_COMMANDS)
def test_what_is_no_dump(refused: Refused, tmp_path: Path, command: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_text("Traceback (most recent call last): no, only text")
    assert refused(command, str(path)).endswith("it is truncated or not a safetensors file")
    save_file({"x": np.zeros(3)}, path)
    assert f"VideoTokens.from_array(safetensors.numpy.load_file({str(path)!r})['x']" in refused(command, str(path))
    container.write(path, "selection", {"x": np.zeros(3)}, {})
    lacks, other = f"cannot read {path} as a selection: it lacks", f"{path} is a dump of kind 'selection'; expected"
    assert refused(command, str(path)).startswith(lacks if command in ("inspect", "view") else other)


@pytest.mark.parametrize("command", DUMP_COMMANDS)
def test_dump_of_a_newer_format(refused: Refused, tmp_path: Path, command: str) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"x": np.zeros(3)}, path, {"stgraph": "tokens", "schema_version": "2", "metadata": "{}"})
    assert f"{path} has dump format 2; this stgraph reads up to 1" in refused(command, str(path))


@pytest.mark.parametrize("command", DUMP_COMMANDS)
def test_nan_in_the_features(refused: Refused, tmp_path: Path, command: str) -> None:
    x = clip().lattice.copy()
    x[1, 2, 3, 4] = np.nan
    VideoTokens.from_array(x).save(tmp_path / "x.safetensors")
    message = refused(command, str(tmp_path / "x.safetensors"))
    assert "the first bad token is 45 (frame 1, row 2, column 3)" in message


def test_the_second_of_two_dumps_is_missing(refused: Refused, dump: str, tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    assert "it does not exist" in refused("compare", dump, str(tmp_path / "none"), "-o", str(target))
    assert not target.exists()


def test_a_query_needs_its_dump(refused: Refused, dump: str, tmp_path: Path) -> None:
    for command in ("inspect", "select"):
        assert refused(command, "--query", dump) == "--query needs its dump; name both"
        assert "it does not exist" in refused(command, dump, "--query", str(tmp_path / "none"))
        assert "of kind 'tokens'; expected 'query'" in refused(command, dump, "--query", dump)


# Names and numbers


@pytest.mark.parametrize("command", ["compare", "communities", "select"])
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-b", "igraph-leidn"), "no community backend 'igraph-leidn'. Did you mean 'igraph-leiden'? Known: lattice-"),
        (("-b", "zzz"), "no community backend 'zzz'. Known: lattice-components, "),
        (("-b", ""), "no community backend ''. Known: "),
        (("--split", "rastr"), "no splitter 'rastr'. Did you mean 'raster'? Known: tree, raster, redetect, native"),
        (("--tau-sim", "nan"), "tau_sim is nan; a cosine similarity threshold lies in [-1, 1]"),
        (("--tau-sim", "2"), "tau_sim is 2.0; a cosine similarity threshold lies in [-1, 1]"),
        (("--tau-sim", "-inf"), "tau_sim is -inf; a cosine similarity threshold lies in [-1, 1]"),
        (("--max-size", "0"), "max_size is 0; it must be 'sqrt', a positive integer or None"),
        (("--max-size", "-5"), "max_size is -5; it must be"),
        (("--max-size", "abc"), "max_size is 'abc'; it must be"),
        (("--max-size", "1.5"), "max_size is '1.5'; it must be"),
        (("--resolution", "0"), "resolution is 0.0; it must be a positive number"),
        (("--resolution", "nan"), "resolution is nan; it must be a positive number"),
    ],
)
def test_wrong_names_and_numbers(
    refused: Refused, dump: str, command: str, args: tuple[str, ...], message: str
) -> None:
    assert refused(command, dump, *args).startswith(message)


@pytest.mark.parametrize("command", ["compare", "select"])
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-r", "0"), "retain_ratio is 0.0; it must lie in (0, 1]"),
        (("-r", "1.5"), "retain_ratio is 1.5; it must lie in (0, 1]"),
        (("-r", "-0.1"), "retain_ratio is -0.1; it must lie in (0, 1]"),
        (("-r", "nan"), "retain_ratio is nan; it must be a number in (0, 1]"),
        (("--tau-diff", "p101"), "tau_diff is 'p101'; it must be a number in [-1, 1] or a percentile like 'p95'"),
        (("--tau-diff", "abc"), "tau_diff is 'abc'; it must be a number in [-1, 1] or a percentile like 'p95'"),
        (("--tau-diff", "nan"), "tau_diff is nan; a cosine similarity threshold lies in [-1, 1]"),
        (("--tau-diff", ""), "tau_diff is ''; it must be"),
        (("--importance", "novelty"), "importance is 'novelty'; it must be one of auto, auto-coverage, "),
    ],
)
@pytest.mark.usefixtures("unopened")
def test_wrong_selections(refused: Refused, command: str, args: tuple[str, ...], message: str) -> None:
    assert refused(command, *args).startswith(message)


@pytest.mark.usefixtures("unopened")
def test_one_wrong_value_of_several(refused: Refused) -> None:
    assert refused("compare", "-r", "0.3", "-r", "7").startswith("retain_ratio is 7")
    assert "no community backend" in refused("compare", "-b", "lattice-components", "-b", "lattice")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-r", "0.3", "-n", "5"), "budget got retain_ratio=0.3 and n_keep=5; give exactly one"),
        (("-n", "0"), "n_keep is 0; it must be an integer of at least 1"),
        (("-n", "181"), "n_keep is 181 but grid 6x5x6 has 180 tokens"),
        (("-s", "st-simdif"), "no selector 'st-simdif'. Did you mean 'st-simdiff'? Known: st-simdiff"),
        (
            ("--importance", "attention"),
            "importance='attention' needs the signal 'importance', or 'llm_attn_last' of decoder layer 1",
        ),
        (("--seed", "-1"), "seed is -1; it must be an integer from 0 to 2^31 - 1"),
    ],
)
def test_wrong_select(refused: Refused, dump: str, args: tuple[str, ...], message: str) -> None:
    assert refused("select", dump, *args).startswith(message)


def test_unavailable_backend(refused: Refused, dump: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from stgraph.community.backend_igraph import IGRAPH_LEIDEN

    monkeypatch.setattr(type(IGRAPH_LEIDEN), "unavailable", lambda self: "the package 'igraph' is not installed")
    for command in ("compare", "communities", "select"):
        message = refused(command, dump, "-b", "igraph-leiden")
        assert message.startswith("igraph-leiden cannot run here: the package 'igraph' is not installed. Available: l")


def test_a_backend_without_a_cap_of_its_own(refused: Refused, dump: str) -> None:
    for command in ("compare", "communities", "select"):
        message = refused(command, dump, "-b", "lattice-components", "--split", "native")
        assert message.startswith("split='native': lattice-components has no cap of its own; those that do: ")


def test_weighted_backends_refuse_negative_weights(refused: Refused, dump: str) -> None:
    for command in ("compare", "communities", "select"):
        message = refused(command, dump, "-b", "igraph-leiden", "--tau-sim", "-0.9")
        assert message.startswith("igraph-leiden needs positive edge weights, but the smallest is -")


# Output


@pytest.mark.parametrize("command", ["compare", "communities", "select", "bench"])
@pytest.mark.usefixtures("unopened")
def test_unwritable_output_is_found_before_any_work(refused: Refused, tmp_path: Path, command: str) -> None:
    suffix = ".safetensors" if command == "select" else ".json"
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    (tmp_path / "file").touch()
    for parent in ("nowhere", "file"):
        path = tmp_path / parent / f"x{suffix}"
        assert refused(command, "-o", str(path)) == f"cannot write {path}: choose an existing folder you may write to"
    assert refused(command, "-o", str(folder)) == f"cannot write {folder}: it is a folder; give a file name"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", folder.name]


def test_unwritable_sample(refused: Refused, tmp_path: Path) -> None:
    assert refused("sample", "-o", str(tmp_path)) == f"cannot write {tmp_path}: it is a folder; give a file name"
    missing = tmp_path / "nowhere" / "x.safetensors"
    assert refused("sample", "-o", str(missing)).startswith(f"cannot write {missing}: ")


def test_options_of_bench_that_do_not_go_together(refused: Refused) -> None:
    assert refused("bench", "--clip", "x.mp4") == "--clip belongs to --cpm; name both"
    assert refused("bench", "--cpm", "--prefill") == "--cpm runs alone and on the CPU; leave out --prefill"
    alone = "--cpu-time measures the stages on the CPU alone; leave out --selectors"
    assert refused("bench", "--cpu-time", "--selectors") == alone


def test_an_option_is_not_the_value_of_another(refused: Refused, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        refused("probe", "--study", "--restart")
        == "Invalid value for '--study': it needs a value, but --restart follows"
    )
    assert refused("select", "-o", "-q") == "Invalid value for '-o' / '--output': it needs a value, but -q follows"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("unopened")
def test_formats(refused: Refused, tmp_path: Path) -> None:
    for command in ("compare", "bench"):
        assert refused(command, "--format", "xml") == "format is 'xml'; it must be one of json, csv, parquet"
        assert refused(command, "--format", "parquet") == "--format parquet needs a file; name one with -o"
        suffix = refused(command, "-o", str(tmp_path / "rows.txt"))
        assert suffix.endswith("by its suffix; end it in .json, .csv or .parquet, or pass --format")
    for command in ("inspect", "select"):
        message = refused(command, "--format", "csv")
        assert message == f"{command} prints a table or --format json, not 'csv'"
    assert refused("communities", "--format", "csv") == "--format csv needs a file; name one with -o"
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_the_old_output(refused: Refused, dump: str, tmp_path: Path) -> None:
    target = tmp_path / "rows.json"
    target.write_text(json.dumps("precious"))
    refused("compare", dump, "-b", "igraph-leiden", "--tau-sim", "-0.9", "-o", str(target))
    assert json.loads(target.read_text()) == "precious"


def test_select_never_overwrites_what_it_reads(refused: Refused, dump: str, tmp_path: Path) -> None:
    before, link = Path(dump).read_bytes(), tmp_path / "link.safetensors"
    link.symlink_to(dump)
    for given, output in ((dump, dump), (str(link), dump), (dump, str(link))):
        message = refused("select", given, "-o", output)
        assert message == f"cannot write {output}: it is what is read, and would be lost; give another name"
    assert "it is what is read" in refused("select", "--query", dump, "-o", dump)
    assert Path(dump).read_bytes() == before


def test_a_process_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stgraph", "inspect", str(tmp_path / "none")], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: cannot read ")
    assert done.stderr.count("\n") == 1


def test_errors_nobody_planned_are_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("stgraph.cli.options.open_tokens", broken)
    monkeypatch.setattr(sys, "argv", ["stgraph", "inspect"])
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main()


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("compare", "--bogus"), "--bogus"),
        (("bogus",), "bogus"),
        (("compare", "--seed", "half"), "seed is 'half'"),
        (("compare", "-r", "half"), "retain_ratio is 'half'"),
        (("communities", "--tau-sim", "high"), "--tau-sim"),
        (("inspect", "--query"), "--query"),
        (("inspect", "one", "two"), "two"),
    ],
)
def test_wrong_usage(refused: Refused, args: tuple[str, ...], named: str) -> None:
    err = refused.stderr(*args)
    assert named in err
    assert "Traceback" not in err


def test_errors_of_dump_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["stgraph", "dump", "no.mp4", "-o", "x.safetensors"])
    assert main() == 2
    assert capsys.readouterr().err.startswith("error: cannot read")
