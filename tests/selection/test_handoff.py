"""From a selection to other libraries: DLPack, gathered rows, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from selection_oracles import features

import stgraph
from stgraph import Selection, TokenGrid, VideoTokens, container, selector
from stgraph.errors import DumpFormatError, InputError

SHAPE = (3, 4, 5, 6)


@pytest.fixture
def x() -> np.ndarray[Any, Any]:
    return features(11, SHAPE)


@pytest.fixture(params=[1, 17, 60], ids=lambda n: f"{n} kept")
def kept(request: pytest.FixtureRequest, x: np.ndarray[Any, Any]) -> Selection:
    return selector("st-simdiff", n_keep=request.param).select(VideoTokens.from_array(x))


@pytest.fixture
def lined() -> tuple[VideoTokens, Selection]:
    """Tokens with a newline after every row, and a selection of them."""
    kind = np.zeros((3, 4, 6), np.uint8)
    kind[:, :, 5] = 1
    rows = features(12, (3, 4, 6, 6)).reshape(-1, 6)
    tokens = VideoTokens(rows, TokenGrid(3, 4, 5, kind.ravel()), metadata={"model": "none"})
    return tokens, selector("st-simdiff", retain_ratio=0.4).select(tokens)


def test_numpy_reads_the_indices(kept: Selection) -> None:
    taken = np.from_dlpack(kept)
    assert taken.dtype == np.int64
    np.testing.assert_array_equal(taken, kept.indices)
    for copy in (None, True):
        assert not np.shares_memory(np.from_dlpack(kept, copy=copy), kept.indices)
    with pytest.raises(BufferError, match=r"hands out a copy of its indices; .* pass kept.indices"):
        np.from_dlpack(kept, copy=False)


def test_torch_reads_the_indices(kept: Selection) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    rows = torch.from_dlpack(kept)
    assert rows.dtype == torch.int64
    assert rows.tolist() == kept.indices.tolist()
    assert (rows.ndim, rows.is_contiguous(), rows.device.type) == (1, True, "cpu")
    assert rows.data_ptr() != kept.indices.ctypes.data


def test_the_array_api_reads_the_indices(kept: Selection) -> None:
    strict = pytest.importorskip("array_api_strict")
    rows = strict.from_dlpack(kept)
    assert rows.dtype == strict.int64
    np.testing.assert_array_equal(np.from_dlpack(rows), kept.indices)


def test_the_device_is_that_of_the_indices(kept: Selection) -> None:
    assert kept.__dlpack_device__() == np.zeros(1).__dlpack_device__()


def test_the_hand_off_outlives_the_selection(x: np.ndarray[Any, Any]) -> None:
    kept = selector("st-simdiff", n_keep=9).select(VideoTokens.from_array(x))
    expected = kept.indices.tolist()
    taken = np.from_dlpack(kept)
    del kept
    assert taken.tolist() == expected


def test_a_consumer_that_writes_changes_nothing(x: np.ndarray[Any, Any]) -> None:
    tokens = VideoTokens.from_array(x.copy())
    kept = selector("st-simdiff", n_keep=9).select(tokens)
    expected, mask = kept.indices.tolist(), kept.mask
    for module in (np, pytest.importorskip("torch", reason="needs torch")):
        taken = module.from_dlpack(kept)
        taken[:] = 0
        assert module.from_dlpack(kept).tolist() == expected
    assert kept.indices.tolist() == expected
    np.testing.assert_array_equal(kept.mask, mask)
    np.testing.assert_array_equal(tokens.features, x)


@pytest.mark.parametrize("flat", [False, True], ids=["4-D", "2-D"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.int64])
def test_gather_from_numpy(kept: Selection, x: np.ndarray[Any, Any], dtype: Any, flat: bool) -> None:
    rows = x.astype(dtype).reshape(-1, 6)
    gathered = kept.gather(rows if flat else rows.reshape(SHAPE))
    assert gathered.dtype == dtype
    assert gathered.tobytes() == np.stack([rows[i] for i in kept.indices]).tobytes()
    assert not np.shares_memory(gathered, rows)


@pytest.mark.parametrize("flat", [False, True], ids=["4-D", "2-D"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_gather_from_torch(kept: Selection, x: np.ndarray[Any, Any], dtype: str, flat: bool) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    rows = torch.from_numpy(x).to(getattr(torch, dtype)).reshape(-1, 6)
    gathered = kept.gather(rows if flat else rows.reshape(SHAPE))
    expected = rows[torch.from_dlpack(kept)]
    assert isinstance(gathered, torch.Tensor)
    assert gathered.dtype == rows.dtype
    bits = torch.int32 if dtype == "float32" else torch.int16
    assert torch.equal(gathered.view(bits), expected.view(bits))


def test_gather_lets_gradients_through(kept: Selection, x: np.ndarray[Any, Any]) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    rows = torch.from_numpy(x).requires_grad_()
    kept.gather(rows).sum().backward()
    np.testing.assert_array_equal(rows.grad[..., 0].numpy() == 1, kept.mask)


def test_gather_strided(kept: Selection, x: np.ndarray[Any, Any]) -> None:
    wide = np.repeat(x, 2, axis=-1)[..., ::2]
    assert not wide.flags.c_contiguous
    np.testing.assert_array_equal(kept.gather(wide), kept.gather(x))


@pytest.mark.parametrize("shape", [(59, 6), (61, 6), (3, 4, 6, 6), (60,), (1, 60, 6)])
def test_gather_from_other_features(kept: Selection, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        InputError, match=r"features have shape \(.*\); expected one row for each of the 60 input tokens"
    ):
        kept.gather(np.zeros(shape, np.float32))


def test_gather_from_any_other_library_gives_numpy(kept: Selection, x: np.ndarray[Any, Any]) -> None:
    strict = pytest.importorskip("array_api_strict")
    np.testing.assert_array_equal(kept.gather(strict.asarray(x)), kept.gather(x))
    np.testing.assert_array_equal(kept.gather(x.tolist()), kept.gather(x))
    with pytest.raises(InputError, match="features is str"):
        kept.gather("x")


def test_gather_where_rows_are_no_nodes(lined: tuple[VideoTokens, Selection]) -> None:
    tokens, kept = lined
    np.testing.assert_array_equal(kept.gather(tokens.features), tokens.lattice.reshape(-1, 6)[kept.nodes])
    with pytest.raises(InputError, match="expected one row for each of the 72 input tokens"):
        kept.gather(tokens.lattice)


def test_mask_marks_the_kept_positions(kept: Selection, x: np.ndarray[Any, Any]) -> None:
    assert kept.mask.shape == SHAPE[:3]
    assert kept.mask.dtype == np.bool_
    np.testing.assert_array_equal(x[kept.mask], kept.gather(x))
    assert np.flatnonzero(kept.mask).tolist() == kept.nodes.tolist()


def test_repr_counts_the_reasons(kept: Selection) -> None:
    assert repr(kept).startswith(f"Selection({len(kept)} of 60 tokens: ")
    for name, count in kept.reasons().items():
        assert (f"{count} {name}" in repr(kept)) == (count > 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_a_saved_selection_reads_back(tmp_path: Path, x: np.ndarray[Any, Any], dtype: Any) -> None:
    tokens = VideoTokens.from_array(x.astype(dtype), metadata={"model": "none", "frames": [0, 5, 9]})
    kept = selector("st-simdiff", retain_ratio=0.3, tau_diff="p80").select(tokens)
    path = tmp_path / "kept.safetensors"
    kept.save(path, tokens)
    tensors, metadata = container.read(path, "selection")
    assert tensors["features"].dtype == dtype
    np.testing.assert_array_equal(tensors["features"], kept.gather(tokens.features))
    for name in ("indices", "reason", "scores"):
        assert tensors[name].dtype == getattr(kept, name).dtype
        np.testing.assert_array_equal(tensors[name], getattr(kept, name))
    positions = [tokens.grid.position(node) for node in kept.nodes.tolist()]
    assert list(zip(*(tensors[f"token_{axis}"].tolist() for axis in "tyx"), strict=True)) == positions
    assert metadata["grid"] == [3, 4, 5]
    assert metadata["n_tokens"] == 60
    assert metadata["report"] == dict(kept.report)
    assert metadata["provenance"]["tau_diff"] == "p80"
    assert metadata["provenance"]["community"]["backend"] == "lattice-components"
    assert metadata["source"] == {"model": "none", "frames": [0, 5, 9]}
    with pytest.raises(DumpFormatError, match="is a dump of kind 'selection'; expected 'tokens'"):
        stgraph.load(path)


def test_a_saved_selection_keeps_rows_and_positions_apart(tmp_path: Path, lined: tuple[VideoTokens, Selection]) -> None:
    tokens, kept = lined
    kept.save(tmp_path / "kept.safetensors", tokens)
    tensors, metadata = container.read(tmp_path / "kept.safetensors", "selection")
    assert metadata["n_tokens"] == 72
    assert tensors["indices"].tolist() == kept.indices.tolist() != kept.nodes.tolist()
    node = (tensors["token_t"] * 4 + tensors["token_y"]) * 5 + tensors["token_x"]
    assert node.tolist() == kept.nodes.tolist()
    np.testing.assert_array_equal(tensors["features"], tokens.features[kept.indices])
