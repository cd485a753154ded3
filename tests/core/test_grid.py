"""The lattice and the kinds of tokens around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feature_zoo import GRIDS, KINDS

from stgraph import TokenGrid
from stgraph.errors import GridError
from stgraph.grid import PATCH

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize("shape", GRIDS, ids=str)
def test_nodes_and_positions_are_inverse(shape: tuple[int, ...]) -> None:
    grid = TokenGrid(*shape[:3])
    nodes = [grid.node(*place) for place in np.ndindex(grid.shape)]
    assert nodes == list(range(grid.n_nodes))
    assert [grid.position(node) for node in nodes] == list(np.ndindex(grid.shape))


@pytest.mark.parametrize("place", [(2, 0, 0), (0, 3, 0), (0, 0, 4), (-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_positions_outside_are_refused(place: tuple[int, int, int]) -> None:
    t, y, x = place
    with pytest.raises(GridError, match=rf"\(t={t}, y={y}, x={x}\) lies outside grid 2x3x4"):
        TokenGrid(2, 3, 4).node(*place)


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1, 1), (3, 1, 2)], ids=str)
@pytest.mark.parametrize("kinds", KINDS, ids=lambda k: k.__name__)
def test_coordinates_tell_the_whole_grid(kinds: Any, shape: tuple[int, int, int]) -> None:
    kind = kinds(*shape)
    grid = TokenGrid(*shape, kind)
    t, y, x = grid.coordinates()
    patches = kind == PATCH
    assert list(zip(t[patches], y[patches], x[patches], strict=True)) == list(np.ndindex(shape))
    assert all(set(axis[~patches]) == {-1} for axis in (t, y, x))
    np.testing.assert_array_equal(grid.rows, np.flatnonzero(patches))
    assert (grid.n_nodes, grid.n_tokens) == (np.prod(shape), kind.size)

    again = TokenGrid.from_coordinates(t, y, x, kind)
    assert again == grid
    np.testing.assert_array_equal(again.kind, kind)
    assert TokenGrid.from_coordinates(t, y, x) == grid  # without kinds, -1 marks what is no patch


def test_grid_of_patches_alone() -> None:
    grid = TokenGrid(2, 3, 4)
    assert grid.kind is None
    assert grid == TokenGrid(2, 3, 4, np.zeros(24, np.uint8)) == TokenGrid.from_coordinates(*grid.coordinates())
    assert (str(grid), grid.shape, grid.n_nodes, grid.n_tokens) == ("2x3x4", (2, 3, 4), 24, 24)
    np.testing.assert_array_equal(grid.rows, np.arange(24))


def test_grids_differ_in_shape_or_in_where_patches_stand() -> None:
    grids = [TokenGrid(2, 3, 4), TokenGrid(3, 2, 4), *(TokenGrid(2, 3, 4, kinds(2, 3, 4)) for kinds in KINDS)]
    for i, a in enumerate(grids):
        assert [a == b for b in grids] == [i == j for j in range(len(grids))]
    assert TokenGrid(2, 3, 4) != "2x3x4"


def test_axes_may_be_integers_of_numpy() -> None:
    grid = TokenGrid(np.int64(2), np.int32(3), np.uint8(4))  # type: ignore[arg-type]
    assert grid == TokenGrid(2, 3, 4)
    assert type(grid.W) is int


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, "3", None])
@pytest.mark.parametrize("axis", ["T", "H", "W"])
def test_bad_axes_are_named(axis: str, bad: Any) -> None:
    with pytest.raises(GridError, match=f"grid axis {axis} is {bad!r}; it must be an integer of at least 1"):
        TokenGrid(**({"T": 2, "H": 3, "W": 4} | {axis: bad}))


def test_more_nodes_than_fit_32_bits_are_refused() -> None:
    TokenGrid(1, 1, 2**31 - 1)
    with pytest.raises(GridError, match=r"2,147,483,648 nodes; at most 2,147,483,647"):
        TokenGrid(2**11, 2**10, 2**10)


@pytest.mark.parametrize(
    "kind", [np.zeros(23, int), np.zeros(25, int), np.ones(24, int), np.zeros(0, int)], ids=np.shape
)
def test_kinds_must_mark_every_patch(kind: Array) -> None:
    with pytest.raises(GridError, match=r"token kinds mark .* patches, but grid 2x3x4 has 24"):
        TokenGrid(2, 3, 4, kind.astype(np.uint8))


T, Y, X = (axis.tolist() for axis in TokenGrid(2, 1, 2).coordinates())


@pytest.mark.parametrize(
    ("t", "y", "x", "kind", "message"),
    [
        (T, Y, X[:3], None, "coordinates have 4, 4, 3 entries with 4 patches; expected equal lengths"),
        (T, Y, X, [0, 0, 0], "expected equal lengths"),
        ([], [], [], None, "0, 0, 0 entries with 0 patches; .* at least one patch"),
        ([-1] * 4, Y, X, None, "with 0 patches; .* at least one patch"),
        (T, Y, X, [1] * 4, "with 0 patches; .* at least one patch"),
        (T[::-1], Y, X[::-1], None, "4 patch coordinates are not the complete 2x1x2 lattice in raster order"),
        (T, Y, [0, 0, 0, 1], None, "not the complete 2x1x2 lattice"),
        (T[:3], Y[:3], X[:3], None, "3 patch coordinates are not the complete 2x1x2 lattice"),
        (T, Y, [0, 1, 0, 2], None, "not the complete 2x1x3 lattice"),
        (T, Y, X, [0, 0, 0, 1], "3 patch coordinates are not the complete"),
    ],
)
def test_bad_coordinates_are_refused(t: Any, y: Any, x: Any, kind: Any, message: str) -> None:
    with pytest.raises(GridError, match=message):
        TokenGrid.from_coordinates(t, y, x, kind)


def test_equal_grids_are_one_key() -> None:
    newline = np.array([0, 0, 1], np.uint8)
    grids = [
        TokenGrid(2, 3, 4),
        TokenGrid(np.int64(2), 3, 4),
        TokenGrid(1, 1, 2, newline),
        TokenGrid(1, 1, 2, newline.copy()),
    ]
    grids += [TokenGrid(1, 1, 2), TokenGrid(1, 1, 2, np.array([0, 1, 0], np.uint8))]
    assert hash(grids[2]) == hash(grids[3])
    assert len(set(grids)) == 4
