"""Markdown of the rows of ``stgraph serve-check``, for ``docs/vllm.md``. Reads rows only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stgraph.aliases import Row
from stgraph.viz.markdown.study import markdown

# Files of rows, and the models they are of; the last one's check is the quick one.
FAMILIES = {"qwen2_5_vl": "Qwen2.5-VL", "llava_onevision": "LLaVA-OneVision", "qwen2_vl": "Qwen2-VL, `--quick`"}
FILES = (*FAMILIES, "throughput")


def parts(rows: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Parts of ``docs/vllm.md`` by name, of the rows of :data:`FILES`."""
    return {"promises": promise_table(rows), "throughput": throughput_table(rows["throughput"])}


def promise_table(rows: Mapping[str, Sequence[Row]]) -> str:
    """Versions, and what was seen of each promise in each family; a promise that does not hold says so."""
    seen = {name: {row["promise"]: _seen(row) for row in rows[name]} for name in FAMILIES}
    first, *_ = seen.values()
    body = [[promise, *(of_family[promise] for of_family in seen.values())] for promise in first]
    versions = rows["throughput"][0]
    said = ", ".join(f"{name} {versions[name.lower()]}" for name in ("vLLM", "torch", "transformers"))
    return f"With {said}:\n\n" + markdown(["promise", *FAMILIES.values()], body)


def _seen(row: Row) -> str:
    return f"**does not hold**: {row['seen']}" if row["holds"] is False else row["seen"]


def throughput_table(rows: Sequence[Row]) -> str:
    """What pruning gains at each concurrency, where the rest of the time goes, and what a selection costs."""
    body = []
    for row in rows:
        speed = f"{row['speedup']:.2f} ({row['speedup_low']:.2f} to {row['speedup_high']:.2f})"
        shares = [row["text_as_long_s"] / row["video_s"], row["text_as_pruned_s"] / row["video_pruned_s"]]
        text = row["text_as_pruned_s"] / row["text_as_long_s"]
        body.append([str(row["concurrency"]), speed, *(f"{100 * share:.0f} %" for share in shares), f"{text:.2f}"])
    head = "concurrency|requests per second, pruned to stock (range)|language model's share of a stock request"
    head += "|of a pruned one|text as long as the kept tokens, to text as long as all"
    cost = rows[0]["selection_cpu_s"]
    most = max(cost / row["video_pruned_s"] for row in rows)
    return markdown(head.split("|"), body) + (
        f"\n\nMedians of {rows[0]['n_rounds']} pairs. One selection takes {1e3 * cost:.1f} ms of CPU time, at most "
        f"{100 * most:.1f} % of a pruned request."
    )
