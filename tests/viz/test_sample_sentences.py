"""What README and guides say of the bundled sample is what the rows of ``stgraph compare`` say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from terminal_tables import render

import stgraph
from stgraph import VideoTokens
from stgraph.aliases import Array, Row
from stgraph.bench.compare import compare_backends
from stgraph.bench.compare_selectors import compare_selectors
from stgraph.bench.real_features import frames_of
from stgraph.bench.tables.reading import read_tables
from stgraph.selection.settings import backend_settings, selector_settings
from stgraph.speed_pages import CPU
from stgraph.video.dump import Sampling, video_tokens
from stgraph.video.patches import PatchEncoder
from stgraph.viz.columns import mean
from stgraph.viz.pages.frames import first_frames_of_shots
from stgraph.viz.terminal.comparison import backend_tables, sentences
from stgraph.vlm.encoder_source import EncoderSource

ROOT = Path(__file__).parents[2]
ROWS = ROOT / "bench" / "results" / "sample"
COMPONENTS = "lattice-components"
# What `stgraph compare` runs where only the core is installed, as `make demo` does.
DEMO = (COMPONENTS, "igraph-leiden", "lattice-leiden", "igraph-infomap", "igraph-label-propagation", "lattice-segments")

pytestmark = pytest.mark.skipif(not ROWS.exists(), reason="bench/results is not here: not a checkout")


@cache
def tables(name: str) -> dict[str, list[Row]]:
    return read_tables(ROWS / f"{name}.csv")


def page(name: str) -> str:
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


def of(backend: str, column: str) -> float:
    """The mean over the seeds of a backend at r = 0.3, as the terminal shows it."""
    return mean([r for r in tables("backends")["rows"] if r["backend"] == backend and r["retain_ratio"] == 0.3], column)


def shared(a: str, b: str, ratio: float = 0.3, *, by: str = "backend") -> float:
    """Percent of the tokens either keeps, mean over seeds."""
    pairs = tables(f"{by}s")["overlap"]
    found = [p["jaccard"] for p in pairs if p["retain_ratio"] == ratio and {a, b} == {p[f"{by}_a"], p[f"{by}_b"]}]
    return 100 * sum(found) / len(found)


def nearest(selector: str, ratio: float = 0.3) -> str:
    rows = tables("selectors")["rows"]
    return f"{mean([r for r in rows if r['selector'] == selector and r['retain_ratio'] == ratio], 'fidelity_mean'):.3f}"


def least_and_most(values: Iterable[float]) -> str:
    found = [round(value) for value in values]
    return f"{min(found)} to {max(found)}"


def modularity() -> list[str]:
    return list(dict.fromkeys(r["backend"] for r in tables("backends")["rows"] if r["objective"] == "modularity"))


def split_share(backend: str) -> str:
    pairs = read_tables(ROOT / "bench" / "results" / "study" / "sample.csv")["overlap"]
    both = {(backend, "tree"), (backend, "raster")}
    found = [
        p["jaccard"]
        for p in pairs
        if p["retain_ratio"] == 0.3 and {(p["backend_a"], p["split_a"]), (p["backend_b"], p["split_b"])} == both
    ]
    return f"{100 * sum(found) / len(found):.0f} %"


def test_the_demo_in_the_readme() -> None:
    rows = [r for r in tables("backends")["rows"] if r["backend"] in DEMO]
    overlap = [p for p in tables("backends")["overlap"] if {p["backend_a"], p["backend_b"]} <= set(DEMO)]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = render(backend_tables(rows)[0].on_terminal("backend"), 100).splitlines()
    shown = [line.split() for line in lines if line.startswith(DEMO)]
    quoted = [line.split() for line in readme.splitlines() if line.startswith(DEMO) and "%" in line and ":" not in line]
    assert len(quoted) == 4
    for line in quoted:
        assert [*line[:1], *line[2:]] in [[*one[:1], *one[2:]] for one in shown]  # its time is of one machine
    said = [one for one in sentences(rows, overlap) if not one.startswith(("r = 0.1", "r = 0.5"))]
    assert len(said) == 3
    for sentence in said:
        assert sentence in page("README.md")


def test_backends_on_the_sample() -> None:
    text, named = page("docs/compare.md"), modularity()
    assert len(named) == 8
    largest = [of(name, "largest_uncapped") for name in named]
    held = [100 * of(name, "oversized_ratio") for name in named]
    changed = [100 * of(name, "cap_changed_ratio") for name in named]
    each = [shared(a, b) for a, b in combinations(named, 2)]
    seeds = [shared(name, name) for name in named if of(name, "seed") is not None]
    ours = {name: f"{shared(COMPONENTS, name):.0f} %" for name in DEMO[1:]}
    for sentence in (
        f"Connected components at 0.8 give {of(COMPONENTS, 'n_uncapped'):,.0f} communities. "
        f"{of(COMPONENTS, 'n_oversized'):.0f} of them "
        f"({100 * of(COMPONENTS, 'n_oversized') / of(COMPONENTS, 'n_uncapped'):.1f} %) are above √N = 101 and hold "
        f"{100 * of(COMPONENTS, 'oversized_ratio'):.0f} % of all tokens.",
        f"break up the largest ({of(COMPONENTS, 'largest_uncapped'):,.0f} → {least_and_most(largest)} tokens), yet "
        f"{least_and_most(held)} % of all tokens",
        f"differ by {100 * of(COMPONENTS, 'cap_changed_ratio'):.0f} % (components) and {least_and_most(changed)} %",
        f"share {least_and_most(shared(COMPONENTS, name) for name in named)} % of the tokens either keeps; the "
        f"modularity backends share {least_and_most(each)} % among themselves, "
        f"as much as two seeds of one of them ({least_and_most(seeds)} %).",
        f"share {ours['igraph-leiden']} with `igraph-leiden`, but {ours['igraph-infomap']} with `igraph-infomap`, "
        f"{ours['lattice-leiden']} with `lattice-leiden`, {ours['lattice-segments']} with `lattice-segments` and "
        f"{ours['igraph-label-propagation']} with `igraph-label-propagation`.",
        f"no threshold, shares {shared(COMPONENTS, 'lattice-segments', 0.1):.0f} % with them.",
        f"share {split_share(COMPONENTS)} (components) and {split_share('igraph-leiden')} (`igraph-leiden`)",
    ):
        assert sentence in text
    others = [name for name in (*named, *DEMO[1:]) if name != "lattice-segments"]
    assert {round(shared(COMPONENTS, name, 0.1)) for name in others} == {100}
    little = [100 * of(name, "oversized_ratio") for name in DEMO[2:5]]
    assert (
        f"communities above √N hold {100 * of(COMPONENTS, 'oversized_ratio'):.0f} % of the tokens under no objective "
        f"(components) and {100 * of('igraph-leiden', 'oversized_ratio'):.0f} % under modularity, but "
        f"{least_and_most(little)} % under the constant Potts model, the map equation and label propagation"
    ) in page("docs/backends.md")


def test_selectors_on_the_sample() -> None:
    text = page("docs/compare.md")

    def ours(name: str, ratio: float = 0.3) -> str:
        return f"{shared('st-simdiff', name, ratio, by='selector'):.0f} %"

    few = least_and_most(shared("st-simdiff", name, by="selector") for name in ("sttm", "vidcom2", "llava-scissor"))
    for sentence in (
        f"`uniform` ({nearest('uniform')} at r = 0.3) and `random` ({nearest('random')}) beat `st-simdiff` "
        f"({nearest('st-simdiff')}), `evs` ({nearest('evs')}) and `dets` ({nearest('dets')})",
        f"`prunevid` {nearest('prunevid')}, `llava-scissor` {nearest('llava-scissor')} and `framefusion` "
        f"{nearest('framefusion')} at r = 0.3, `framefusion` {nearest('framefusion', 0.5)} at r = 0.5.",
        f"they share {ours('st-simdiff-released')} at r = 0.3 and {ours('st-simdiff-released', 0.5)} at r = 0.5; at "
        f"r = 0.1, where events come first in both, {ours('st-simdiff-released', 0.1)}.",
        f"At r = 0.3 `st-simdiff` shares {ours('dets')} with `dets`, {ours('evs')} with `evs`, {few} % with `sttm`, "
        f"`vidcom2` and `llava-scissor`; random tokens share {ours('random')}.",
        f"falls from {nearest('uniform')} to {nearest('uniform', 0.5)}. `random-per-frame` does not.",
    ):
        assert sentence in text
    rows = [r for r in tables("selectors")["rows"] if r["retain_ratio"] == 0.3]
    best = sorted(rows, key=lambda r: -r["fidelity_mean"])[:3]
    assert {row["selector"] for row in best} == {"prunevid", "llava-scissor", "framefusion"}
    assert nearest("random-per-frame", 0.5) > nearest("random-per-frame")
    most = max(r["n_events_kept"] for r in rows)
    assert {r["selector"] for r in rows if r["n_events_kept"] == most} >= {"st-simdiff", "evs", "dets"}


def test_density_objectives_on_the_sample() -> None:
    text, rows = page("docs/backends.md"), tables("density")["rows"]
    largest, fidelity = (
        {
            name: mean([r for r in rows if r["backend"] == name], column)
            for name in dict.fromkeys(r["backend"] for r in rows)
        }
        for column in ("largest_uncapped", "fidelity_mean")
    )
    surprise, significance, cpm = largest
    assert not any(r["n_oversized"] for r in rows)
    assert (
        f"(largest {largest[surprise]:.0f} and {largest[significance]:.0f} tokens, of CPM {largest[cpm]:.0f}), and at "
        f"r = 0.3 the kept tokens stand for the rest as well (fidelity {fidelity[surprise]:.3f} and "
        f"{fidelity[significance]:.3f}, CPM {fidelity[cpm]:.3f})."
    ) in text
    timed = read_tables(ROOT / "bench" / "results" / CPU / "bench.csv")["rows"]
    seconds = {(r["case"], r["by"]): r["seconds"] for r in timed if r["stage"] == "communities"}
    ratios = [s / seconds[case, cpm] for (case, by), s in seconds.items() if by in (surprise, significance)]
    (stated,) = re.findall(r"over (\d+) times as long as that of `lattice-leiden`", text)
    assert int(stated) < min(ratios) < 2 * int(stated)


def test_streams_of_the_sample() -> None:
    rows = read_tables(ROWS / "stream.jsonl")["rows"]
    assert all(row["same_count"] for row in rows)
    lines = (ROOT / "docs/stream.md").read_text(encoding="utf-8").splitlines()
    windows = list(dict.fromkeys(row["window"] for row in rows))
    for window in windows:
        cells = []
        for ratio in (0.1, 0.3):
            found = [f"{r['jaccard']:.2f}" for r in rows if (r["window"], r["ratio"]) == (window, ratio)]
            cells.append(" / ".join(found).replace("1.00 / 1.00", "1"))
        name = f"{window} and more" if window == windows[-1] else str(window)
        assert f"| {name} | {' | '.join(cells)} |" in lines


def similarities(tokens: VideoTokens) -> tuple[Array, Array]:
    """Those in space, and of each token with that of the next frame [T - 1, n]."""
    lattice = np.asarray(stgraph.build_graph(tokens).similarity).reshape(3, tokens.grid.T, -1)
    space = lattice[:2][~np.isnan(lattice[:2])]
    return space, lattice[2, :-1]


def test_patches_beside_the_sample() -> None:
    """The table of ``docs/dumps.md``, made anew from the sample's pictures."""
    pytest.importorskip("av", reason="needs PyAV: pip install -e '.[video]'")
    sample = stgraph.sample()
    patches = VideoTokens.from_array(PatchEncoder(grid=(16, 16)).encode(frames_of(sample))[0])
    cuts = np.asarray(first_frames_of_shots(sample))
    columns = []
    for tokens in (sample, patches):
        space, time = similarities(tokens)
        there = np.isin(np.arange(1, 40), cuts)
        columns.append(
            (
                f"{100 * np.mean(space > 0.8):.0f} %, {100 * np.mean(time > 0.8):.0f} %",
                f"{np.median(time[there]):.2f}, {np.median(time[~there]):.2f}",
                f"{100 * np.mean(time[there] < 0.2):.0f} %, {100 * np.mean(time[~there] < 0.2):.0f} %",
            )
        )
    names = (
        "spatial, temporal similarities above 0.8",
        "median temporal similarity at cuts, elsewhere",
        "temporal similarities below 0.2 at cuts, elsewhere",
    )
    lines = (ROOT / "docs/dumps.md").read_text(encoding="utf-8").splitlines()
    for name, ours, theirs in zip(names, *columns, strict=True):
        assert f"| {name} | {ours} | {theirs} |" in lines


