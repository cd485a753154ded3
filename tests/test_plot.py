"""``stgraph plot`` as a user types it, and the files of rows it reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clips import saved
from command_line import FEW, run
from test_cli_errors import Refused, refused, unopened  # noqa: F401 (fixtures)
from test_row_figures import PROBE

from stgraph.bench import rows as row_files
from stgraph.bench.any_rows import matching, read_tables
from stgraph.errors import InputError


def test_some_rows_only() -> None:
    assert matching(PROBE, ["backend=igraph-leiden", "retain_ratio=0.1"]) == [PROBE[6]]
    assert matching(PROBE, ["backend=igraph-leiden"]) == [*PROBE[:2], *PROBE[6:]]
    assert matching(PROBE, []) == PROBE
    with pytest.raises(InputError, match=r"--where is 'backend'; write it as column=value, with one of model, "):
        matching(PROBE, ["backend"])
    with pytest.raises(InputError, match="--where is 'x=1'"):
        matching(PROBE, ["x=1"])
    with pytest.raises(InputError, match="no row has backend=none and retain_ratio=9"):
        matching(PROBE, ["backend=none", "retain_ratio=9"])


@pytest.mark.parametrize("suffix", (*row_files.FORMATS, "jsonl"))
def test_rows_are_read_as_they_were_written(tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    table = [
        {"a": 1, "b": 0.5, "c": "p95", "d": None, "e": True},
        {"a": 2, "b": 1.5, "c": "x,\ny", "d": 0.25, "e": False},
    ]
    row_files.write(tmp_path / f"r.{suffix}", {"rows": table, "overlap": [{"jaccard": 0.5}]}, suffix)
    assert read_tables(tmp_path / f"r.{suffix}") == {"rows": table, "overlap": [{"jaccard": 0.5}]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "cannot read rows of .*: end its name in .csv, .json, .jsonl or .parquet"),
        ("a.csv", "a,b\n", "holds no rows"),
        ("a.json", "{", "it is no json file of rows"),
        ("a.json", '{"rows": 3}', "it is no json file of rows"),
        ("a.jsonl", "[1]", "it is no jsonl file of rows"),
        ("a.parquet", "x", "it is no parquet file of rows"),
        ("missing.csv", None, "No such file"),
    ],
)
def test_files_that_hold_no_rows(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_tables(tmp_path / name)


def test_plot_of_rows(tmp_path: Path) -> None:
    dump = saved(tmp_path / "clip.safetensors")
    rows, target = str(tmp_path / "rows.csv"), tmp_path / "figure.svg"
    run("compare", dump, *FEW, "-q", "-o", rows)
    assert run("plot", rows, "--kind", "backends", "-o", str(target)).startswith("Wrote ")
    assert "Overlap of kept tokens, r = 0.3" in target.read_text().replace("<!-- ", "")
    (tmp_path / "probe.json").write_text(json.dumps(PROBE))
    assert run("plot", str(tmp_path / "probe.json"), "--kind", "accuracy", "-o", str(target), "-q") == ""
    assert "<!-- no tokens (blind): 40.0 % -->" in target.read_text()


@pytest.mark.parametrize("kind", ["process", "sizes", "similarity", "frames"])
def test_plot_of_a_dump(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "figure.png"
    run("plot", saved(tmp_path / "clip.safetensors"), "--kind", kind, "-o", str(target), "--dpi", "40")
    assert target.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--kind", "pie", "-o", "x.png"), "--kind is 'pie'; it must be one of process, sizes"),
        (("--kind", "sizes"), "name the figure to write with -o"),
        (("-o", "x.gif"), "cannot tell the format of x.gif by its suffix"),
        (("-o", "nowhere/x.png"), "cannot write nowhere/x.png"),
        (("--kind", "accuracy", "-o", "x.png"), "--kind accuracy needs a file of rows; name one"),
        (("--kind", "frames", "--column", "a", "-o", "x.png"), "--column and --where belong to figures of rows"),
        (("-b", "igraph-leiden", "-b", "igraph-louvain", "-o", "x.png"), "--kind process shows one backend"),
        (("-b", "nope", "-o", "x.png"), "no community backend 'nope'"),
        (("rows.csv", "--kind", "sweep", "-o", "x.png"), "cannot read rows.csv: No such file or directory"),
    ],
)
@pytest.mark.usefixtures("unopened")
def test_wrong_command_lines(
    refused: Refused,  # noqa: F811
    args: tuple[str, ...],
    message: str,
) -> None:
    assert refused("plot", *args).startswith(message)
