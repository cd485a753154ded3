"""Targets of the CPU engine's speed beside what rows say. Reads rows only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stgraph.aliases import Row
from stgraph.viz.markdown.study import markdown

VIDEO = "64x14x14x3584 float32"
COMPONENTS = "components"
SECOND = "lattice-leiden"
# The targets, in the units of their lines.
_EDGES = 1.3
_SELECTION = {VIDEO: 3.0, "64x14x14x3584 float16": 3.5, "64x14x14x3584 bfloat16": 3.5, "64x14x14x896 float32": 4.0}
_LARGE, _LARGE_READS = "3907x16x16x128 float32", 8.0
_BYTES = 60
_REFERENCE = 60  # times the plain Python reference
_SELECTOR = 20.0
_CPM_VALUE, _CPM_TIMES = 0.99, 30
_GROWTH = 1.5  # of the time per token, from the second largest size to the largest
_ITEMSIZE = {"float32": 4, "float16": 2, "bfloat16": 2}


def target_table(bench: Sequence[Row], cpu_time: Sequence[Row], cpm: Sequence[Row]) -> str:
    """Each target with the figure of two threads, and of one thread's CPU time where it was taken."""
    return markdown(["target", "at", "two threads", "one thread, CPU time", "met"], list(_lines(bench, cpu_time, cpm)))


def _lines(bench: Sequence[Row], cpu_time: Sequence[Row], cpm: Sequence[Row]) -> Iterator[list[str]]:
    for stage, targets in (
        ("edges", dict.fromkeys(_SELECTION, _EDGES)),
        ("selection", _SELECTION | {_LARGE: _LARGE_READS}),
    ):
        for case, limit in targets.items():
            wall, one = (of_case(rows, case)[stage]["reads"] for rows in (bench, cpu_time))
            yield [f"{stage} within {limit:g} reads", case, f"{wall:.2f}", f"{one:.2f}", _met(wall <= limit)]
    memory = [extra_bytes(row) for row in _selections(bench)]
    yield [
        f"at most {_BYTES} bytes per token beyond the features",
        "every size",
        _range(memory),
        "",
        _met(max(memory) <= _BYTES),
    ]
    yield _linear("selection linear in the tokens", *map(_by_size, (bench, cpu_time)))
    slow, ours = (find(bench, case=VIDEO, stage="selection", by=by) for by in ("plain Python reference", "stgraph"))
    assert slow is not None and ours is not None
    ratio = slow["seconds"] / ours["seconds"]
    yield [
        f"at least {_REFERENCE} times faster than the plain Python reference",
        VIDEO,
        f"{ratio:.0f}",
        "",
        _met(ratio >= _REFERENCE),
    ]
    scipy = [row for row in bench if row["by"] == "scipy-components"]
    faster = [row["seconds"] / of_case(bench, row["case"])[COMPONENTS]["seconds"] for row in scipy]
    yield [
        "components at least as fast as SciPy's",
        "every size with peers",
        f"{_range(faster, 1)} times faster",
        "",
        _met(min(faster) >= 1),
    ]
    yield _selectors([row for row in bench if row["stage"] == "selector"])
    yield from _cpm_lines([row for row in cpm if row["by"] == SECOND])


def _linear(name: str, wall: Sequence[Row], one: Sequence[Row]) -> list[str]:
    """Time per token at each size; met if it grows by no more than ``_GROWTH`` at the end."""
    each = [[1e6 * row["seconds"] / row["n_tokens"] for row in rows] for rows in (wall, one)]
    sizes = ", ".join(f"{row['n_tokens']:,}" for row in wall)
    cells = [", ".join(f"{value:.2f}" for value in found) + (" µs per token" if found else "") for found in each]
    return [name, f"{sizes} tokens", *cells, _met(each[0][-1] <= _GROWTH * each[0][-2])]


def _by_size(rows: Sequence[Row]) -> list[Row]:
    return sorted((row for row in _selections(rows) if row["d"] == 128), key=lambda row: row["n_tokens"])


def _selectors(rows: Sequence[Row]) -> list[str]:
    """Those within the limit, and those above by name with their reads."""
    linear = [row for row in rows if not row["quadratic"]]
    slow = [f"`{row['by']}` ({row['reads']:.0f})" for row in linear if row["reads"] > _SELECTOR]
    said = f"{len(linear) - len(slow)} of {len(linear)}" + (f"; not {', '.join(slow)}" if slow else "")
    return [f"every selector within {_SELECTOR:g} reads, but the quadratic ones", VIDEO, said, "", _met(not slow)]


def _cpm_lines(rows: Sequence[Row]) -> Iterator[list[str]]:
    beside = [row for row in rows if row["times_faster"] is not None]
    shares, faster = [row["cpm_ratio"] for row in beside], [row["times_faster"] for row in beside]
    name = f"`{SECOND}`"
    where = f"{len(beside)} graphs"
    value = [f"{name}: at least {100 * _CPM_VALUE:g} % of `igraph-leiden-cpm`'s value", where]
    yield [*value, f"{_range([100 * share for share in shares], 1)} %", "", _met(min(shares) >= _CPM_VALUE)]
    speed = [f"{name}: at most 1/{_CPM_TIMES} of its time", where]
    yield [*speed, f"1/{min(faster):.0f} to 1/{max(faster):.0f}", "", _met(min(faster) >= _CPM_TIMES)]
    grown = sorted((row for row in rows if row["case"].startswith("synthetic")), key=lambda row: row["n_tokens"])
    yield _linear(f"{name}: linear in the tokens", grown, [])


def find(rows: Sequence[Row], **wanted: object) -> Row | None:
    """The row with these values, or None."""
    return next((row for row in rows if all(row[name] == value for name, value in wanted.items())), None)


def of_case(rows: Sequence[Row], case: str) -> dict[str, Row]:
    """Our stages at a size, and the plain read, by stage."""
    return {row["stage"]: row for row in rows if row["case"] == case and row["by"] in ("stgraph", "plain read")}


def extra_bytes(row: Row) -> float:
    """Peak bytes of a selection per token, in addition to the features."""
    return float(row["extra_bytes_ratio"] * row["d"] * _ITEMSIZE[row["dtype"]])


def _selections(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if (row["stage"], row["by"]) == ("selection", "stgraph")]


def _range(values: Sequence[float], digits: int = 0) -> str:
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _met(held: bool) -> str:
    return "yes" if held else "no"
