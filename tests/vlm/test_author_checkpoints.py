"""Folders in their authors' layouts become models of transformers that do what the authors' code did."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from author_checkpoints import HEADS, LLAVA_VIDEO, NVILA, copied, llava_video, nvila, original, torch
from oracles_checkpoints import joined_patches, pooled, with_newlines

import stgraph
from stgraph.errors import InputError
from stgraph.vlm.checkpoint import load_model, plan_of
from stgraph.vlm.families import NEWLINE_POSITIONS, POOL_MODES

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def nvila_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nvila(tmp_path_factory.mktemp("nvila"))


def answered(model: Any, ids: list[int], pixels: Any, n_new: int) -> tuple[Any, Any, list[int]]:
    """(embeddings of the prompt, its logits, greedy tokens)."""
    seen: list[Any] = []
    handle = model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    inputs = {"input_ids": torch.tensor([ids]), "pixel_values_videos": pixels}
    try:
        with torch.no_grad():
            logits = model(**inputs).logits[0]
            new = model.generate(
                **inputs, attention_mask=torch.ones(1, len(ids)).long(), max_new_tokens=n_new, do_sample=False
            )
    finally:
        handle.remove()
    return seen[0][0].numpy(), logits.numpy(), new[0, len(ids) :].tolist()


@pytest.mark.slow
def test_llava_video_is_that_of_its_authors() -> None:
    stored = original(LLAVA_VIDEO)
    model = load_model(LLAVA_VIDEO, vision=HEADS)
    pixels = torch.randn(3, 3, 384, 384, generator=torch.Generator().manual_seed(3))[None]
    video = [model.config.video_token_index] * (3 * 14 * 15)
    embeds, logits, new = answered(model, [*stored["before"], *video, *stored["after"]], pixels, 6)
    assert np.abs(embeds - stored["embeds"][0]).max() < 1e-5
    assert np.abs(logits[:8] - stored["logits_first8"][0]).max() < 1e-5
    assert np.abs(logits[-1] - stored["last_logits"][0]).max() < 1e-5
    assert new == stored["generated"][0].tolist()


def test_nvila_is_that_of_its_authors(nvila_folder: Path) -> None:
    stored = original(NVILA)
    model = load_model(nvila_folder)
    pixels = torch.from_numpy(stored["pixels"])[None]
    video = [model.config.video_token_index] * len(stored["features"])
    embeds, logits, new = answered(model, [*stored["before"], *video, *stored["after"]], pixels, 5)
    found = embeds[len(stored["before"]) :][: len(video)]
    assert np.abs(found - stored["features"]).max() < 1e-5
    assert np.abs(logits[-1] - stored["last_logits"][0]).max() < 1e-5
    assert new == stored["generated"][0].tolist()


def features(model: Any, pixels: Any) -> Any:
    """[B, n, d] of the running model's own function."""
    with torch.no_grad():
        found = model.model.get_video_features(pixels)
    return getattr(found, "pooler_output", found).double().numpy()


