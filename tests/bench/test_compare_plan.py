"""A comparison that cannot be made is refused before any work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from clips import clip

from stgraph.bench.compare import compare_backends
from stgraph.community.base import BACKENDS, Capabilities
from stgraph.errors import BackendUnavailableError, InputError, StgraphError, UnknownNameError
from stgraph.selection.settings import backend_settings


class Absent:
    """A backend whose library is not installed."""

    name = "absent"
    package = "absent"
    capabilities = Capabilities("cpu", "modularity", weighted=True, seeded=True, deterministic=True)

    def unavailable(self) -> str | None:
        return "the package 'absent' is not installed"

    def labels(self, edges: Any, params: Any) -> Any:
        raise AssertionError("an unavailable backend was run")


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building the graph of a video, the first work of a comparison, fails the test."""

    def build_graph(*_: Any, **__: Any) -> Any:
        raise AssertionError("a graph was built before the plan was checked")

    monkeypatch.setattr("stgraph.selection.keeping.build_graph", build_graph)


@pytest.fixture
def absent() -> Iterator[str]:
    BACKENDS.register("absent", Absent())
    try:
        yield "absent"
    finally:
        BACKENDS.unregister("absent")


@pytest.mark.usefixtures("no_work")
def test_an_unavailable_backend_asked_for_by_name(absent: str) -> None:
    with pytest.raises(BackendUnavailableError, match="absent cannot run here: the package 'absent' is not installed"):
        compare_backends(clip(), backend_settings(("lattice-components", absent)))


@pytest.mark.usefixtures("absent")
def test_an_unavailable_backend_is_left_out_of_all_that_run_here() -> None:
    assert "absent" not in {one.get("backend") for one in backend_settings()}


@pytest.mark.parametrize(
    ("axes", "error", "message"),
    [
        ({"backends": ("igraph-leidn",)}, UnknownNameError, "no community backend 'igraph-leidn'. Did you mean"),
        ({"retain_ratios": (0.3, 0)}, InputError, "retain_ratio is 0; it must lie in"),
        ({"retain_ratios": (0.3, 1.5)}, InputError, "retain_ratio is 1.5"),
        ({"retain_ratios": (float("nan"),)}, InputError, "retain_ratio is nan"),
        ({"retain_ratios": ()}, InputError, "retain_ratios is empty; give at least one"),
        ({"seeds": ()}, InputError, "seeds is empty; give at least one"),
        ({"splits": ()}, InputError, "splits is empty; give at least one"),
        ({"parameters": {"tau_sim": 2}}, InputError, "tau_sim is 2; a cosine similarity threshold lies in"),
        ({"parameters": {"tau_diff": "p101"}}, InputError, "tau_diff is 'p101'"),
        ({"parameters": {"max_size": 0}}, InputError, "max_size is 0"),
        ({"parameters": {"importance": "novelty"}}, InputError, "importance is 'novelty'; it must be one of"),
    ],
)
@pytest.mark.usefixtures("no_work")
def test_wrong_axes(axes: dict[str, Any], error: type[StgraphError], message: str) -> None:
    ratios = axes.pop("retain_ratios", (0.3,))
    with pytest.raises(error, match=message):
        compare_backends(clip(), backend_settings(**axes), ratios)
