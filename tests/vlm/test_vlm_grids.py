"""Which tokens of a prompt are which video; needs no model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stgraph.errors import GridError, InputError
from stgraph.grid import NEWLINE, OTHER, PATCH, SEPARATOR, TokenGrid
from stgraph.vlm.encoded_grids import merged_grids
from stgraph.vlm.families import FAMILIES, Parts, parts_of
from stgraph.vlm.grids import find_videos, newline_grid

VIDEO = 9


def parts(family: str, has_grids: bool = False, **config: Any) -> Parts:
    """The parts of a model that is nothing but its configuration."""
    vision = SimpleNamespace(image_size=config.pop("image_size", 48), patch_size=8)
    token = {f"{FAMILIES[family].token}_token_id": VIDEO}
    text = SimpleNamespace(layers=[])
    model = SimpleNamespace(
        config=SimpleNamespace(model_type=family, vision_config=vision, **token, **config),
        model=SimpleNamespace(language_model=text),
        generate=None,
    )
    return parts_of(model, has_grids)


def prompt(*runs: int) -> np.ndarray[Any, Any]:
    """One row: runs of placeholders with two text tokens before each, and one at the end."""
    return np.array([[token for run in runs for token in [1, 2, *[VIDEO] * run]] + [3]])


def spans(ids: Any, *args: Any) -> list[tuple[int, int, str]]:
    return [(video.start, video.stop, str(video.grid)) for video in find_videos(ids, *args)]


def test_layouts_of_newlines() -> None:
    assert newline_grid(2, 2, 2, "none").kind is None
    assert newline_grid(2, 1, 2, "video").kind.tolist() == [PATCH] * 4 + [NEWLINE]  # type: ignore[union-attr]
    assert newline_grid(2, 1, 2, "frame").kind.tolist() == [PATCH, PATCH, SEPARATOR] * 2  # type: ignore[union-attr]
    assert newline_grid(1, 2, 2, "row").kind.tolist() == [PATCH, PATCH, NEWLINE] * 2  # type: ignore[union-attr]
    with pytest.raises(InputError, match="one of none, video, frame, row, cls"):
        newline_grid(1, 1, 1, "page")


def test_the_papers_model_has_14_by_15_tokens_a_frame() -> None:
    """LLaVA-Video's configuration says "grid"; 384 pixels and patches of 14 give 27 x 27, pooled to 14 x 14."""
    llava_video = parts("llava_onevision", mm_newline_position="grid", image_size=27 * 8)
    (video,) = find_videos(prompt(64 * 210), llava_video, None, None)
    assert video.grid.shape == (64, 14, 14)
    assert video.grid.with_newline_column().shape == (64, 14, 15)
    assert not video.stays.any()  # newlines belong to their rows


@pytest.mark.parametrize(
    ("position", "tokens", "kept"), [(None, 37, 1), ("one_token", 37, 1), ("no_token", 36, 0), ("frame", 40, 4)]
)
def test_newlines_of_the_configuration(position: str | None, tokens: int, kept: int) -> None:
    config = {} if position is None else {"mm_newline_position": position}
    (video,) = find_videos(prompt(tokens), parts("llava_onevision", **config), None, None)
    assert video.grid.shape == (4, 3, 3)
    assert int(video.stays.sum()) == kept


def test_unknown_newlines_are_named() -> None:
    with pytest.raises(InputError, match="mm_newline_position is 'diagonal'; known are grid, frame"):
        parts("llava_onevision", mm_newline_position="diagonal")


def test_runs_are_videos_where_a_token_stands_between_them() -> None:
    onevision = parts("llava_onevision")
    assert spans(prompt(10, 19), onevision, None, None) == [(2, 12, "1x3x3"), (14, 33, "2x3x3")]
    assert spans(prompt(38), onevision, None, None) == [(2, 21, "2x3x3"), (21, 40, "2x3x3")]  # two final newlines
    next_video = parts("llava_next_video", spatial_pool_stride=2)
    assert spans(prompt(9, 18), next_video, None, None) == [(2, 11, "1x3x3"), (13, 31, "2x3x3")]


