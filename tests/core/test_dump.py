"""Token dumps: what is written is what is read, lazily, and the files of schema 1 stay readable."""

from __future__ import annotations

import json
import math
import mmap
import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import oracles
import pytest
from feature_zoo import DTYPES, KINDS, ROW_LAYOUTS, SCATTERED_LAYOUTS, features

import stgraph
from stgraph import TokenGrid, VideoTokens, build_graph, load, sample, save_query
from stgraph.errors import InputError
from stgraph.signals import SIGNALS

Array = np.ndarray[Any, Any]
GOLDEN = Path(__file__).parents[1] / "data" / "golden_v1.safetensors"
T, H, W, D = 2, 3, 4, 5


def same(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def signal_array(name: str, dtype: str, n: int = T * H * W) -> Array:
    """Values of the right shape: the grid's sizes, and 7 for every other symbol."""
    sizes = {"T": T, "H": H, "W": W, "n": n, "d": D}
    shape = tuple(s if isinstance(s, int) else sizes.get(s, 7) for s in SIGNALS[name].shape)
    values = np.arange(1, 1 + math.prod(shape)).reshape(shape) % 120
    return values.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def round_trip(tokens: VideoTokens, path: Path) -> VideoTokens:
    tokens.save(path)
    return load(path)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_features_keep_every_bit(tmp_path: Path, dtype: Any) -> None:
    x = features((T, H, W, D), dtype)
    x[0, 0, 0] = [np.nan, np.inf, -np.inf, -0.0, 0.0]
    tokens = round_trip(VideoTokens.from_array(x), tmp_path / "a.safetensors")
    assert same(tokens.lattice, x)
    assert tokens.dtype == str(np.dtype(dtype))


@pytest.mark.parametrize("layout", [*ROW_LAYOUTS, *SCATTERED_LAYOUTS])
def test_features_of_any_layout(tmp_path: Path, layout: str) -> None:
    x = (ROW_LAYOUTS | SCATTERED_LAYOUTS)[layout](features((T, H, W, D)))
    assert same(round_trip(VideoTokens.from_array(x), tmp_path / "a").lattice, x)


@pytest.mark.parametrize(("name", "dtype"), [(name, dtype) for name in SIGNALS for dtype in SIGNALS[name].dtypes])
def test_every_signal(tmp_path: Path, name: str, dtype: str) -> None:
    value = signal_array(name, dtype)
    tokens = VideoTokens.from_array(features((T, H, W, D)), signals={name: value})
    assert same(round_trip(tokens, tmp_path / "a").signal(name), value)


def test_all_signals_together(tmp_path: Path) -> None:
    signals = {name: signal_array(name, SIGNALS[name].dtypes[0]) for name in SIGNALS}
    signals["my own"] = np.array([[True], [False]])
    signals["nothing"] = np.empty((0, 4), np.float32)
    again = round_trip(VideoTokens.from_array(features((T, H, W, D)), signals=signals), tmp_path / "a")
    assert set(again.signals) == set(signals)
    assert all(same(again.signal(name), value) for name, value in signals.items())


@pytest.mark.parametrize("kinds", KINDS, ids=lambda k: k.__name__)
def test_grids_with_other_tokens(tmp_path: Path, kinds: Any) -> None:
    kind = kinds(T, H, W)
    tokens = VideoTokens(features((kind.size, D)), TokenGrid(T, H, W, kind))
    again = round_trip(tokens, tmp_path / "a")
    assert again.grid == tokens.grid
    np.testing.assert_array_equal(again.grid.kind, kind)
    assert same(again.features, tokens.features)
    assert same(again.lattice, tokens.lattice)


def test_metadata(tmp_path: Path) -> None:
    metadata = {
        "source": 'Große Häsin, 大兔子 🐇, "quoted"\n\u2028 \x00',
        "frames": [1, 2.5, None, True],
        "ключ": {"nested": []},
    }
    again = round_trip(VideoTokens.from_array(features((T, H, W, D)), metadata=metadata), tmp_path / "a")
    assert again.metadata == metadata | {"producer": f"stgraph {stgraph.__version__}"}


def test_saving_again_what_was_loaded(tmp_path: Path) -> None:
    tokens = VideoTokens.from_array(features((T, H, W, D)), importance=np.ones(T * H * W), metadata={"fps": 2})
    first = round_trip(tokens, tmp_path / "a")
    first.save(tmp_path / "a")  # over the file that is still mapped
    again = load(tmp_path / "a")
    assert same(again.lattice, tokens.lattice)
    assert again.metadata == first.metadata
    assert set(again.signals) == set(first.signals)


# Query files


def test_query_signals_join_and_take_precedence(tmp_path: Path) -> None:
    frame_time = signal_array("frame_time", "float64")
    tokens = VideoTokens.from_array(
        features((T, H, W, D)), importance=np.zeros(T * H * W), signals={"frame_time": frame_time}
    )
    tokens.save(tmp_path / "video")
    attention = {name: signal_array(name, "float32") for name in ("importance", "llm_q_last")}
    save_query(tmp_path / "query", attention, {"prompt": "¿qué?"})
    again = load(tmp_path / "video", query=tmp_path / "query")
    assert same(again.lattice, tokens.lattice)
    assert set(again.signals) == {"frame_time", "importance", "llm_q_last", "seq_index"}
    assert same(again.signal("importance"), attention["importance"])
    assert same(again.signal("llm_q_last"), attention["llm_q_last"])
    assert same(again.signal("frame_time"), frame_time)
    assert same(load(tmp_path / "video").signal("importance"), np.zeros((T, H, W), np.float32))


def test_query_of_another_video_is_refused(tmp_path: Path) -> None:
    VideoTokens.from_array(features((T, H, W, D))).save(tmp_path / "video")
    save_query(tmp_path / "query", {"importance": np.zeros((T, H, W + 1), np.float32)})
    with pytest.raises(InputError, match=r"'importance' has shape \[2, 3, 5\]; expected \[T, H, W\] with W = 4"):
        load(tmp_path / "video", query=tmp_path / "query")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"source": "b.mp4", "source_digest": "2"}, r"was made of another video, b\.mp4, and does not belong to"),
        ({"settings": {"frames": None, "fps": 2.0}}, r"was made of other frames \(frames None, the dump with 64\)"),
        ({"settings": {"frames": 64, "fps": 2.0}}, r"was made of other frames \(fps 2\.0, the dump with None\)"),
        ({"settings": {"frames": 64, "fps": None, "prompt": "what?"}}, None),
        ({"settings": "unknown"}, None),
    ],
)
def test_query_of_other_frames_is_refused_though_it_fits(
    tmp_path: Path, other: dict[str, Any], message: str | None
) -> None:
    """Files of a folder that were mixed up, or a query file left over from a dump that was made again."""
    own = {"source": "a.mp4", "source_digest": "1", "settings": {"frames": 64, "fps": None}}
    tokens = VideoTokens.from_array(features((T, H, W, D)), metadata=own)
    tokens.save(tmp_path / "video")
    save_query(tmp_path / "query", {"importance": np.ones((T, H, W), np.float32)}, {**own, **other})
    if message is None:
        assert load(tmp_path / "video", query=tmp_path / "query").signal("importance").all()
        return
    with pytest.raises(InputError, match=message):
        load(tmp_path / "video", query=tmp_path / "query")


