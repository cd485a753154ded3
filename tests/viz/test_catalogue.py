"""The selectors as their classes state them: on the command line, in Python and in the documentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from command_line import flat, run, strict_json
from selectors_in_docs import GPU_PAGE, PAGE, gpu_page_anew, written_anew
from typer.testing import CliRunner

import stgraph
from stgraph import Budget, VideoTokens
from stgraph.cli import app
from stgraph.errors import InputError, UnknownNameError
from stgraph.selection.base import SELECTORS
from stgraph.selection.catalogue import catalogue, describe
from stgraph.selection.choice import Choice
from stgraph.selection.method import Method
from stgraph.selection.reasons import SAMPLE

NAMES = SELECTORS.names()


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_explained(name: str) -> None:
    found = describe(name)
    assert found.name == name and len(found.summary) >= 20
    assert "``" not in found.summary and ":class:" not in found.summary
    assert (found.title is None) == (found.year is None) == (name in ("random", "random-per-frame", "uniform", "pool"))
    assert found.year is None or 2022 <= found.year <= 2026
    assert found.signals == tuple(sorted(stgraph.selector(name, n_keep=1).requires))
    assert found.counts in ("exact", "exact or the authors'", "the authors'")
    for parameter in found.parameters:
        assert parameter.meaning, f"{name}: {parameter.name} has no meaning in the class's documentation"
        assert parameter.values, f"{name}: {parameter.name} is not checked"
        stgraph.selector(name, n_keep=1, **{parameter.name: parameter.default})


def test_what_some_of_them_state() -> None:
    assert [found.name for found in catalogue()] == NAMES
    released, fastervlm = describe("st-simdiff-released"), describe("fastervlm")
    assert (released.title, released.venue, released.year) == ("ST-SimDiff (published code)", "ICLR", 2026)
    assert (fastervlm.venue, fastervlm.year) == (None, 2024)
    assert describe("llava-scissor").venue == "arXiv 2506.21862" and describe("llava-scissor").year == 2025
    assert describe("pyramiddrop").cuts == "before LLM layers 8, 16, 24"
    assert describe("divprune").quadratic and not describe("evs").quadratic
    (threshold,) = [p for p in describe("dtd").parameters if p.name == "threshold"]
    assert threshold.values == "a number in [-1, 1]"
    assert threshold.meaning.startswith("a cosine in [-1, 1] drops exactly the tokens above it")


def test_the_table_in_the_documentation_is_the_classes() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written_anew(page) == page, "run PYTHONPATH=. python tests/support/selectors_in_docs.py"
    page_of_gpus = GPU_PAGE.read_text(encoding="utf-8")
    assert gpu_page_anew(page_of_gpus) == page_of_gpus, "run PYTHONPATH=. python tests/support/selectors_in_docs.py"
    for name in NAMES:
        assert f"| `{name}` |" in page
        assert f"### {name}" in page or f"{name}\n" in page, f"{name} has no paragraph"


def test_the_command_shows_all_or_one() -> None:
    text = run("selectors")
    for name in NAMES:
        assert f" {name} " in text
    one = flat(run("selectors", "flashvid"))
    assert "FlashVID" in one and "enc_recv_attn" in one
    assert flat("share of a frame's budget picked directly, rounded up") in one
    assert flat("the attention each patch receives") in flat(run("selectors", "vispruner"))  # stated by its base
    assert "No parameters" in run("selectors", "dets")
    assert run("selectors", "-q") == ""


def test_as_json() -> None:
    rows = strict_json(run("selectors", "--format", "json"))
    assert [row["name"] for row in rows] == NAMES
    one = strict_json(run("selectors", "pyramiddrop", "--format", "json", "-q"))
    assert one["signals"] == ["llm_attn_last", "llm_attn_layers", "seq_index"]
    assert one["parameters"][0]["default"] == [8, 16, 24]


def test_wrong_names() -> None:
    with pytest.raises(UnknownNameError, match="divprune"):
        describe("divprun")
    done = CliRunner().invoke(app, ["selectors", "--format", "csv"])
    assert "selectors prints a table or --format json, not 'csv'" in str(done.exception)


@dataclass(frozen=True, kw_only=True)
class Theirs(Method):
    """A third party's method, which takes the first tokens there are, whatever they hold.

    Attributes
    ----------
    first : where to begin
    """

    first: int = 0

    name: ClassVar[str] = "theirs"
    paper: ClassVar[str] = "unpublished"

    def __post_init__(self) -> None:
        if not isinstance(self.first, int):
            raise InputError(f"first is {self.first!r}; it must be an integer")

    def choose(self, tokens: VideoTokens, n_keep: int, budget: Budget) -> Choice:
        return Choice(np.arange(n_keep), SAMPLE, np.ones(n_keep))


class Bare:
    """Nothing but the interface."""

    name = "theirs"
    requires: frozenset[str] = frozenset({"their_signal"})

    def __init__(self, *, budget: Budget, **options: Any) -> None:
        self.budget = budget

    def count(self, grid: Any, budget: Any = None) -> None:
        return None

    def select(self, tokens: Any, budget: Any = None) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("theirs", [Theirs, Bare])
def test_a_third_partys_selector(theirs: Any) -> None:
    SELECTORS.register("theirs", theirs)
    try:
        found = describe("theirs")
        assert found.cuts == "before the LLM"
        if theirs is Bare:
            assert (found.title, found.signals, found.counts, found.parameters) == (
                None,
                ("their_signal",),
                "the authors'",
                (),
            )
        else:
            assert (found.title, found.year, found.counts) == ("unpublished", None, "exact")
            assert [(p.values, p.meaning) for p in found.parameters] == [("an integer", "where to begin")]
        assert " theirs " in run("selectors")
    finally:
        SELECTORS.unregister("theirs")
