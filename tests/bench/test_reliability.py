"""The scripts behind docs/reliability.md measure what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_zoo import features

import stgraph
from stgraph.bench.reliability.batch import make_dumps, rows_of
from stgraph.bench.reliability.stream import looped, measure, resident_mib, write_long_dump
from stgraph.bench.reliability.stream_agreement import agreement_rows


def test_a_long_dump_holds_the_loop(tmp_path: Path) -> None:
    frames = features((3, 2, 4, 8), np.float16)
    write_long_dump(tmp_path / "long.safetensors", 7, frames)
    tokens = stgraph.load(tmp_path / "long.safetensors")
    np.testing.assert_array_equal(tokens.lattice, frames[[0, 1, 2, 0, 1, 2, 0]])
    np.testing.assert_array_equal(np.stack(list(stgraph.iter_frames(tmp_path / "long.safetensors"))), tokens.lattice)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_rows_of_a_stream() -> None:
    frames = features((3, 2, 4, 8), np.float16)
    rows = list(measure(1300, 8, 1, looped(1300, frames), "memory"))
    assert [row["frames"] for row in rows] == [600, 1200, 1300]
    assert [row["resident_mib"] for row in rows] == pytest.approx([resident_mib()] * 3, rel=0.5)
    assert all(row["slowest_push_ms"] > row["median_push_ms"] > 0 for row in rows)
    assert rows[-1]["kept"] == -(-1296 * 8 * 3 // 10)  # the parts decided so far: 8 frames, then 7 at a time


def test_agreement_is_whole_where_the_window_covers_the_clip() -> None:
    tokens = stgraph.VideoTokens.from_array(features((6, 3, 4, 8)))
    rows = list(agreement_rows(tokens, 0.3, (3, 6), (1, 4)))
    assert [(row["window"], row["overlap"]) for row in rows] == [(3, 1), (6, 1), (6, 4)]
    assert all(row["same_count"] for row in rows)
    assert rows[1]["jaccard"] == rows[2]["jaccard"] == 1.0
    assert 0 < rows[0]["jaccard"] < 1


def test_rows_of_a_batch_leave_out_what_differs(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from stgraph.bench.batch.job_select import SelectJob
    from stgraph.bench.batch.result_file import write_result

    make_dumps(tmp_path / "in", 2)
    task: Any = SelectJob(write=False)
    (tmp_path / "out" / "rows").mkdir(parents=True)
    for path in sorted((tmp_path / "in").iterdir()):
        made = [{"input": path.name, "attempts": 3, **row} for row in task.run(path, None)]
        write_result(tmp_path / "out" / "rows" / f"{path.stem}.parquet", task.columns, made, {})
    found = rows_of(tmp_path / "out")
    assert [row["input"] for row in found] == ["00000.safetensors", "00001.safetensors"]
    assert not {"attempts", "select_s"} & found[0].keys()
    assert found[0]["n_kept"] == 77