def test_frames_with_text_between_them_are_one_video() -> None:
    internvl = parts("internvl", downsample_ratio=0.5)
    (video,) = find_videos(prompt(9, 9, 9), internvl, None, None)
    assert (video.start, video.stop, video.grid.shape) == (2, 33, (3, 3, 3))
    assert video.grid.kind is not None
    assert np.flatnonzero(video.grid.kind == OTHER).tolist() == [9, 10, 20, 21] == np.flatnonzero(video.stays).tolist()
    assert spans(prompt(9, 9, 9), internvl, None, [[9, (2, 3, 3)]]) == [(13, 33, "2x3x3")]  # the first is an image


def test_grids_of_the_vision_tower_are_split_over_rows_and_copies() -> None:
    qwen, grids = parts("qwen2_vl"), [TokenGrid(2, 1, 3), TokenGrid(1, 2, 2), TokenGrid(1, 1, 10)]
    ids = np.concatenate([prompt(6, 4)] * 2)
    found = find_videos(ids, qwen, grids[:2], None)
    assert [(video.row, video.index, video.grid.shape) for video in found] == [
        (0, 0, (2, 1, 3)),
        (0, 1, (1, 2, 2)),
        (1, 0, (2, 1, 3)),
        (1, 1, (1, 2, 2)),
    ]
    assert spans(np.concatenate([prompt(6, 4), prompt(5, 5)]), qwen, [*grids[:2], *[TokenGrid(1, 1, 5)] * 2], None)
    with pytest.raises(GridError, match="tower's grids have 20"):
        find_videos(ids[:1], qwen, grids, None)
    with pytest.raises(GridError, match="vision tower of 'qwen2_vl' was not run"):
        find_videos(ids, qwen, None, None)


@pytest.mark.parametrize("tokens", [36, 8, 45])
def test_a_run_that_is_no_whole_frames(tokens: int) -> None:
    with pytest.raises(GridError, match=f"row 0 of the batch has {tokens} video placeholder tokens.*pass grids="):
        find_videos(prompt(tokens), parts("llava_onevision"), None, None)


def test_grids_may_be_a_function_and_carry_newlines() -> None:
    """The layout of another model: its grid, given a row at a time."""
    qwen = parts("qwen2_vl")
    (video,) = find_videos(prompt(24), qwen, None, lambda ids: [[newline_grid(2, 3, 3)]] * len(ids))
    assert video.grid.n_newline_rows == 6
    assert not video.stays.any()


def pooled(mode: str | None, stride: int | None = None, side: int = 27, position: str = "grid") -> Parts:
    """LLaVA-Video's parts: SigLIP has 27 x 27 patches a frame."""
    return parts(
        "llava_onevision",
        mm_newline_position=position,
        image_size=side * 8,
        mm_spatial_pool_mode=mode,
        mm_spatial_pool_stride=stride,
    )