def assert_equal(found: Any, expected: Any) -> None:
    """To 1e-5 of the largest value."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def patches_of(model: Any, pixels: Any) -> Any:
    """[B, T, side, side, c]: what the last block of the tower gave, float64."""
    B, T = pixels.shape[:2]
    with torch.no_grad():
        x = model.model.vision_tower(pixels.flatten(0, 1), output_hidden_states=True).hidden_states[-1]
    side = int(x.shape[1] ** 0.5)
    return x.view(B, T, side, side, -1)


@pytest.mark.parametrize(("where", "mode"), list(product(NEWLINE_POSITIONS, POOL_MODES)))
def test_every_layout_of_llava_video(where: str, mode: str, tmp_path: Path) -> None:
    """Two videos: pooling and newlines restated, placeholders enough for the model, and compress() reads them."""
    folder = copied(LLAVA_VIDEO, tmp_path / "model", mm_newline_position=where, mm_spatial_pool_mode=mode)
    model = load_model(folder, vision=HEADS)
    pixels = torch.randn(2, 2, 3, 384, 384, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        patches = model.model.multi_modal_projector(patches_of(model, pixels)).double().numpy()
    newline = model.model.image_newline.detach().double().numpy()
    expected = [with_newlines([pooled(frame, mode) for frame in video], newline, where) for video in patches]
    found = features(model, pixels)
    assert_equal(found, np.stack(expected))

    ids = torch.tensor([[5, *[model.config.video_token_index] * len(video), 6, 7] for video in expected])
    with torch.no_grad(), stgraph.compress(model, stgraph.selector("uniform", retain_ratio=0.5)) as stats:
        model(input_ids=ids, pixel_values_videos=pixels)
    side = 14 if mode == "bilinear" else 13
    assert [video.grid for video in stats.videos] == [(2, side, side)] * 2
    assert [video.n_visual for video in stats.videos] == [2 * side * side] * 2


def test_pooling_can_be_asked_for() -> None:
    model = load_model(LLAVA_VIDEO, vision=HEADS, pooling="average")
    assert model.config.mm_spatial_pool_mode == "average"
    assert features(model, torch.zeros(1, 2, 3, 384, 384)).shape == (1, 2 * 13 * 14, 64)
    with pytest.raises(InputError, match="mm_spatial_pool_mode is 'median'"):
        load_model(LLAVA_VIDEO, vision=HEADS, pooling="median")


NVILAS: dict[str, tuple[int, bool, tuple[int, int, int]]] = {
    "NVILA-8B": (2, True, (1, 1, 1)),
    "NVILA-8B-Video": (2, False, (4, 1, 1)),
    "NVILA-8B-Video, pooled in space": (2, False, (2, 2, 2)),
    "NVILA-Lite": (3, False, (1, 1, 1)),
}


@pytest.mark.parametrize("hf", [False, True])
@pytest.mark.parametrize("name", list(NVILAS))
def test_every_layout_of_nvila(name: str, hf: bool, tmp_path: Path) -> None:
    """Against a restatement: weights of the projector by their stored names, in float64."""
    from nvila_variants import projected, save_nvila

    n, scaled, pool = NVILAS[name]
    if hf and pool != (1, 1, 1):
        pytest.skip("the -hf layout has no other pooling")
    folder, weights = save_nvila(tmp_path, n, scaled, pool, hf)
    model = load_model(folder)
    pixels = torch.randn(2, 4, 3, 56, 56, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        patches = patches_of(model, pixels).double().numpy()
    newline = weights["llm.model.embed_tokens.weight"][3].double().numpy()
    expected = []
    for video in patches:
        tokens = np.stack(
            [projected(joined_patches(np.tile(frame, 3 if scaled else 1), n), weights, n) for frame in video]
        )
        t, h, w = pool
        T, H, W, d = tokens.shape
        means = tokens.reshape(T // t, t, H // h, h, W // w, w, d).mean((1, 3, 5))
        expected.append(with_newlines(list(means), newline, "frame"))
    found = features(model, pixels)
    assert_equal(found, np.stack(expected))

    ids = torch.tensor([[5, *[model.config.video_token_index] * len(video), 6, 7] for video in expected])
    with torch.no_grad(), stgraph.compress(model, stgraph.selector("uniform", retain_ratio=0.5)) as stats:
        model(input_ids=ids, pixel_values_videos=pixels)
    assert [video.grid for video in stats.videos] == [means.shape[:3]] * 2


def test_frames_that_are_no_whole_groups(tmp_path: Path) -> None:
    from nvila_variants import save_nvila

    folder, _ = save_nvila(tmp_path, 2, False, (4, 1, 1), False)
    with pytest.raises(ValueError, match="has 6 frames, which are averaged 4 at a time; give a multiple of 4"):
        features(load_model(folder), torch.zeros(1, 6, 3, 56, 56))


def test_images_of_nvila_are_refused(nvila_folder: Path) -> None:
    with pytest.raises(NotImplementedError, match="images of NVILA, which are cut into tiles"):
        load_model(nvila_folder).model.get_image_features(torch.zeros(1, 1, 3, 56, 56))


def test_a_turn_ends_an_answer(tmp_path: Path) -> None:
    """The chat's end of a turn is one more end of an answer, and padding has a token."""
    folder = llava_video(tmp_path, eos_token_id=7)
    (folder / "generation_config.json").write_text('{"eos_token_id": [7, 9]}')
    config = load_model(folder, vision=HEADS).generation_config
    assert (config.eos_token_id, config.pad_token_id) == ([7, 9, 2], 0)
    assert plan_of(str(folder), {"vision": HEADS}).plan.config.video_token_index == 151  # type: ignore[union-attr]
