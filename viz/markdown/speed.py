"""Markdown of speed rows, for ``docs/benchmarks.md`` and the README. Reads rows only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from textwrap import fill
from typing import Any

from stgraph.aliases import Row
from stgraph.viz.markdown.speed_targets import COMPONENTS, SECOND, VIDEO, extra_bytes, find, of_case, target_table
from stgraph.viz.markdown.study import markdown

FILES = ("bench", "bench.first_call", "cpu-time", "cpm", "peer-code", "sketches")
_LARGE = ("edges", "centrality")  # what reads the features
_SMALL = ("edge list", "components", "split", "detection", "representatives", "events")
_LONGER = f"{SECOND}, 10 passes"
_SEGMENTS = "lattice-segments"


def parts(rows: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Parts of ``docs/benchmarks.md`` by name, of the rows of :data:`FILES`."""
    timed = [row for row in rows["bench"] if row["stage"] != "selector"]
    selectors = [row for row in rows["bench"] if row["stage"] == "selector"]
    return {
        "targets": target_table(rows["bench"], rows["cpu-time"], rows["cpm"]),
        "stages": stage_table(timed),
        "cpu time": stage_table(rows["cpu-time"]),
        "peers": peer_table(timed),
        "sketches": sketch_table(rows["sketches"]),
        "first call": first_call_table(rows["bench.first_call"]),
        "selectors": selector_table(selectors),
        "authors' code": author_table(rows["peer-code"]),
        "cpm": cpm_table(rows["cpm"]),
    }


def stage_table(rows: Sequence[Row]) -> str:
    """Our stages at every size: milliseconds of a read and of a selection, stages in reads, memory; ``rest`` is a
    selection less edges and centrality."""
    head = ["tokens", "read, ms", "selection, ms", "bytes per token", "selection", *_LARGE, "rest", *_SMALL]
    body = []
    for case in cases(rows):
        ours = of_case(rows, case)
        whole, large = ours["selection"], [ours[stage]["reads"] for stage in _LARGE]
        reads = (whole["reads"], *large, whole["reads"] - sum(large), *(ours[stage]["reads"] for stage in _SMALL))
        taken = (f"{1e3 * ours['read']['seconds']:.2f}", f"{1e3 * whole['seconds']:.1f}")
        body.append([case, *taken, f"{extra_bytes(whole):.0f}", *(f"{value:.2f}" for value in reads)])
    return markdown(head, body)


def peer_table(rows: Sequence[Row]) -> str:
    """Others beside ours, at the sizes they ran at: milliseconds, and how many times ours."""
    peers = [row for row in rows if row["by"] not in ("stgraph", "plain read")]
    shown = cases(peers)
    ours = {case: of_case(rows, case) for case in shown}
    body = []
    for stage, by in dict.fromkeys((row["stage"], row["by"]) for row in peers):
        mine = COMPONENTS if stage == "communities" else stage
        cells = []
        for case in shown:
            row = find(peers, case=case, stage=stage, by=by)
            known = row is not None and row["seconds"] is not None
            cells.append(f"{1e3 * row['seconds']:,.1f}, {times(row, ours[case][mine])}" if row and known else "")
        body.append([stage, by, *cells])
    return markdown(["stage", "by", *shown], body)


def sketch_table(rows: Sequence[Row]) -> str:
    """Sketches of the kernels: nanoseconds, or reads."""
    body = []
    for row in rows:
        ends = [f"{row[name]:.0f}" if row["unit"] == "ns" else f"{row[name]:.2f}" for name in ("low", "high")]
        body.append([row["of"], row["sketch"], f"{' to '.join(dict.fromkeys(ends))} {row['unit']}"])
    return markdown(["of", "sketch", "measured"], body)


def first_call_table(rows: Sequence[Row]) -> str:
    """Seconds of the first selection in a new environment and in a later process."""
    names = ("import_s", "first_selection_s", "second_selection_s")
    body = [[row["cache"], *(f"{row[name]:.3f}" for name in names)] for row in rows]
    return markdown(["compiled kernels", "import, s", "first selection, s", "second selection, s"], body)


