"""Sentences of ``docs/gpu.md`` say what the rows say; ``tests/viz/test_speed_pages.py`` holds its table."""

from __future__ import annotations

from pathlib import Path

from stgraph.bench.tables.reading import read_tables
from stgraph.viz.markdown.speed_targets import find

ROOT = Path(__file__).parents[2]
H200 = ROOT / "bench" / "results" / "nvidia-h200"
ROWS, KERNELS = (read_tables(H200 / name)["rows"] for name in ("rows.csv", "kernels.csv"))
VIDEO, LONG, LONGEST = dict.fromkeys(row["case"] for row in ROWS)


def taken(case: str, stage: str, by: str = "stgraph") -> tuple[float, float]:
    """Milliseconds, and reads."""
    row = find(ROWS, case=case, stage=stage, by=by)
    assert row is not None
    return 1e3 * row["seconds"], row["reads"]


def kernel(work: str, run: int = 3, case: str = VIDEO) -> tuple[float, float]:
    """Microseconds, and reads."""
    row = find(KERNELS, work=work, run=run, case=case)
    assert row is not None
    return row["microseconds"], row["microseconds"] / row["read_microseconds"]


def ends(start: str, runs: tuple[int, ...]) -> str:
    found = [
        row["microseconds"] / 1e3
        for row in KERNELS
        if row["work"].startswith(start) and row["run"] in runs and row["case"] == VIDEO
    ]
    return f"{min(found):.{2 if max(found) < 2 else 1}f} to {max(found):.{2 if max(found) < 2 else 1}f} ms"


def test_the_sentences_are_those_of_the_rows() -> None:
    text = " ".join((ROOT / "docs/gpu.md").read_text(encoding="utf-8").split())
    full, kept = (taken(VIDEO, "prefill", by)[0] for by in ("full", "r = 0.3"))
    replayed, selection = (taken(VIDEO, stage)[0] for stage in ("selection, replayed", "selection"))
    edges, of_read = kernel("edges, unread", case=LONG)
    for sentence in (
        f"took {ends('selection, not recorded', (1, 2))}, and {ends('selection, replayed', (1, 2))} recorded",
        f"{taken(LONGEST, 'edges')[1]:.2f} at 1e6. At 1e5 the two kernels take {of_read:.2f} ({edges / 1e3:.3f} ms, "
        f"`kernels.csv`), and {taken(LONG, 'edges')[1]:.2f} with the host's wait",
        f"recorded: {replayed:.2f} ms here, {kernel('selection, replayed')[0] / 1e3:.2f} ms in another run, "
        f"{kernel('its graph alone')[0] / 1e3:.2f} ms of it on the device (`kernels.csv`); not recorded: "
        f"{selection:.1f} ms",
        f"recorded {100 * replayed / full:.2f} %; not recorded {100 * selection / full:.1f} %. At r = 0.3 the "
        f"prefill is {full - kept:.0f} ms shorter",
        f"12,544 tokens: {kernel('_trees, one component of all tokens', 2)[0]:.0f} against "
        f"{kernel('_trees, 16 components of 784 tokens', 2)[0]:.0f} microseconds, `kernels.csv`",
    ):
        assert sentence in text
