"""Cells of the study's tables, and what its sentences say of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import pytest

from stgraph.study_pages import page_tables

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "bench" / "results" / "study"
N = r"(\d+(?:\.\d+)?)"  # a number in a sentence
Numbers = Sequence[float]


@cache
def lines(page: str, table: str, n_labels: int) -> dict[tuple[str, ...], list[str]]:
    """The labels of each line of a table -> its other cells."""
    rows = page_tables(Path(page).name, STUDY)[table].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {tuple(line[:n_labels]): line[n_labels:] for line in cells}


def value(cell: str) -> float:
    """The number a cell begins with."""
    return float(re.findall(r"[+-]?[\d.]+", cell)[0])


def values(page: str, table: str, *labels: str) -> list[float]:
    return [value(cell) for cell in lines(page, table, len(labels))[labels]]


def ends(numbers: Iterable[float]) -> list[float]:
    """The least and the largest, by size."""
    sizes = [abs(number) for number in numbers]
    return [min(sizes), max(sizes)]


def spread(numbers: Iterable[float]) -> float:
    low, high = min(numbers := list(numbers)), max(numbers)
    return high - low


def less(a: Numbers, b: Numbers) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def bold(page: str, table: str, n_labels: int, column: int) -> list[float]:
    """The differences of a column that are beyond chance."""
    cells = [line[column] for line in lines(page, table, n_labels).values() if len(line) > column]
    return [value(cell) for cell in cells if cell.startswith("**")]


def plain(page: str) -> str:
    """The text of a page on one line."""
    return " ".join((ROOT / page).read_text(encoding="utf-8").split())


def assert_told(page: str, sentence: str, numbers: Numbers) -> None:
    """The sentence is on the page once, and the numbers in it are these."""
    (told,) = re.findall(sentence, plain(page))
    told = [told] if isinstance(told, str) else list(told)
    decimals = len(told[0].partition(".")[2])
    rounding = 1.01 * 10.0**-decimals if decimals else 0.01  # differences of rounded cells may round anew
    assert [float(number) for number in told] == pytest.approx(numbers, abs=rounding)
