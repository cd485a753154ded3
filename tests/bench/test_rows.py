"""Rows on disk: what is read back is what was written, in the format that was meant, or the old file is still there."""

from __future__ import annotations

import csv
import errno
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from stgraph.bench.tables.reading import read_rows
from stgraph.bench.tables.row_file import RowFile
from stgraph.bench.tables.table import Table
from stgraph.bench.tables.writing import FORMATS, ROW_FORMATS, encode, format_of, write
from stgraph.columns import COLUMNS as DESCRIBED
from stgraph.errors import InputError, MissingDependencyError
from stgraph.files import check_writable

Row = dict[str, Any]

ROWS: list[Row] = [
    {"name": "Straße 東京 🎬", "count": 3, "share": 0.1 + 0.2, "seed": None, "on": True},
    {"name": 'a, "quoted"\nline', "count": -(10**12), "share": 1e-300, "seed": 7, "on": False, "late": 0.5},
]
COLUMNS = ["name", "count", "share", "seed", "on", "late"]
TABLES = {"rows": ROWS, "overlap": [{"a": 1}, {"a": 2}]}


def read(path: Path) -> list[Row]:
    """The rows of one CSV or Parquet file."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    parquet = pytest.importorskip("pyarrow.parquet")
    rows: list[Row] = parquet.read_table(path).to_pylist()
    return rows


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_json_holds_every_table(tmp_path: Path) -> None:
    assert write(tmp_path / "a.json", TABLES, "json") == [tmp_path / "a.json"]
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == TABLES
    assert text == encode(TABLES, "json")
    assert text.endswith("}\n")


def test_csv_is_a_file_a_table(tmp_path: Path) -> None:
    made = write(tmp_path / "a.csv", TABLES, "csv")
    assert [path.name for path in made] == ["a.csv", "a.overlap.csv"]
    first, second = read(made[0])
    assert list(first) == COLUMNS
    assert first == {**{k: str(v) for k, v in ROWS[0].items()}, "seed": "", "late": ""}
    assert second == {k: str(v) for k, v in ROWS[1].items()}
    assert [float(row["share"]) for row in (first, second)] == [row["share"] for row in ROWS]
    assert read(made[1]) == [{"a": "1"}, {"a": "2"}]
    assert made[0].read_bytes().decode() == encode(TABLES, "csv")
    assert b"\r" not in made[0].read_bytes()


def test_parquet_keeps_types(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    made = write(tmp_path / "a.parquet", TABLES, "parquet")
    assert [path.name for path in made] == ["a.parquet", "a.overlap.parquet"]
    assert read(made[0]) == [{name: row.get(name) for name in COLUMNS} for row in ROWS]
    assert read(made[1]) == TABLES["overlap"]
    types = pyarrow.parquet.read_schema(made[0]).types
    assert types == [
        pyarrow.string(),
        *(getattr(pyarrow, t)() for t in ("int64", "float64", "int64", "bool_", "float64")),
    ]


def test_parquet_says_what_columns_mean(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (made,) = write(tmp_path / "a.parquet", {"rows": [{"select_s": 0.5, "n_kept": None, "mine": 1}]}, "parquet")
    select_s, n_kept, mine = parquet.read_schema(made)
    assert select_s.metadata == {b"meaning": DESCRIBED["select_s"].meaning.encode(), b"unit": b"s"}
    assert n_kept.metadata == {b"meaning": DESCRIBED["n_kept"].meaning.encode()}
    assert mine.metadata is None


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_table_may_be_empty(tmp_path: Path, fmt: str) -> None:
    made = write(tmp_path / f"a.{fmt}", {"rows": ROWS[:1], "overlap": []}, fmt)
    if fmt == "json":
        assert json.loads(made[0].read_text())["overlap"] == []
    else:
        assert read(made[1]) == []


@pytest.mark.parametrize("fmt", ROW_FORMATS)
def test_rows_read_back_are_those_written(tmp_path: Path, fmt: str) -> None:
    if fmt == "parquet":
        pytest.importorskip("pyarrow")
    types = {"name": str, "count": int, "share": float, "seed": int, "on": bool, "late": float}
    written = [{name: row.get(name) for name in types} for row in ROWS]
    (made,) = write(tmp_path / "a", {"rows": written}, fmt)
    found = read_rows(made, fmt, Table(types))
    assert found == written
    assert [[type(v) for v in row.values()] for row in found] == [[type(v) for v in row.values()] for row in written]
    with pytest.raises(InputError, match="holds other columns; they differ in late, later"):
        read_rows(made, fmt, Table({**{k: v for k, v in types.items() if k != "late"}, "later": float}))
    with pytest.raises(InputError, match="row 1 holds a value that does not belong in its column"):
        read_rows(made, fmt, Table({**types, "name": float}))
    with pytest.raises(InputError, match=r"cannot read .*none: No such file or directory$"):
        read_rows(tmp_path / "none", fmt, Table(types))


def test_a_row_given_twice_is_refused_by_a_run_that_goes_on(tmp_path: Path) -> None:
    table = Table({"a": int, "b": float}, key=("a",))
    write(tmp_path / "a.csv", {"rows": [{"a": 1, "b": 0.5}, {"a": 2, "b": 0.5}, {"a": 1, "b": 0.7}]}, "csv")
    with pytest.raises(InputError, match=r"a\.csv holds 1 rows twice \(the same a\); name another output, or"):
        RowFile(table, {}, tmp_path / "a.csv")
    assert len(RowFile(table, {}, tmp_path / "a.csv", restart=True)) == 0


def test_columns_of_none_only(tmp_path: Path) -> None:
    for fmt in ("csv", "parquet"):
        (made,) = write(tmp_path / f"a.{fmt}", {"rows": [{"a": None, "b": 1}]}, fmt)
        (row,) = read(made)
        assert row["a"] in (None, "")


def test_only_text_formats_can_be_printed() -> None:
    with pytest.raises(InputError, match="format 'parquet' cannot be printed; name a file with -o"):
        encode(TABLES, "parquet")


def test_parquet_without_pyarrow_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"Parquet output needs .* pip install -e '\.\[arrow\]'"):
        write(tmp_path / "a.parquet", TABLES, "parquet")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "named", "fmt"),
    [
        (None, None, None),
        (None, "csv", "csv"),
        ("a.json", None, "json"),
        ("folder.csv/a.PARQUET", None, "parquet"),
        (Path("a.b.csv"), None, "csv"),
        ("a.json", "csv", "csv"),
        ("rows", "json", "json"),
    ],
)
def test_the_format_asked_for(path: str | Path | None, named: str | None, fmt: str | None) -> None:
    assert format_of(path, named) == fmt


@pytest.mark.parametrize("path", ["a.txt", "rows", ".json", "a.json.gz"])
def test_a_suffix_that_tells_nothing(path: str) -> None:
    with pytest.raises(InputError, match=r"cannot tell the format of .* by its suffix; end it in \.json, \.csv or"):
        format_of(path, None)


@pytest.mark.parametrize("named", ["xml", "JSON", ""])
def test_a_format_that_is_none(named: str) -> None:
    with pytest.raises(InputError, match=f"format is '{named}'; it must be one of json, csv, parquet"):
        format_of("a.json", named)


def test_writable_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.csv").write_text("kept")
    for path in ("new.csv", "old.csv", tmp_path / "new.csv"):
        check_writable(path)
    assert names(tmp_path) == ["old.csv"]
    assert (tmp_path / "old.csv").read_text() == "kept"


def test_unwritable_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*: it is a folder; give a file name"):
        check_writable(tmp_path)
    for parent in ("nowhere", "file"):
        with pytest.raises(InputError, match=r"cannot write .*/a\.csv: choose an existing folder you may write to"):
            check_writable(tmp_path / parent / "a.csv")
    monkeypatch.setattr("os.access", lambda *_: False)  # a folder of someone else; root may write to all
    with pytest.raises(InputError, match=r"cannot write .*/a\.csv"):
        check_writable(tmp_path / "a.csv")


@pytest.mark.parametrize("fmt", FORMATS)
def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: str) -> None:
    target = tmp_path / f"a.{fmt}"
    target.write_bytes(b"precious")

    def half(path: Path, *_: Any, **__: Any) -> None:
        path.write_bytes(b"hal")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    monkeypatch.setattr("stgraph.bench.tables.writing.write_parquet", half)
    with pytest.raises(InputError, match=r"cannot write .*: No space left on device; an existing file is left"):
        write(target, TABLES, fmt)
    assert target.read_bytes() == b"precious"
    assert names(tmp_path) == [target.name]


KEYED = Table({"name": str, "value": int}, key=("name",))


def opened(path: Path, model: str = "m", **options: Any) -> RowFile:
    table = Table({"model": str, **KEYED.columns}, key=KEYED.key)
    return RowFile(table, {"model": model}, path, "csv", **options)


def add(store: RowFile, name: str, value: int, model: str = "m") -> None:
    store.add([{"model": model, "name": name, "value": value}])
    store.save()


@pytest.mark.parametrize("restart", [False, True])
def test_two_processes_may_write_one_file(tmp_path: Path, restart: bool) -> None:
    """Each with its own share of the rows, as on two GPUs."""
    path = tmp_path / "rows.csv"
    add(opened(path), "old", 0)
    one, two = opened(path, restart=restart), opened(path, restart=restart)
    add(one, "a", 1)
    add(two, "b", 2)
    add(one, "c", 3)
    add(two, "b", 4)  # its own row, once more
    found = {row["name"]: row["value"] for row in opened(path).all()}
    assert found == {**({} if restart else {"old": 0}), "a": 1, "b": 4, "c": 3}
    assert names(tmp_path) == ["rows.csv"]


def test_rows_deleted_here_do_not_come_back(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    one, two = opened(path), opened(path)
    add(one, "a", 1)
    add(two, "b", 2)
    del one._rows["a",]  # as rows of a run that is repeated
    add(one, "c", 3)
    assert [row["name"] for row in opened(path).all()] == ["c", "b"]


def test_rows_of_another_kind_are_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    one, two = opened(path), opened(path, "n")
    add(one, "a", 1)
    with pytest.raises(InputError, match=r"holds rows of model m, this is n; name another output"):
        add(two, "b", 2, "n")
    assert [row["name"] for row in opened(path).all()] == ["a"]