def test_a_clip_in_patches() -> None:
    """What ``docs/dumps.md`` says of the clip in ``tests/data``."""
    pytest.importorskip("av", reason="needs PyAV: pip install -e '.[video]'")
    tokens, _ = video_tokens(
        ROOT / "tests/data/bbb_6s.mp4", EncoderSource(PatchEncoder(grid=(16, 16))), Sampling(fps=8)
    )
    space, time = similarities(tokens)
    frames = time.mean(axis=1)
    cuts = np.asarray(first_frames_of_shots(tokens)) - 1
    there, elsewhere = frames[cuts], np.delete(frames, cuts)
    least, middle = np.floor(100 * elsewhere.min()) / 100, np.median(frames)
    assert (
        f"the mean temporal similarity of a frame is {there[0]:.2f} and {there[1]:.2f} at the cuts, at least "
        f"{least:.2f} elsewhere, and {middle:.3f} in the median; `stgraph inspect clip.safetensors` shows "
        f"{100 * np.mean(space > 0.8):.0f} % of spatial and {100 * np.mean(time > 0.8):.0f} % of temporal similarities "
        "above 0.8."
    ) in page("docs/dumps.md")


def test_the_rows_are_those_of_this_version() -> None:
    """Without the figures that take time, or another library."""
    tokens = stgraph.sample()
    fast = compare_backends(
        tokens, backend_settings((COMPONENTS, "lattice-leiden", "lattice-segments")), (0.3,), fidelity=False
    )
    columns = ("n_uncapped", "largest_uncapped", "n_singletons", "n_representative", "n_both", "excess", "modularity")
    for row in fast.rows:
        for column in columns:
            assert row[column] == pytest.approx(of(row["backend"], column), rel=1e-6), (row["backend"], column)
    again = compare_selectors(tokens, selector_settings(("st-simdiff", "evs", "uniform", "sttm")), (0.3,))
    for row in again.rows:
        assert f"{row['fidelity_mean']:.3f}" == nearest(row["selector"])
    for pair in again.overlap:
        if "st-simdiff" in (pair["selector_a"], pair["selector_b"]):
            assert 100 * pair["jaccard"] == pytest.approx(
                shared(pair["selector_a"], pair["selector_b"], by="selector"), abs=0.05
            )
