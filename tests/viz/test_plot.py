"""``stgraph plot`` as a user types it, and the files of rows it reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clips import saved
from command_line import FEW, run
from probe_rows import PROBE
from refusals import Refused

from stgraph.bench.tables.reading import FORMATS, read_tables
from stgraph.bench.tables.where import matching
from stgraph.bench.tables.writing import write
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


@pytest.mark.parametrize("suffix", FORMATS)
def test_rows_are_read_as_they_were_written(tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    table = [
        {"a": 1, "b": 0.5, "c": "p95", "d": None, "e": True},
        {"a": 2, "b": 1.5, "c": "x,\ny", "d": 0.25, "e": False},
    ]
    write(tmp_path / f"r.{suffix}", {"rows": table, "overlap": [{"jaccard": 0.5}]}, suffix)
    assert read_tables(tmp_path / f"r.{suffix}") == {"rows": table, "overlap": [{"jaccard": 0.5}]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "cannot read rows of .*: end its name in .csv, .json, .jsonl or .parquet"),
        ("a.csv", "a,b\n", "holds no rows"),
        ("a.json", "{", "it is not a json file of rows"),
        ("a.csv", "a,b,a\n1,2,3\n", "it has the column 'a' twice; each has its own name"),
        ("a.csv", "a,b\n1,2\n1\n", "line 3 has 1 cells, the first line 2"),
        ("a.csv", "a,b\n1,2\n1,2,3\n", "line 3 has 3 cells, the first line 2"),
        ("a.csv", 'a,b\n1,"2\n', "it is not a csv file of rows"),
        ("a.csv", "a\n\udcff\n", "it is not a csv file of rows"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '[{"a": 1, "a": 2}]', "the key 'a' is given twice"),
        ("a.json", '{"rows": [{"a": 1}], "rows": [{"a": 2}]}', "the key 'rows' is given twice"),
        ("a.json", '[{"a": [1]}]', "row 1 holds a list in 'a', which takes one value"),
        (
            "a.json",
            '[{"a": 1}, {"a": 9223372036854775808}]',
            "row 2 holds an integer in 'a' that takes more than 64 bits",
        ),
        ("a.jsonl", '{"a": "\\ud800"}', "row 1 holds half of a surrogate pair, which is not text"),
        ("a.jsonl", '{"a": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ("a.json", '{"rows": 3}', "it is not a json file of rows"),
        ("a.jsonl", "[1]", "it is not a jsonl file of rows"),
        ("a.parquet", "x", "it is not a parquet file of rows"),
        ("missing.csv", None, "No such file"),
    ],
)
def test_files_that_hold_no_rows(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    if content is not None:
        (tmp_path / name).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=message):
        read_tables(tmp_path / name)


@pytest.mark.parametrize("table", [("rows",), ("overlap",)])
def test_rows_of_a_table_have_the_same_columns(tmp_path: Path, table: tuple[str]) -> None:
    ragged = [{"a": 1}, {"b": 2.5, "a": None}]
    (tmp_path / "r.json").write_text(json.dumps({"rows": [{"x": 0}], table[0]: ragged}))
    assert read_tables(tmp_path / "r.json")[table[0]] == [{"a": 1, "b": None}, {"a": None, "b": 2.5}]


def test_cells_of_csv(tmp_path: Path) -> None:
    lines = ("\ufeffa,b,c,e", "1_000,9223372036854775808,True,", "", "p95,-1e3,nan,x", "")
    (tmp_path / "r.csv").write_bytes("\r\n".join(lines).encode())
    first, second = read_tables(tmp_path / "r.csv")["rows"]
    assert first == {"a": "1_000", "b": 2.0**63, "c": True, "e": None}
    assert (second["a"], second["b"], second["e"]) == ("p95", -1000.0, "x")


def test_a_name_is_drawn_as_it_is(tmp_path: Path) -> None:
    rows = [{**row, "backend": row["backend"] and r"$\frac{1" + row["backend"]} for row in PROBE]
    (tmp_path / "r.json").write_text(json.dumps(rows))
    run("plot", str(tmp_path / "r.json"), "--kind", "accuracy", "-o", str(tmp_path / "r.svg"), "-q")
    assert r"$\frac{1igraph-leiden" in (tmp_path / "r.svg").read_text()


@pytest.mark.parametrize("kind", ["accuracy", "sweep", "backends", "selectors"])
@pytest.mark.parametrize(
    ("name", "content"),
    [("deep.json", "[" * 100_000), ("twice.csv", "retain_ratio,selector,retain_ratio\n0.1,a,0.5\n")],
    ids=["deep", "twice"],
)
@pytest.mark.usefixtures("unopened")
def test_every_figure_of_rows_has_the_guarded_reader(
    refused: Refused,
    tmp_path: Path,
    kind: str,
    name: str,
    content: str,
) -> None:
    (tmp_path / name).write_text(content)
    message = refused("plot", str(tmp_path / name), "--kind", kind, "-o", str(tmp_path / "x.png"))
    assert message.startswith(f"cannot read {tmp_path / name}: ")
    assert not (tmp_path / "x.png").exists()


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
        (
            ("rows.csv", "-o", "x.png"),
            "rows.csv holds rows, and --kind process draws tokens; name one of accuracy, sweep",
        ),
        (("rows.csv", "--kind", "sweep", "-o", "x.png"), "cannot read rows.csv: No such file or directory"),
    ],
)
@pytest.mark.usefixtures("unopened")
def test_wrong_command_lines(
    refused: Refused,
    args: tuple[str, ...],
    message: str,
) -> None:
    assert refused("plot", *args).startswith(message)
