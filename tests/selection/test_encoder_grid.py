"""Encoder signals on the lattice of the tokens, and the small kernels that compare them."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgraph import VideoTokens
from stgraph.errors import GridError, InputError
from stgraph.kernels.cpu.cosines import cosines
from stgraph.kernels.cpu.duplicates import remove_duplicates
from stgraph.selection.assignment import assignment
from stgraph.selection.signals.encoder_grid import on_lattice

Array = np.ndarray[Any, Any]

STRIDED = [((27, 27), (13, 13)), ((6, 8), (3, 4)), ((9, 5), (3, 1)), ((7, 7), (7, 7)), ((4, 9), (1, 2))]
LINEAR = [*STRIDED, ((27, 27), (14, 14)), ((5, 1), (3, 1)), ((1, 1), (1, 1)), ((3, 4), (7, 9))]


def on(shape: tuple[int, int], T: int = 2, **metadata: Any) -> VideoTokens:
    return VideoTokens.from_array(np.ones((T, *shape, 3), np.float32), metadata=metadata)


def values(shape: tuple[int, int], dtype: Any = np.float32, T: int = 2, c: int = 5) -> Array:
    return np.random.default_rng(0).standard_normal((T, shape[0] * shape[1], c)).astype(dtype)


def pooled_by_torch(x: Array, encoder: tuple[int, int], grid: tuple[int, int], pooling: str) -> Array:
    torch = pytest.importorskip("torch")
    maps = torch.from_numpy(x.astype(np.float32)).reshape(x.shape[0], *encoder, -1).permute(0, 3, 1, 2)
    if pooling == "bilinear":
        made = torch.nn.functional.interpolate(maps, grid, mode="bilinear", align_corners=False)
    else:
        mean = torch.nn.functional.avg_pool2d
        pool = {"average": mean, "pixel-shuffle": mean, "max": torch.nn.functional.max_pool2d}[pooling]
        made = pool(maps, encoder[0] // grid[0])
    flat: Array = made.flatten(2).transpose(1, 2).numpy()
    return flat


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16], ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize(
    ("pooling", "encoder", "grid"),
    [("bilinear", *case) for case in LINEAR]
    + [(pooling, *case) for pooling in ("average", "pixel-shuffle", "max") for case in STRIDED],
)
def test_pooling_is_torchs(pooling: str, encoder: tuple[int, int], grid: tuple[int, int], dtype: Any) -> None:
    x = values(encoder, dtype)
    found = on_lattice(on(grid, encoder_grid=list(encoder), pooling=pooling), x, "enc_features")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, pooled_by_torch(x, encoder, grid, pooling), atol=1e-5)


@pytest.mark.parametrize("pooling", ["average", "max", "bilinear"])
def test_one_value_a_patch_and_any_strides(pooling: str) -> None:
    tokens = on((3, 4), encoder_grid=[6, 8], pooling=pooling)
    x = values((6, 8))
    whole = on_lattice(tokens, x, "enc_features")
    np.testing.assert_array_equal(on_lattice(tokens, x[:, :, 2], "enc_recv_attn"), whole[:, :, 2])
    scattered = np.repeat(x, 2, axis=2)[:, :, ::2]
    np.testing.assert_array_equal(on_lattice(tokens, scattered, "enc_features"), whole)
    behind_cls = np.concatenate([x[:, :1], x], axis=1)[:, 1:]
    np.testing.assert_array_equal(on_lattice(tokens, behind_cls, "enc_features"), whole)


def test_values_on_the_same_grid_are_shown_not_copied() -> None:
    x = values((3, 4))
    shown = on_lattice(on((3, 4), pooling="bilinear"), x, "enc_features")
    assert np.shares_memory(shown, x)
    assert not shown.flags.writeable and x.flags.writeable
    np.testing.assert_array_equal(on_lattice(on((3, 4)), x.astype(np.float16), "a"), x.astype(np.float16))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, r"'x' has 48 values per frame, but the grid has 3 x 4 tokens.*they are None and None"),
        ({"encoder_grid": [6, 8]}, r"they are \[6, 8\] and None"),
        ({"encoder_grid": [6, 8], "pooling": "shuffle"}, "and 'shuffle'"),
        ({"encoder_grid": [7, 8], "pooling": "max"}, r"they are \[7, 8\] and 'max'"),
        ({"encoder_grid": [4, 12], "pooling": "average"}, "4 x 12 grid, which no stride pools to 3 x 4"),
        ({"encoder_grid": [2, 24], "pooling": "average"}, "2 x 24 grid, which no stride pools to 3 x 4"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(GridError, match=message):
        on_lattice(on((3, 4), **metadata), values((6, 8)), "x")


def test_newlines_have_no_encoder_value() -> None:
    with pytest.raises(GridError, match="no value for a newline: use newlines='out'"):
        on_lattice(on((3, 5)), values((3, 4)), "x")


@pytest.mark.parametrize("pooling", ["average", "max", "bilinear"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(pooling: str, bad: float) -> None:
    tokens = on((3, 4), encoder_grid=[6, 8], pooling=pooling)
    x = values((6, 8))
    x[1, 8 * 2 + 6 : 8 * 4 : 8] = x[1, 8 * 2 + 7 : 8 * 4 : 8] = bad  # what lies under row 1, column 3
    with pytest.raises(InputError, match=r"'x' holds NaN or Inf; the first bad token is 19 \(frame 1, patch 7\)"):
        on_lattice(tokens, x, "x")


# Kernels


def exact_cosines(x: Array) -> Array:
    wide = x.astype(np.float64)
    wide /= np.maximum(np.abs(wide).max(axis=1, keepdims=True), 1e-300)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    wide = np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0)
    return wide @ wide.T


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 13])
def test_cosines_of_any_scale(n: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.standard_normal((n, 33)).astype(np.float32)
    x *= np.float32(10.0) ** np.resize([0, -30, 25, -42, 36, 3], n)[:, None].astype(np.float32)
    x[n // 2 :: 4] = 0
    found = cosines(x, np.arange(n))
    np.testing.assert_allclose(found, exact_cosines(x), atol=1e-6 if n < 4 else 0.05)  # 1e-42 has few digits left
    np.testing.assert_array_equal(found, found.T)


def test_cosines_between_lists_of_rows() -> None:
    x = np.random.default_rng(3).standard_normal((21, 40)).astype(np.float32)
    rows, columns = np.array([3, 20, 0, 7, 7]), np.array([1, 3, 19])
    whole = cosines(x, np.arange(21))
    np.testing.assert_array_equal(cosines(x, rows, columns), whole[np.ix_(rows, columns)])
    np.testing.assert_array_equal(cosines(np.asfortranarray(x), rows), whole[np.ix_(rows, rows)])
    assert cosines(x, rows[:0], columns).shape == (0, 3)
    assert cosines(x, rows, columns[:0]).shape == (5, 0)


def test_equal_rows_have_equal_cosines() -> None:
    x = np.random.default_rng(4).standard_normal((3, 57)).astype(np.float32)
    kinds = np.arange(19) % 3
    found = cosines(x[kinds], np.arange(19))
    np.testing.assert_array_equal(found, found[np.ix_(kinds, kinds)])


def plainly(cosine: Array, tokens: Array, n_left: int, per_round: int) -> list[int]:
    """Removal of duplicates restated with lists."""
    items = list(range(tokens.size))
    while len(items) > n_left:
        even, odd = items[::2], items[1::2]
        score = {i: max(cosine[i, j] for j in odd) for i in even}
        n_drop = min(per_round, len(items) - n_left)
        dropped = sorted(even, key=lambda i: (-score[i], -tokens[i]))[:n_drop]
        items = sorted(set(even) - set(dropped), key=lambda i: (-score[i], tokens[i])) + odd
    return items


@settings(deadline=None, max_examples=150)
@given(
    n=st.integers(1, 30),
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([1, 2, 5, 1000]),
    per_round=st.sampled_from([1, 3, 8, 100]),
    share=st.floats(0, 1),
)
def test_duplicates_are_removed_as_stated(n: int, seed: int, levels: int, per_round: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    cosine = (rng.integers(-levels, levels + 1, (n, n)) / levels).astype(np.float32)
    cosine = np.maximum(cosine, cosine.T)
    tokens = rng.permutation(2 * n)[:n]
    n_left = 1 + int(share * (n - 1))
    left, rounds = remove_duplicates(cosine, tokens, n_left, per_round)
    assert left.tolist() == plainly(cosine, tokens, n_left, per_round)
    assert (rounds == 0) == (n == n_left)


def test_an_assignment_does_not_depend_on_the_order_of_its_triples() -> None:
    rng = np.random.default_rng(0)
    nodes = np.array([2, 5, 11])
    cells = rng.permutation(36)[:20]
    kept, members, weights = nodes[cells // 12], cells % 12, rng.random(20)
    order = rng.permutation(20)
    one = assignment(nodes, kept, members, weights, 12)
    other = assignment(nodes, kept[order], members[order], weights[order], 12)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    expected = np.zeros((3, 12))
    expected[cells // 12, members] = weights
    np.testing.assert_array_equal(one.toarray(), expected)
