"""The cost of a vision encoder's signals: memory, rows of a small tower, and the guide's table against its rows."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch: the towers are torch models")
pytest.importorskip("transformers", reason="needs transformers: the towers are its classes")

from stgraph.bench.speed import encoder_signals as cost  # noqa: E402 (torch first)
from stgraph.vlm.encoder_signals import received  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("pictures", [1, 3])
def test_memory_is_that_of_a_chunk_whatever_the_number_of_pictures(pictures: int) -> None:
    """heads x 256 x L float32 values, where the whole attention of one picture has heads x L x L."""
    heads, length = 16, 729
    query, key = torch.randn(2, pictures, heads, length, 72).unbind()
    with torch.inference_mode():
        peak = cost.peak_bytes(partial(received, query, key, 0.1))
    chunk = 4 * heads * 256 * length
    assert chunk * 0.9 < peak < chunk * 1.01


def test_rows_of_a_small_tower() -> None:
    build = partial(cost._pictures, "CLIP", 64, 128, 32, 8)
    case = cost.TowerCase("small", build, cost._inside, (23,), 17, 16, 4, True)
    rows = cost.measure_encoder_signals(case, 1)
    assert [row["by"] for row in rows] == [
        *("enc_cls_attn", "prumerge_cls_attn", "enc_recv_attn", "enc_keys_mean", "enc_keys_full")
    ]
    for row in rows:
        assert row["signal_s"] > 0 and row["share"] == row["signal_s"] / row["tower_s"]
        assert row["peak_bytes"] == pytest.approx(row["chunks"] * 16 * 256 * 17 * 4)


def test_the_guide_shows_the_rows() -> None:
    with (ROOT / "bench" / "results" / "encoder-signals.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["case"] for row in rows} == {case.name for case in cost.CASES}
    assert max(float(row["share"]) for row in rows) < 0.02
    assert max(float(row["chunks"]) for row in rows) < 1.01
    assert max(float(row["share"]) for row in rows if row["by"] != "enc_recv_attn") < 0.001
    text = (ROOT / "docs" / "vlm.md").read_text(encoding="utf-8")
    for row in rows:
        if row["by"] == "enc_recv_attn":
            share, mb = 100 * float(row["share"]), int(row["peak_bytes"]) / 1e6
            assert f"| {row['case']} | {row['n_tokens']} | {share:.1f} % | {mb:.0f} MB |" in text
