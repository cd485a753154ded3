"""Writes ``tests/fuzz/corpus``: small valid files of each kind, and the files that once broke a reader.

``PYTHONPATH=tests python -m fuzz.make_corpus``; needs PyAV and PyArrow. What it writes is committed, so that the tests
replay the same bytes whatever encoder made them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from fuzz.mutate_dump import join
from fuzz.run import CORPUS

import stgraph
from stgraph.bench.tables.writing import write
from stgraph.grid import TokenGrid

ROWS = [
    {"name": "a", "count": 3, "share": 0.5, "on": True},
    {"name": 'é "q"', "count": None, "share": 1e-300, "on": False},
]
TASK = {"video": "a.mp4", "question": "What?", "options": ["red", "green"], "answer": "B", "id": 7, "family": "colour"}


def dumps(folder: Path) -> None:
    """Two valid dumps and a query file, and headers that got past the library's checks."""
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 2, 4, 2)
    signals: dict[str, Any] = {"frame_time": np.zeros(1), "own": np.array([[True], [False]])}
    stgraph.VideoTokens.from_array(x, signals=signals, metadata={"a": {"b": [1, 2.5, None]}}).save(
        folder / "dump/plain"
    )
    kind = np.array([0, 0, 1, 0, 0, 1, 2], np.uint8)
    newlines = np.ones((7, 3), ml_dtypes.bfloat16)
    stgraph.VideoTokens(newlines, TokenGrid(1, 2, 2, kind)).save(folder / "dump/newlines")
    stgraph.save_query(folder / "query/plain", {"importance": np.ones((1, 2, 2), np.float32)}, {"prompt": "?"})
    for name, tensors in {
        "empty_with_long_axis": b'"a":{"dtype":"F32","shape":[0,4611686018427387904],"data_offsets":[0,0]}',
        "empty_beyond_int64": b'"a":{"dtype":"F32","shape":[0,9223372036854775808],"data_offsets":[0,0]}',
        "too_many_axes": b'"a":{"dtype":"U8","shape":[' + b",".join([b"1"] * 65) + b'],"data_offsets":[0,1]}',
        "tensor_twice": b",".join([b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'] * 2),
    }.items():
        body = b"" if name.startswith("empty") else b"\0"
        text = b'{"__metadata__":{"stgraph":"query","schema_version":"1","metadata":"{}"},'
        (folder / "query" / name).write_bytes(join(text + tensors + b"}", body))
    (folder / "dump/length_bomb").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    text = {"stgraph": "tokens", "schema_version": "1", "metadata": '{"a":1,"a":2}'}
    (folder / "dump/metadata_twice").write_bytes(join({"__metadata__": text}, b""))


def results(folder: Path) -> None:
    """A partition on the lattice and one of named nodes; a selection, and one that merges."""
    tokens = stgraph.VideoTokens.from_array(np.eye(8, dtype=np.float32).reshape(2, 2, 2, 8) + 1)
    stgraph.detect_communities(stgraph.build_graph(tokens, 0.5)).save(folder / "partition/lattice")
    edges = stgraph.EdgeList.from_arrays(3, [0], [2], [0.5], names=["a", "b", "c"])
    stgraph.detect_communities(edges, "scipy-components").save(folder / "partition/names")
    for name, method in (("plain", "uniform"), ("merged", "sttm")):
        stgraph.selector(method, n_keep=3).select(tokens).save(folder / "selection" / name, tokens)


def videos(folder: Path) -> None:
    """Three frames in four containers, an AVI that claims 2^31 frames, and lists that name other files."""
    import av

    for suffix, codec in (("mp4", "mpeg4"), ("mkv", "mjpeg"), ("avi", "mpeg4"), ("gif", "gif")):
        path = folder / f"video/plain.{suffix}"
        options = {"fflags": "+bitexact"}
        with av.open(str(path), "w", options=options) as target:
            stream = target.add_stream(codec, rate=24)
            stream.width, stream.height = 32, 16
            stream.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
            for i in range(3):
                frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 80 * i, np.uint8), format="rgb24")
                frame.pts = i
                target.mux(stream.encode(frame))
            target.mux(stream.encode(None))
    lying = bytearray((folder / "video/plain.avi").read_bytes())
    for chunk, field in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        at = lying.index(chunk) + field
        lying[at : at + 4] = b"\xff\xff\xff\x7f"
    (folder / "video/two_billion_frames").write_bytes(lying)
    (folder / "video/empty").write_bytes(b"")
    (folder / "video/text").write_bytes(b"no video\n" * 20)
    (folder / "video/list_of_files").write_bytes(b"ffconcat version 1.0\nfile plain.mp4\n")
    (folder / "video/playlist").write_bytes(
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nplain.mp4\n#EXT-X-ENDLIST\n"
    )


def tables(folder: Path) -> None:
    """The same two rows in three formats, what each could not take, and a task of two questions."""
    for fmt in ("csv", "json", "jsonl", "parquet"):
        write(folder / fmt / "plain", {"rows": ROWS, **({"overlap": [{"a": 1}]} if fmt == "json" else {})}, fmt)
    for name, text in {
        "column_twice": "name,count,share,on,count\na,1,1,True,2\n",
        "row_cut_short": "name,count,share,on\na,1\n",
        "row_too_long": "name,count,share,on\na,1,1,True,2\n",
        "quote_left_open": 'name,count,share,on\n"a,1,1,True\n',
        "underscore_in_a_count": "name,count,share,on\na,1_0,1,True\n",
    }.items():
        (folder / "csv" / name).write_text(text)
    for name, text in {
        "deep": '{"name":' + "[" * 3000,
        "infinite_count": '{"name":"a","count":Infinity,"share":1,"on":true}',
        "huge_integer": '{"name":"a","count":1,"share":' + "9" * 3000 + ',"on":true}',
        "fraction_for_a_count": '{"name":"a","count":1.5,"share":1,"on":true}',
        "list_for_a_name": '{"name":[1],"count":1,"share":1,"on":true}',
        "key_twice": '{"name":"a","count":1,"count":2,"share":1,"on":true}',
        "switch_for_a_count": '{"name":"a","count":true,"share":1,"on":true}',
        "half_a_surrogate_pair": '{"name":"\\ud800","count":1,"share":1,"on":true}',
    }.items():
        (folder / "jsonl" / name).write_text(text + "\n")
    for name, text in {
        "deep": "[" * 3000,
        "huge_integer": '{"rows":[{"count":' + "9" * 300 + "}]}",
        "key_twice": '{"rows":[{"a":1,"a":2}]}',
        "list_for_a_value": '{"rows":[{"a":[1]}]}',
        "no_rows": '{"rows":[],"overlap":[{"a":1}]}',
        "rows_that_are_no_objects": '{"rows":[[1]]}',
        "table_twice": '{"rows":[{"a":1}],"rows":[{"a":2}]}',
    }.items():
        (folder / "json" / name).write_text(text)
    (folder / "task/a.mp4").write_bytes(b"")
    lines = [json.dumps(TASK), json.dumps({**TASK, "id": None, "answer": 0})]
    (folder / "task/plain").write_text("\n".join(lines))
    (folder / "task/deep").write_text(json.dumps(TASK)[:-1] + ',"answer":' + "[" * 900 + "]" * 900 + "}")


if __name__ == "__main__":
    for name in ("dump", "query", "partition", "selection", "video", "csv", "json", "jsonl", "parquet", "task"):
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
    dumps(CORPUS)
    results(CORPUS)
    videos(CORPUS)
    tables(CORPUS)