@pytest.mark.parametrize("position", ["grid", "frame", "one_token", "no_token"])
@pytest.mark.parametrize("stride", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("mode", [None, "bilinear", "average", "max"])
def test_how_frames_are_pooled_is_read_from_the_configuration(
    mode: str | None, stride: int | None, position: str
) -> None:
    """As LLaVA-Video's get_2dPool: bilinear to ceil(27 / s), average and max over whole windows."""
    s = stride or 2
    side = 27 // s if mode in ("average", "max") else -(-27 // s)
    for T in (1, 15, 60):  # 60 frames of 13 x 13 with newlines are as many tokens as 52 of 14 x 14
        newlines = {"grid": T * side, "frame": T, "one_token": 1, "no_token": 0}[position]
        (video,) = find_videos(prompt(T * side * side + newlines), pooled(mode, stride, position=position), None, None)
        assert video.grid.shape == (T, side, side)


def test_pooling_that_is_not_known() -> None:
    with pytest.raises(InputError, match="mm_spatial_pool_mode is 'median'; known are bilinear, average, max"):
        find_videos(prompt(9), pooled("median"), None, None)
    for stride in (0, 28, 1.5, "2"):
        with pytest.raises(InputError, match=r"mm_spatial_pool_stride is .* 27x27 patches"):
            find_videos(prompt(9), pooled(None, stride), None, None)  # type: ignore[arg-type]


MARKERS = {"video_start_token_id": 50, "video_end_token_id": 51}


def test_frames_under_the_placeholder_of_images() -> None:
    """GLM: what stands between markers is video, a run a frame; the tower is given each frame by itself, or videos."""
    glm = parts("glm4v", **MARKERS)
    frame, image = [7, *[VIDEO] * 6, 8, 33], [7, *[VIDEO] * 10, 8]
    two = [1, *image, 50, *frame * 3, 51, *image, 50, *frame * 2, 51, 2]
    ids = np.array([two, two])
    expected = [(0, (3, 2, 3)), (0, (2, 2, 3)), (1, (3, 2, 3)), (1, (2, 2, 3))]
    for encoded in ([TokenGrid(1, 2, 3)] * 5, [TokenGrid(3, 2, 3), TokenGrid(2, 2, 3)], [TokenGrid(1, 2, 3)] * 10):
        found = find_videos(ids, glm, encoded, None)
        assert [(video.row, video.grid.shape) for video in found] == expected
        assert found[0].start == 15 and ids[0, found[0].stop - 1] == VIDEO
    told = find_videos(ids, parts("glm4v", True), None, [[10, (3, 2, 3), 10, (2, 2, 3)]])
    assert [(video.row, video.start, video.grid.shape) for video in told] == [
        (video.row, video.start, video.grid.shape) for video in found
    ]
    assert find_videos(np.array([[1, *image, 2]]), glm, None, None) == []  # an image alone
    with pytest.raises(GridError, match="was not run on them"):
        find_videos(ids, glm, None, None)
    with pytest.raises(GridError, match="its frames differ in size"):
        find_videos(ids[:1], glm, [TokenGrid(1, 3, 2), *[TokenGrid(1, 2, 3)] * 4], None)
    with pytest.raises(InputError, match="names no video_start_token_id"):
        parts("glm46v")


def test_grids_without_placeholders() -> None:
    text = np.array([[1, 2, 3, 4]])
    for family, more in (("qwen2_vl", {}), ("llava_onevision", {}), ("glm4v", MARKERS)):
        with pytest.raises(GridError, match=rf"grids= says .* no placeholder of video \(token {VIDEO}, \w+_token_id"):
            find_videos(text, parts(family, True), None, [[(1, 2, 3)]])
        assert find_videos(text, parts(family, True), None, lambda ids: [[] for _ in ids]) == []
        assert find_videos(text, parts(family, **more), None, None) == []


def test_the_cls_token_of_each_frame_is_no_patch() -> None:
    (video,) = find_videos(prompt(2 * 37), parts("video_llava"), None, None)
    assert video.grid.shape == (2, 6, 6)
    assert np.flatnonzero(video.stays).tolist() == [0, 37]
    with pytest.raises(GridError, match="frames have 37"):
        find_videos(prompt(72), parts("video_llava"), None, None)


def test_frames_that_the_tower_joins() -> None:
    """ERNIE makes one of two frames of a video, none of an image."""
    tower = SimpleNamespace(spatial_merge_size=2, config=SimpleNamespace(temporal_merge_size=2))
    thw = np.array([[6, 4, 8], [1, 4, 8]])
    assert [grid.shape for grid in merged_grids(tower, thw)] == [(3, 2, 4), (1, 2, 4)]


def test_grids_overrule_what_a_configuration_says_wrongly() -> None:
    """Errors that name grids= as the remedy are gone with it."""
    ids = prompt(12)
    for config in ({"mm_newline_position": "diagonal"}, {"mm_spatial_pool_mode": "median"}):
        told = parts("llava_onevision", True, **config)
        assert [video.grid.shape for video in find_videos(ids, told, None, [[(1, 3, 4)]])] == [(1, 3, 4)]
    assert find_videos(ids, parts("glm46v", True), None, [[(1, 3, 4)]])[0].grid.shape == (1, 3, 4)
