"""Backends, splitters and selectors of third parties: a broken one is a row with its reason, and stops nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broken_plugins import BROKEN, GOOD, SOURCE, install
from command_line import run

import stgraph
from stgraph import VideoTokens
from stgraph.bench.batch.jobs import JOBS
from stgraph.bench.compare_selectors import compare_selectors
from stgraph.cli import main
from stgraph.community.base import BACKENDS, available_backends
from stgraph.community.size_cap import SPLITTERS
from stgraph.errors import BackendUnavailableError, InputError, UnavailableError
from stgraph.registry import Registry
from stgraph.selection.accounting import TokenAccount
from stgraph.selection.base import SELECTORS

REGISTRIES = {"backends": BACKENDS, "splitters": SPLITTERS, "selectors": SELECTORS}
LISTS: dict[str, Callable[[], Any]] = {
    "backends": stgraph.backends,
    "splitters": stgraph.splitters,
    "selectors": stgraph.selectors,
}
GROUPS = {kind: registry.group for kind, registry in REGISTRIES.items()}
CASES = [(kind, name) for kind, cases in BROKEN.items() for name in cases]


def seen_at_once(target: str, reason: str) -> bool:
    """Whether there is an object to register, and its fault shows without running it."""
    return target.startswith("acme:") and target != "acme:absent" and not reason.startswith("unavailable()")


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three tables as a fresh process has them, and as they were afterwards."""
    for registry in REGISTRIES.values():
        for table in ("_entries", "_loaded", "_origins", "_faults", "_refused"):
            monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
        monkeypatch.setattr(registry, "_plugins_read", False)