# Lazy reading


def is_mapped(array: Any) -> bool:
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    return array is not None


def test_features_and_signals_are_mapped_and_read_only(tmp_path: Path) -> None:
    tokens = round_trip(VideoTokens.from_array(features((T, H, W, D)), importance=np.ones(24)), tmp_path / "a")
    for array in (tokens.features, tokens.lattice, tokens.signal("importance")):
        assert is_mapped(array)
        assert not array.flags.writeable


def test_opening_four_gigabytes_reads_next_to_nothing(tmp_path: Path) -> None:
    grid, d = TokenGrid(4, 64, 64), 2**16
    t, y, x = (axis.astype("<i4") for axis in grid.coordinates())
    small = {"token_t": t, "token_y": y, "token_x": x, "token_kind": np.zeros(grid.n_nodes, np.uint8)}
    position = grid.n_nodes * d * 4
    header: dict[str, Any] = {
        "__metadata__": {"stgraph": "tokens", "schema_version": "1"},
        "features": {"dtype": "F32", "shape": [grid.n_nodes, d], "data_offsets": [0, position]},
    }
    for name, array in small.items():
        span = [position, position + array.nbytes]
        header[name] = {"dtype": "U8" if array.itemsize == 1 else "I32", "shape": [array.size], "data_offsets": span}
        position = span[1]
    text = json.dumps(header).encode()
    with (tmp_path / "big").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.seek(2**32, 1)  # a hole: no space on disk
        for array in small.values():
            file.write(array.tobytes())
    assert (tmp_path / "big").stat().st_size > 2**32
    tracemalloc.start()
    try:
        tokens = load(tmp_path / "big")
        assert tokens.lattice[3, 63, 63, -1] == 0
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()
    assert tokens.features.nbytes == 2**32


