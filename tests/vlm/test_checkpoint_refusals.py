"""What stgraph.vlm.load refuses, by name and before weights are read; and weights that are not as they should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from author_checkpoints import HEADS, LLAVA_VIDEO, copied, nvila, torch

from stgraph.errors import InputError, MissingSignalError
from stgraph.vlm import load_model, load_processor
from stgraph.vlm.checkpoint import plan_of
from stgraph.vlm.checkpoints import weights
from stgraph.vlm.checkpoints.layout import LAYOUTS
from stgraph.vlm.checkpoints.reading import read_model
from stgraph.vlm.model_tokens import model_tokens


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No weight may be read."""

    def fail(*args: Any) -> None:
        raise AssertionError("a weight was read")

    monkeypatch.setattr(weights.Weights, "mapped", fail)


LLAVAS: list[tuple[dict[str, Any], str]] = [
    ({"add_faster_video": True}, "add_faster_video is True, which is not read here; known is False"),
    ({"mm_resampler_type": "spatial_pool"}, "mm_resampler_type is 'spatial_pool', which is not read here"),
    ({"mm_projector_type": "linear"}, "mm_projector_type is 'linear', .*; known is 'mlp2x_gelu'"),
    ({"mm_patch_merge_type": "flat"}, "mm_patch_merge_type is 'flat', .*; known is 'spatial_unpad'"),
    ({"mm_spatial_pool_mode": "median"}, "mm_spatial_pool_mode is 'median', .*; known is 'bilinear', 'average', 'max'"),
    ({"mm_spatial_pool_stride": 4}, "mm_spatial_pool_stride is 4, .*; known is 2"),
    ({"mm_newline_position": "diagonal"}, "mm_newline_position is 'diagonal', .*; known is 'grid', 'frame'"),
    ({"mm_use_im_start_end": True}, "mm_use_im_start_end is True"),
    ({"use_sliding_window": True}, "use_sliding_window is True"),
    ({"quantization_config": {"bits": 4}}, "quantization_config is {'bits': 4}"),
    ({"mm_vision_tower": "openai/clip-vit-large-patch14-336"}, "the vision tower 'openai/clip.*; known is SigLIP"),
    ({"architectures": ["LlavaLlamaForCausalLM"]}, r"architectures is \['LlavaLlamaForCausalLM'\], .*LlavaQwen"),
    ({"image_grid_pinpoints": "six"}, "image_grid_pinpoints is 'six'; expected pairs, or a range"),
]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(("changes", "says"), LLAVAS)
def test_llava_video_that_cannot_be_run(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        load_model(copied(LLAVA_VIDEO, tmp_path / "model", **changes), vision=HEADS)


TSP = {"_target_": "llava.model.encoders.TSPVideoEncoder"}
NVILAS: list[tuple[dict[str, Any], str]] = [
    ({"s2": True}, "s2 is True, which is not read here; known is False"),
    ({"ps3": True}, "ps3 is True"),
    ({"mm_vision_select_feature": "patch"}, "mm_vision_select_feature is 'patch', .*; known is 'cls_patch'"),
    ({"mm_vision_select_layer": 3}, "mm_vision_select_layer is 3; expected a negative number"),
    ({"vision_tower_cfg": {"model_type": "radio"}}, "the vision tower 'radio' is not read here; known is siglip"),
    ({"video_encoder": {"_target_": "llava.Other"}}, "the video encoder 'Other' is not read here; known are Basic"),
    ({"video_encoder": {**TSP, "pool_sizes": [[8, 1, 1], [4, 2, 2]]}}, "several levels are not one lattice"),
    ({"video_encoder": {**TSP, "pool_sizes": [[1, 3, 1]]}}, "pool_sizes .* do not divide a frame's 2x2 tokens"),
    ({"video_encoder": {**TSP, "sep_tokens": "x"}}, "sep_tokens is 'x'"),
    ({"video_encoder": "{"}, "video_encoder is '{'; expected an object"),
    ({"video_encoder": {"end_tokens": "ab"}}, "'ab' is 2 tokens of this tokenizer; expected one"),
    ({"s2_scales": "56,112"}, "the projector takes 192 channels, but 2x2 patches of 16 channels, 2 times"),
]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(("changes", "says"), NVILAS)
def test_nvila_that_cannot_be_run(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        load_model(nvila(tmp_path, **changes))


@pytest.mark.usefixtures("unread")
def test_parts_of_nvila_that_cannot_be_run(tmp_path: Path) -> None:
    folder = nvila(tmp_path)
    for part, changes, says in (
        ("mm_projector", {"mm_projector_type": "mlp_downsample_3x3_s2"}, "the projector 'mlp_downsample_3x3_s2'"),
        ("llm", {"model_type": "llama"}, "the language model 'llama' is not read here; known is qwen2"),
        ("vision_tower", {"model_type": "intern_vit_6b"}, "the vision tower 'intern_vit_6b'"),
    ):
        path = folder / part / "config.json"
        before = path.read_text()
        path.write_text(json.dumps(json.loads(before) | changes))
        with pytest.raises(InputError, match=says):
            load_model(folder)
        path.write_text(before)
    (folder / "llm" / "tokenizer.json").unlink()
    (folder / "llm" / "tokenizer_config.json").unlink()
    with pytest.raises(InputError, match="holds no tokenizer, by which NVILA writes newlines"):
        load_model(folder)
    (folder / "mm_projector" / "config.json").unlink()
    with pytest.raises(InputError, match=r"lacks mm_projector/config\.json"):
        load_model(folder)


@pytest.mark.usefixtures("unread")
def test_a_tower_whose_heads_nobody_says(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is 32 wide, and no file says how many attention heads .*pass vision="):
        load_model(LLAVA_VIDEO)
    said = plan_of(str(copied(LLAVA_VIDEO, tmp_path / "said", vision_config=HEADS)))
    assert said is not None
    assert said.plan.config.vision_config.num_attention_heads == 2


def test_options_belong_to_a_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'vision' is not an option of NVILA folders"):
        load_model(nvila(tmp_path), vision=HEADS)
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "config.json").write_text('{"model_type": "qwen2_vl"}')
    with pytest.raises(InputError, match=r"'vision' is not an option of .*plain, which transformers reads itself"):
        load_model(plain, vision=HEADS)


def test_weights_that_are_not_as_they_should_be(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied(LLAVA_VIDEO, tmp_path / "model")
    file = folder / "model.safetensors"
    whole, stored = load_file(LLAVA_VIDEO / "model.safetensors"), file.read_bytes()
    norm = "model.norm.weight"
    for changed, says in (
        ({key: value for key, value in whole.items() if key != norm}, "lacks 'model.language_model.norm.weight'"),
        (whole | {"model.vision_resampler.x": torch.zeros(1)}, "holds 'model.vision_resampler.x', not a weight of"),
        (whole | {"model.layers.7.mlp.up_proj.weight": torch.zeros(2, 2)}, "which its configuration knows nothing of"),
        (whole | {norm: torch.zeros(3)}, "'model.norm.weight' is 3, but the configuration says 64"),
    ):
        save_file(changed, file)
        with pytest.raises(InputError, match=says):
            load_model(folder, vision=HEADS)
    for content in (stored[:-1000], b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 836496\n"):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"cannot read .*model.safetensors: .*copy the checkpoint again"):
            load_model(folder, vision=HEADS)
    file.rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pickled weights \(pytorch_model.bin\), which can run code .*save_file"):
        load_model(folder, vision=HEADS)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(InputError, match="holds no weights; expected"):
        load_model(folder, vision=HEADS)


def test_indexes_of_several_files(tmp_path: Path) -> None:
    folder = copied(LLAVA_VIDEO, tmp_path / "model")
    index = folder / "model.safetensors.index.json"
    for content, says in (
        ({"weight_map": {"a": "model-1.safetensors"}}, "lacks model-1.safetensors, which its model.safetensors.index"),
        ({"weight_map": {"a": "../x.safetensors"}}, "it names files outside"),
        ({"weights": {}}, "cannot read .*index.json"),
    ):
        index.write_text(json.dumps(content))
        with pytest.raises(InputError, match=says):
            load_model(folder, vision=HEADS)


def test_dtypes_and_memory(tmp_path: Path) -> None:
    """Weights are the model's own, or, on their way to a GPU, mapped files; the same either way, whole or converted."""
    found = plan_of(str(LLAVA_VIDEO), {"vision": HEADS})
    assert found is not None
    own = read_model(found.plan, found.folder)
    mapped = read_model(found.plan, found.folder, copy=False)
    half = load_model(LLAVA_VIDEO, vision=HEADS, dtype="bfloat16")
    assert {own.dtype, mapped.dtype} == {torch.float32}
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}
    state = zip(own.state_dict().values(), mapped.state_dict().values(), half.state_dict().values(), strict=True)
    for a, b, c in state:
        assert torch.equal(a, b)
        assert torch.equal(a.bfloat16(), c)
    folder = copied(LLAVA_VIDEO, tmp_path / "gone")
    model = load_model(folder, vision=HEADS)
    (folder / "model.safetensors").write_bytes(b"")  # what was read stays as it was
    assert torch.equal(model.lm_head.weight, own.lm_head.weight)


def test_a_processor_needs_a_tokenizer() -> None:
    with pytest.raises(InputError, match=r"holds no tokenizer; copy tokenizer.json .*the model alone"):
        load_processor(LLAVA_VIDEO, vision=HEADS)


def test_a_further_layout_is_one_object(tmp_path: Path) -> None:
    """Registered as a selector is; what is not a layout is refused, and what it refuses is told."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "other"}')

    class Other:
        def matches(self, config: Any) -> bool:
            return bool(config["model_type"] == "other")

        def plan(self, folder: Path, config: Any, **options: Any) -> Any:
            raise InputError(f"{folder} was seen")

    with pytest.raises(InputError, match=r"expected an object with matches\(\) and plan\(\)"):
        LAYOUTS.register("other", object())
    LAYOUTS.register("other", Other())
    try:
        with pytest.raises(InputError, match="other was seen"):
            load_model(folder)
    finally:
        LAYOUTS.unregister("other")


def test_signals_of_nvilas_tower_where_tokens_are_patches(tmp_path: Path) -> None:
    from nvila_variants import save_nvila

    pixels = torch.randn(1, 4, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    for n, pool, refused in ((2, (1, 1, 1), ""), (3, (1, 1, 1), "3x3 patches"), (2, (4, 1, 1), r"over \[4, 1, 1\]")):
        place = tmp_path / f"{n}{pool[0]}"
        place.mkdir()
        model = load_model(save_nvila(place, n, False, pool, False)[0])
        ids = torch.tensor([[5, *[151] * (4 // pool[0] * (2 * 2 + 1)), 6]])
        inputs = {"input_ids": ids, "pixel_values_videos": pixels}
        if refused:
            with pytest.raises(MissingSignalError, match=refused):
                model_tokens(model, inputs, ["enc_recv_attn"])
            continue
        found = model_tokens(model, inputs, ["enc_recv_attn"])
        assert found.signals["enc_recv_attn"].shape == (4, 16)
        assert (found.metadata["encoder_grid"], found.metadata["pooling"]) == ([4, 4], "pixel-shuffle")


def test_names_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """config.json decides; of a layout read here, configuration, tokenizer and safetensors are downloaded."""
    asked: list[Any] = []
    monkeypatch.setattr(
        "transformers.PretrainedConfig.get_config_dict",
        lambda name: (json.loads((LLAVA_VIDEO / "config.json").read_text()), {}),
    )
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda name, allow_patterns: asked.append(name) or str(LLAVA_VIDEO)
    )
    assert load_model("lmms-lab/LLaVA-Video-tiny", vision=HEADS).config.mm_newline_position == "grid"
    assert asked == ["lmms-lab/LLaVA-Video-tiny"]


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_hub_lost_before_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: str) -> None:
    """What the hub's own client raises without a connection, where config.json was had before."""
    from huggingface_hub import errors, snapshot_download

    def lost(name: str, **options: Any) -> str:
        return str(snapshot_download(name, cache_dir=tmp_path, local_files_only=True))

    config = json.loads((LLAVA_VIDEO / "config.json").read_text())
    monkeypatch.setattr("transformers.PretrainedConfig.get_config_dict", lambda name: (config, {}))
    monkeypatch.setattr("huggingface_hub.snapshot_download", lost)
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    said = r"cannot download lmms-lab/a: .*\. Give the path of a downloaded folder; .*HF_HUB_OFFLINE=1"
    with pytest.raises(InputError, match=said) as caught:
        load_model("lmms-lab/a")
    assert isinstance(caught.value.__cause__, errors.LocalEntryNotFoundError)


def test_where_transformers_puts_the_parts() -> None:
    pytest.importorskip("accelerate", reason="needs accelerate")
    model = load_model(LLAVA_VIDEO, vision=HEADS, device_map={"": "cpu"}, attn_implementation="eager")
    assert model.config._attn_implementation == "eager"
    expected = load_model(LLAVA_VIDEO, vision=HEADS)
    assert all(map(torch.equal, model.state_dict().values(), expected.state_dict().values()))