@pytest.fixture
def installed(anew: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every broken plug-in there is, and a good one of each kind; another distribution claims names that are taken."""
    (tmp_path / "acme.py").write_text(SOURCE)
    (tmp_path / "acme_raises.py").write_text("raise RuntimeError('half installed')\n")
    (tmp_path / "acme_exits.py").write_text("raise SystemExit(4)\n")
    install(
        tmp_path / "acme-site",
        "acme",
        {
            GROUPS[kind]: {f"acme-{name}": target for name, (target, _) in cases.items()} | {"acme-good": GOOD[kind]}
            for kind, cases in BROKEN.items()
        },
    )
    taken = {"backends": "igraph-leiden", "splitters": "tree", "selectors": "evs"}
    install(
        tmp_path / "zeta-site",
        "zeta",
        {GROUPS[kind]: {"acme-good": "zeta:x", taken[kind]: "zeta:y"} for kind in BROKEN},
    )
    monkeypatch.syspath_prepend(str(tmp_path / "zeta-site"))
    monkeypatch.syspath_prepend(str(tmp_path / "acme-site"))
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_broken_plugin_is_a_row_with_its_reason(kind: str, name: str) -> None:
    reason = LISTS[kind]()[f"acme-{name}"]
    assert isinstance(reason, str)
    assert BROKEN[kind][name][1] in reason
    assert "\n" not in reason


@pytest.mark.usefixtures("installed")
def test_the_good_ones_beside_them_work() -> None:
    assert (stgraph.backends()["acme-good"], stgraph.splitters()["acme-good"]) == (None, None)
    assert stgraph.selectors()["acme-good"] == frozenset()
    assert "acme-good" in available_backends()
    graph = stgraph.build_graph(clip())
    found = stgraph.detect_communities(graph, "acme-good", split="acme-good", max_size=2)
    assert found.sizes.tolist() == [1] * 60
    assert len(stgraph.selector("acme-good", n_keep=7).select(clip())) == 7


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("kind", "taken"), [("backends", "igraph-leiden"), ("splitters", "tree"), ("selectors", "evs")]
)
def test_a_taken_name_is_a_row_of_its_own(kind: str, taken: str) -> None:
    listed = LISTS[kind]()
    assert listed[f"{taken} (zeta 1.0)"] == (f"zeta:y of zeta 1.0 is left out: the name {taken!r} is taken by stgraph")
    assert listed["acme-good (zeta 1.0)"].endswith("the name 'acme-good' is taken by acme 1.0")
    assert taken in listed
    assert f"{taken} (zeta 1.0)" not in REGISTRIES[kind].names()


@pytest.mark.usefixtures("installed")
def test_doctor_shows_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    text = run("doctor")
    for kind, cases in BROKEN.items():
        for name, (_, reason) in cases.items():
            lines = re.findall(rf"^ acme-{name} .*$", text, re.MULTILINE)
            assert any("no: " in line and reason in line for line in lines), (kind, name)
    for name in ("igraph-leiden", "tree", "evs"):
        assert f" {name} (zeta 1.0) " in text
    for name in ("igraph-leiden", "tree", "evs", "acme-good"):
        assert re.search(rf"^ {name} ", text, re.MULTILINE)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", BROKEN["backends"])
def test_a_broken_backend_asked_for_by_name(name: str) -> None:
    with pytest.raises(BackendUnavailableError, match=re.escape(BROKEN["backends"][name][1])):
        stgraph.detect_communities(stgraph.build_graph(clip()), f"acme-{name}")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, n in CASES if k != "backends"])
def test_a_broken_splitter_or_selector_asked_for_by_name(kind: str, name: str) -> None:
    asked = f"acme-{name}"
    with pytest.raises(UnavailableError, match=rf"{asked}' cannot be used: .*{re.escape(BROKEN[kind][name][1])}"):
        if kind == "selectors":
            stgraph.selector(asked, retain_ratio=0.5)
        else:
            stgraph.detect_communities(stgraph.build_graph(clip()), split=asked)


@pytest.mark.usefixtures("installed")
def test_comparisons_of_everything_go_on_without_them() -> None:
    result = compare_selectors(clip(), ratios=(0.5,), fidelity=False)
    assert "acme-good" in {row["selector"] for row in result.rows}
    told = {row["selector"]: row["reason"] for row in result.skipped}
    assert told["acme-exits"].endswith("SystemExit: 4")
    assert {f"acme-{name}" for name in BROKEN["selectors"]} <= told.keys()
    assert "evs (zeta 1.0)" in told


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "command",
    [
        ("compare", "-q", "-b", "acme-exits"),
        ("compare", "-q", "--split", "acme-raises"),
        ("select", "-s", "acme-greedy", "-r", "0.5"),
    ],
)
def test_a_command_that_names_one_says_why(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    from unittest.mock import patch

    with patch("sys.argv", ["stgraph", *command]):
        assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


@pytest.mark.usefixtures("anew")
def test_unreadable_metadata_of_any_distribution_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry_points(group: str) -> Any:
        raise TypeError("not enough values")

    monkeypatch.setattr("stgraph.registry.entry_points", entry_points)
    assert stgraph.backends()["(entry points)"] == "entry points cannot be read: TypeError: not enough values"
    assert "lattice-components" in available_backends()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, n in CASES if seen_at_once(*BROKEN[k][n])])
def test_what_is_registered_at_run_time_is_checked_then(kind: str, name: str) -> None:
    import acme

    registry: Registry = REGISTRIES[kind]
    target, reason = BROKEN[kind][name]
    found = getattr(acme, target.partition(":")[2])
    with pytest.raises(InputError, match=f"'mine' cannot be registered: .*{re.escape(reason)}"):
        registry.register("mine", found)
    assert "mine" not in registry.names()


@pytest.mark.parametrize(
    ("task", "wrong"), [(3, "3 is not a dataclass"), (Path, "is not a dataclass"), (TokenAccount, "has no name")]
)
def test_a_batch_job_is_checked_too(task: Any, wrong: str) -> None:
    with pytest.raises(InputError, match=f"batch job 'mine' cannot be registered: .*{wrong}"):
        JOBS.register("mine", task)


@pytest.mark.parametrize("name", [None, "", 3])
def test_a_name_is_a_string(name: Any) -> None:
    with pytest.raises(InputError, match="it must be a non-empty string"):
        SPLITTERS.register(name, "a:b")


def clip() -> VideoTokens:
    """Three frames of 4 x 5 tokens."""
    return VideoTokens.from_array(np.random.default_rng(0).normal(1, 1, (3, 4, 5, 6)).astype(np.float32))