# Files that must stay readable


def test_golden_file_of_schema_1() -> None:
    """Written once, never regenerated: 2 frames of 2 x 3 bfloat16 tokens, a newline after each row."""
    tokens = load(GOLDEN)
    assert (tokens.grid.shape, tokens.dtype, tokens.dimension) == ((2, 2, 3), "bfloat16", 2)
    np.testing.assert_array_equal(tokens.grid.kind, [0, 0, 0, 1] * 4)
    np.testing.assert_array_equal(tokens.lattice[..., 0].astype(float), np.arange(12).reshape(2, 2, 3))
    np.testing.assert_array_equal(tokens.lattice[..., 1].astype(float), np.full((2, 2, 3), -0.5))
    np.testing.assert_array_equal(tokens.features[3].astype(float), [100, 100])
    assert same(tokens.signal("frame_time"), np.array([0.25, 1.25]))
    assert same(tokens.signal("importance"), np.linspace(0, 1, 12, dtype=np.float32).reshape(2, 2, 3))
    assert same(tokens.signal("seq_index"), np.arange(16, dtype=np.int32))
    assert tokens.metadata == {"model": "none", "producer": "stgraph 0.1.0", "source": "Größe 大"}


def test_sample_is_the_clip_its_notice_describes() -> None:
    tokens = sample()
    assert (tokens.grid.shape, tokens.grid.n_tokens, tokens.dimension, tokens.dtype) == (
        (40, 16, 16),
        10_240,
        384,
        "float16",
    )
    assert "Blender Foundation" in tokens.metadata["copyright"]
    assert tokens.metadata["licence"].startswith("CC BY 3.0")
    assert tokens.signal("frame_time").shape == (40,)
    assert tokens.signal("shot_cuts_s").shape == (8,)


def test_sample_has_forty_thumbnails() -> None:
    tokens = sample()
    ends = np.cumsum(tokens.signal("frame_jpeg_len"))
    assert ends.size == 40
    assert ends[-1] == tokens.signal("frame_jpeg").size
    for picture in np.split(tokens.signal("frame_jpeg"), ends[:-1]):
        assert picture[:2].tobytes() == b"\xff\xd8"  # JPEG: start of image
        assert picture[-2:].tobytes() == b"\xff\xd9"  # end of image


def test_sample_has_the_known_figures() -> None:
    graph = build_graph(sample(), 0.8)
    labels = oracles.components(graph.n_nodes, zip(graph.edges.src, graph.edges.dst, strict=True))
    sizes = np.bincount(labels)
    assert sizes.size == 1337
    assert np.count_nonzero(sizes > 101) == 18
    assert round(100 * sizes.max() / sizes.sum(), 1) == 14.8
    right, bottom, temporal = (f for f in graph.summary().families)
    assert round(100 * (right.n_above + bottom.n_above) / (right.n_lattice + bottom.n_lattice)) == 53
    assert round(100 * temporal.above_ratio) == 60
    assert round(100 * np.mean(graph.temporal_similarity < 0.2), 1) == 6.1
