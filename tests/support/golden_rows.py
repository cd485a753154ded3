"""Frozen rows: what the commands deliver for a short clip, down to the last column that is no time.

``PYTHONPATH=. python tests/support/golden_rows.py`` freezes them anew, into ``tests/golden/``: for a change
that is meant, with the difference read line by line.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clips import clip
from command_line import run

from stgraph.bench.synthetic import synthetic_signals
from stgraph.selection.base import SELECTORS

Row = Mapping[str, Any]
Tables = dict[str, list[dict[str, Any]]]

FOLDER = Path(__file__).parents[1] / "golden"
# Times, and what follows the release, a library or the place of a file; intervals have tests of their own.
_LOOSE = re.compile(r".*_s|seconds|dump|digest|stgraph|library|library_version|.*_low|.*_high|answers")
_THRESHOLDS = ("--tau-sim", "0.7", "--tau-diff", "p90")


@dataclass(frozen=True)
class Case:
    """A command on the clip.

    Attributes
    ----------
    args : of the command; a list of them where it is run more than once
    libraries : whose version decides the rows, beside our own code
    """

    args: tuple[tuple[str, ...], ...]
    libraries: tuple[str, ...] = ()


def _once(*args: str, libraries: tuple[str, ...] = ()) -> Case:
    return Case((args,), libraries)


CASES: Mapping[str, Case] = {
    "compare": _once(
        *("compare", "CLIP", "-b", "lattice-components", "-b", "scipy-components", "--split", "tree"),
        *("--split", "raster", "--split", "redetect", "-r", "0.1", "-r", "0.55", "-q", "--format", "json"),
    ),
    "compare-options": _once(
        *("compare", "CLIP", "-b", "lattice-components", "-r", "0.3", *_THRESHOLDS, "--max-size", "9", "--no-spatial"),
        *("--protect-events", "--importance", "centrality", "--no-fidelity", "-q", "--format", "json"),
    ),
    "compare-igraph": _once(
        *("compare", "CLIP", "-b", "igraph-leiden", "-b", "igraph-louvain", "--seed", "0:1:1", "-r", "0.3", "-q"),
        *("--format", "json"),
        libraries=("igraph",),
    ),
    "compare-selectors": _once(
        *("compare", "CLIP", "-s", "all", "--seed", "0:1:1", "-r", "0.3", "-q", "--format", "json")
    ),
    "compare-selectors-options": _once(
        *("compare", "CLIP", "-s", "st-simdiff,srts,evs,random,fastv", "-b", "lattice-components"),
        *("-b", "scipy-components", *_THRESHOLDS, "--split", "raster", "--measured", "layers", "-r", "0.4", "-q"),
        *("--seed", "0", "--format", "json"),
    ),
    "sweep": _once(
        *("sweep", "CLIP", "--tau-sim", "0.7", "--tau-sim", "0.85", "--tau-diff", "0.1", "--tau-diff", "p90"),
        *("-r", "0.3", "--split", "tree", "--split", "raster", "--fidelity", "-q", "--format", "jsonl"),
    ),
    "sweep-presets": _once(
        *("sweep", "CLIP", "--preset", "attention-only", "--preset", "spatial", "--preset", "temporal"),
        *("--preset", "full", "--tau-sim", "0.75", "--tau-diff", "0.3", "--protect-events", "--max-size", "none"),
        *("-q", "--format", "jsonl"),
    ),
    "sweep-igraph": _once(
        *("sweep", "CLIP", "-b", "igraph-leiden", "--seed", "0", "--seed", "3", "--tau-sim", "0.7", "--tau-diff"),
        *("0.2", "-r", "0.3", "--resolution", "0.5", "-q", "--format", "jsonl"),
        libraries=("igraph",),
    ),
    "select": Case(
        tuple(
            ("select", "CLIP", "-s", name, "-r", ratio, "--format", "json")
            for name in SELECTORS.names()
            for ratio in ("0.2", "1")
        )
    ),
    "select-options": Case(
        tuple(
            ("select", "CLIP", "-r", "0.3", *options, "--format", "json")
            for options in (
                ("--preset", "temporal"),
                ("--preset", "attention-only", "--importance", "norm"),
                (*_THRESHOLDS, "--protect-events", "-p", "right=false"),
                ("-b", "scipy-components", "--split", "redetect", "--max-size", "5"),
                ("-p", "reduce=false"),
                ("-s", "srts", "--tau-sim", "0.6"),
                ("-s", "st-simdiff-attention", "--tau-diff", "0.5"),
            )
        )
    ),
    "probe": _once(
        *("probe", "-s", "random", "-s", "uniform", "-s", "sttm", "-s", "fastv", "-s", "st-simdiff", "-s", "srts"),
        *("-b", "lattice-components", "--split", "tree", "--split", "raster", "--features", "projector"),
        *("--features", "encoder", "-p", "importance=attention", "-r", "0.1", "-r", "0.3", "--questions", "30"),
        *("--videos", "dev", "-q", "--format", "jsonl"),
        libraries=("torch",),
    ),
}


def computed(name: str, folder: Path) -> Tables:
    """The rows of a case now, without what is loose; the clip is written into ``folder``."""
    dump = folder / "clip.safetensors"
    if not dump.exists():
        synthetic_signals(clip()).save(dump)
    tables: Tables = {}
    for args in CASES[name].args:
        for table, rows in read(run(*(str(dump) if arg == "CLIP" else arg for arg in args))).items():
            tables.setdefault(table, []).extend(_firm(row) for row in rows)
    return tables


def read(text: str) -> Mapping[str, Sequence[Row]]:
    """The tables a command prints as JSON (one row for select), or as JSON lines."""
    lines = text.splitlines()
    if len(lines) > 1 and lines[0].endswith("}"):
        return {"rows": [json.loads(line) for line in lines]}
    found = json.loads(text)
    return {"rows": [dict(_leaves(found))]} if "provenance" in found else found


def _leaves(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if _LOOSE.fullmatch(key):
            continue
        if isinstance(inner, dict) and inner:
            yield from _leaves(inner, f"{above}{key}.")
        else:
            yield above + key, inner


def _firm(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not _LOOSE.fullmatch(name)}


def versions(name: str) -> dict[str, str]:
    """Of the libraries that decide the rows of a case."""
    return {library: version(library) for library in CASES[name].libraries}


def text_of(name: str, tables: Tables) -> str:
    """A case as its file holds it: one line for each row, after one of the columns they share."""
    parts = [f'"versions": {json.dumps(versions(name))}']
    for table, rows in tables.items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
        held: list[Any] = [columns, *([_short(row.get(column)) for column in columns] for row in rows)]
        if sum(map(len, rows)) < len(columns) * len(rows) / 2:  # columns that few rows have
            held = [{column: _short(value) for column, value in row.items()} for row in rows]
        parts.append(f'"{table}": [\n' + ",\n".join(map(json.dumps, held)) + "\n]")
    return "{" + ",\n".join(parts) + "}\n"


def _short(value: Any) -> Any:
    return float(f"{value:.9g}") if isinstance(value, float) else value


def frozen(name: str) -> tuple[dict[str, str], Tables]:
    """The versions and the rows that are held fast; None stands for a column that a row lacks, too."""
    held = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    made = held.pop("versions")
    for table, (first, *rows) in held.items():
        if isinstance(first, list):
            held[table] = [dict(zip(first, row, strict=True)) for row in rows]
    return made, held


def main() -> None:
    """Freeze all cases, or those named on the command line."""
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or CASES:
            (FOLDER / f"{name}.json").write_text(text_of(name, computed(name, Path(folder))), encoding="utf-8")


if __name__ == "__main__":
    main()
