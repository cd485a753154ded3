"""Frame encoders: patches without weights, and vision backbones beside what transformers itself puts out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import BACKBONES, MEAN, STD, STEPS, save_backbone, torch, transformers

from stgraph.errors import InputError, MissingSignalError, UnavailableError, UnknownNameError
from stgraph.video.file import VideoInfo
from stgraph.video.pixels import parse
from stgraph.vlm.encoder_source import EncoderSource, frame_encoder
from stgraph.vlm.encoders import BackboneEncoder, load_encoder

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (3, 40, 64, 3), dtype=np.uint8)
H, W = 4, 4


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks wait for each other's threads longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {name: save_backbone(name, tmp_path_factory.mktemp(name)) for name in BACKBONES}


@pytest.fixture(scope="module", params=BACKBONES)
def backbone(request: pytest.FixtureRequest, saved: dict[str, str]) -> tuple[str, BackboneEncoder, Any]:
    """(name, encoder, what the network itself gives for FRAMES with eager attention)."""
    encoder = load_encoder(saved[request.param])
    alone = {"clip": "CLIPVisionModel", "siglip": "SiglipVisionModel"}.get(request.param, "AutoModel")
    network = getattr(transformers, alone).from_pretrained(saved[request.param], attn_implementation="eager").eval()
    with torch.no_grad():
        output = network(encoder.preprocessing(FRAMES), output_hidden_states=True, output_attentions=True)
    return request.param, encoder, output


@pytest.mark.parametrize("layer", [None, -1, -2, 0, 2])
def test_features_are_the_patches_of_the_layer(backbone: tuple[str, BackboneEncoder, Any], layer: int | None) -> None:
    name, encoder, output = backbone
    features, signals = replace(encoder, layer=layer).encode(FRAMES)
    assert features.shape == (3, H, W, 32)
    assert features.dtype == np.float32
    assert signals == {}
    hidden = output.last_hidden_state if layer is None else output.hidden_states[layer]
    expected = hidden[:, BACKBONES[name][0] :].reshape(3, H, W, 32).numpy()
    assert np.abs(features - expected).max() < 1e-5


@pytest.mark.parametrize("layer", [None, -2])
def test_attention_is_that_of_the_layer(backbone: tuple[str, BackboneEncoder, Any], layer: int | None) -> None:
    name, encoder, output = backbone
    first = BACKBONES[name][0]
    asked = ("enc_recv_attn", "enc_keys_mean", *(["enc_cls_attn"] if first else []))
    encoder = replace(encoder, layer=layer, signals=asked)
    _, signals = encoder.encode(FRAMES)
    assert set(signals) == set(asked)
    attention = output.attentions[-1 if layer is None else -2]
    received = attention.mean(dim=(1, 2))[:, first:].numpy()
    assert np.abs(signals["enc_recv_attn"] - received).max() < 1e-6
    if first:
        assert np.abs(signals["enc_cls_attn"] - attention[:, :, 0, first:].numpy()).max() < 1e-6
    assert signals["enc_keys_mean"].shape == (3, H * W, 16)
    assert encoder.metadata["attention_block"] == (2 if layer is None else 1)


def test_every_frame_stands_for_itself(saved: dict[str, str]) -> None:
    encoder = load_encoder(saved["siglip"], signals=("enc_recv_attn",))
    info = VideoInfo(1.0, 3.0, (40, 64), "none", 3)
    together = EncoderSource(encoder, batch=2).extract(FRAMES, np.zeros(3), info)
    assert together.grid.shape == (3, H, W)
    for t in range(3):
        features, signals = encoder.encode(FRAMES[t : t + 1])
        assert np.abs(together.features[t] - features[0]).max() < 1e-5
        assert np.abs(together.signals["enc_recv_attn"][t] - signals["enc_recv_attn"][0]).max() < 1e-6


def test_dtype(saved: dict[str, str]) -> None:
    encoder = load_encoder(saved["clip"], dtype="bfloat16", signals=("enc_cls_attn",))
    features, signals = encoder.encode(FRAMES)
    assert str(features.dtype) == encoder.metadata["dtype"] == "bfloat16"
    assert signals["enc_cls_attn"].dtype == np.float32


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"layer": 4}, InputError, "layer is 4; SiglipVision.* has hidden states -4 to 3"),
        ({"dtype": "int8"}, InputError, "dtype is 'int8'"),
        ({"device": "cuda:77"}, UnavailableError, "device 'cuda:77' cannot be used"),
        ({"signals": ("llm_attn_last",)}, MissingSignalError, "comes from no backbone alone"),
        ({"layer": 0, "signals": ("enc_recv_attn",)}, MissingSignalError, "cannot be read"),
    ],
)
def test_wrong_options(saved: dict[str, str], options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        load_encoder(saved["siglip"], **options)


def test_a_tower_without_cls(saved: dict[str, str]) -> None:
    with pytest.raises(MissingSignalError, match=r"CLS token, which Siglip\w+ does not have; enc_recv_attn"):
        load_encoder(saved["siglip"], signals=("enc_cls_attn",)).encode(FRAMES)


def test_rotated_queries_and_keys(tmp_path: Path) -> None:
    config = transformers.DINOv3ViTConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    transformers.DINOv3ViTModel(config).save_pretrained(tmp_path)
    steps = {**STEPS, "size": {"height": 32, "width": 32}, "image_mean": MEAN, "image_std": STD}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(steps))
    assert load_encoder(str(tmp_path)).encode(FRAMES)[0].shape == (3, H, W, 32)
    encoder = load_encoder(str(tmp_path), signals=("enc_cls_attn", "enc_recv_attn"))
    _, signals = encoder.encode(FRAMES)
    network = transformers.DINOv3ViTModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    with torch.no_grad():
        attention = network(encoder.preprocessing(FRAMES), output_attentions=True).attentions[-1]
    first = attention.shape[-1] - H * W
    assert np.abs(signals["enc_cls_attn"] - attention[:, :, 0, first:].numpy()).max() < 1e-6
    assert np.abs(signals["enc_recv_attn"] - attention.mean((1, 2))[:, first:].numpy()).max() < 1e-6


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the preprocessing of"):
        load_encoder(str(tmp_path))
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({**STEPS, "image_mean": MEAN, "image_std": STD, "size": 32})
    )
    with pytest.raises(InputError, match="cannot load"):
        load_encoder(str(tmp_path))


# Preprocessing


def test_plain_preprocessing() -> None:
    """A frame of the right size is only scaled and normalised."""
    steps = parse({**STEPS, "size": {"height": 40, "width": 64}, "image_mean": MEAN, "image_std": STD}, "x")
    expected = (FRAMES / 255 - MEAN) / STD
    assert np.abs(steps(FRAMES).numpy() - expected.transpose(0, 3, 1, 2)).max() < 1e-5


@pytest.mark.parametrize(("height", "width"), [(180, 320), (180, 97), (20, 20), (33, 32)])
def test_shape_and_place_of_the_crop(height: int, width: int) -> None:
    """The crop is the centre: a bright centre stays bright, and borders go."""
    steps = parse({**STEPS, **BACKBONES["clip"][1], "do_normalize": False}, "x")
    frame = np.zeros((1, height, width, 3), np.uint8)
    frame[:, height // 2 - 3 : height // 2 + 3, width // 2 - 3 : width // 2 + 3] = 255
    out = steps(frame).numpy()[0, 0]
    assert out.shape == (32, 32)
    y, x = ((np.indices(out.shape)[axis] * out).sum() / out.sum() for axis in (0, 1))
    assert abs(y - 15.5) <= 1.5
    assert abs(x - 15.5) <= 1.5


@pytest.mark.parametrize(
    "asks",
    [{"do_pad": True}, {"resample": 1}, {"size": {"longest_edge": 364}}, {"do_center_crop": True, "crop_size": None}],
)
def test_steps_that_are_not_known(asks: dict[str, Any]) -> None:
    config = {**STEPS, "size": {"shortest_edge": 32}, "image_mean": MEAN, "image_std": STD, **asks}
    with pytest.raises(InputError, match=r"the preprocessing of some/name has .*--model"):
        parse(config, "some/name")


# Names


@pytest.mark.parametrize("name", ["dino", "hf:", "patch", ""])
def test_unknown_encoders(name: str) -> None:
    with pytest.raises(UnknownNameError, match="Known: patches, and hf:NAME_OR_PATH"):
        frame_encoder(name)


def test_options_of_the_other_encoder() -> None:
    with pytest.raises(InputError, match="'layer' belongs to encoders with layers"):
        frame_encoder("patches", layer=2)
    with pytest.raises(InputError, match="'grid' is the checkpoint's own"):
        frame_encoder("hf:some/name", grid=(4, 4))