def selector_table(rows: Sequence[Row]) -> str:
    """Every selector: milliseconds, reads, and whether its published algorithm is quadratic."""
    body = [
        [
            f"`{row['by']}`",
            f"{1e3 * row['seconds']:,.1f}",
            f"{row['reads']:,.2f}",
            "quadratic" if row["quadratic"] else "",
        ]
        for row in rows
    ]
    return markdown(["selector", "median ms", "reads", "as published"], body)


def author_table(rows: Sequence[Row]) -> str:
    """Selectors beside their authors' code: tokens kept by both, and the ratio of the times."""
    body = []
    for row in rows:
        if row["by"] != "stgraph":
            ours = next(one for one in rows if (one["stage"], one["by"]) == (row["stage"], "stgraph"))
            kept = (f"{one['n_kept']:,}" for one in (ours, row))
            body.append([f"`{row['stage']}`", row["by"], *kept, times(row, ours)])
    return markdown(["method", "code", "kept by stgraph", "kept by the authors' code", "their time over ours"], body)


def cpm_table(rows: Sequence[Row]) -> str:
    """Our CPM search and segmentation beside igraph's search run to its end, for each graph."""
    names = (SECOND, _LONGER, _SEGMENTS)
    head = ["graph", "tokens", "igraph, ms"]
    for name in (f"`{SECOND}`", "with 10 passes", f"`{_SEGMENTS}`"):
        head += [f"{name}, ms", "times faster"]
        if name != f"`{_SEGMENTS}`":
            head.append("share of igraph's CPM")
    body = []
    for case in cases(rows):
        peer = find(rows, case=case, by="igraph-leiden-cpm")
        first = find(rows, case=case, by=SECOND)
        assert first is not None
        line = [
            PurePath(case).name.removesuffix(" float32"),
            f"{first['n_tokens']:,}",
            f"{1e3 * peer['seconds']:,.1f}" if peer else "",
        ]
        for name in names:
            row = find(rows, case=case, by=name)
            assert row is not None
            line += [f"{1e3 * row['seconds']:,.1f}", f"{row['times_faster']:.0f}" if peer else ""]
            if name != _SEGMENTS:
                line.append(f"{100 * row['cpm_ratio']:.1f} %" if peer else "")
        body.append(line)
    return markdown(head, body)


def in_a_sentence(rows: Mapping[str, Sequence[Row]], gpu: Sequence[Row]) -> str:
    """The README's paragraph: the whole selection of a video on a CPU and on a GPU."""
    first = [of_case(rows[name], VIDEO)["selection"] for name in ("bench", "cpu-time")]
    memory = max(extra_bytes(row) for row in rows["bench"] if row["stage"] == "selection" and row["by"] == "stgraph")
    video = cases(gpu)[0]
    replayed = find(gpu, case=video, stage="selection, replayed")
    full = find(gpu, case=video, stage="prefill", by="full")
    assert replayed is not None and full is not None
    said = (
        f"**Speed**: the whole selection of a 64-frame video takes as long as {first[0]['reads']:.1f} plain reads of "
        f"its features on two CPU threads ({1e3 * first[0]['seconds']:.0f} ms), {first[1]['reads']:.1f} on one, and at "
        f"most {memory:.0f} bytes per token in addition: [docs/benchmarks.md](docs/benchmarks.md). On an H200 a "
        f"recorded selection of such a video takes {1e3 * replayed['seconds']:.1f} ms, "
        f"{100 * replayed['seconds'] / full['seconds']:.1f} % of the full prefill of a 7B model: "
        "[docs/gpu.md](docs/gpu.md#measured-on-an-h200)."
    )
    return fill(said, 120, break_long_words=False, break_on_hyphens=False)


def cases(rows: Sequence[Row]) -> list[str]:
    """Sizes in their order."""
    return list(dict.fromkeys(row["case"] for row in rows))


def times(row: Row, ours: Mapping[str, Any]) -> str:
    """How many times as long as ours."""
    ratio = row["seconds"] / ours["seconds"]
    return f"{ratio:,.1f}" if ratio < 10 else f"{ratio:,.0f}"
