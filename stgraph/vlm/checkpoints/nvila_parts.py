"""The two layouts of NVILA's folders, in one form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgraph.errors import InputError
from stgraph.vlm.checkpoints.layout import refuse
from stgraph.vlm.checkpoints.weights import Weights, joined, stored_weights

_PARTS = ("llm", "vision_tower", "mm_projector")
_PROJECTORS = {"mlp_downsample": 2, "mlp_downsample_2x2_fix": 2, "mlp_downsample_3x3_fix": 3}
_ENCODERS = ("BasicVideoEncoder", "TSPVideoEncoder")
# Of the whole; images, which s2_scales, image_encoder and image_aspect_ratio are about, are refused by the processor.
_KNOWN: dict[str, tuple[Any, ...]] = {
    "s2": (None, False),
    "ps3": (None, False),
    "mm_vision_select_feature": ("cls_patch",),
    "mm_use_im_start_end": (None, False),
    "mm_use_im_patch_token": (None, False),
    "quantization_config": (None,),
}


@dataclass(frozen=True, eq=False)
class Parts:
    """Values of both layouts. ``layer``: the hidden state of the tower that is used, counted from the end."""

    text: Mapping[str, Any]
    vision: Mapping[str, Any]
    weights: Weights
    tokenizer_folder: Path
    layer: int
    pool: tuple[int, int, int]
    newline: str | None
    downsample: int | None = None
    scales: int | None = None


def of_folders(folder: Path, config: Mapping[str, Any]) -> Parts:
    """VILA's own folders: llm/, vision_tower/ and mm_projector/, each with its configuration."""
    refuse(folder, config, _KNOWN)
    tower = config["vision_tower_cfg"]
    if isinstance(tower, Mapping) and str(tower.get("model_type", "siglip_vision_model")) != "siglip_vision_model":
        raise InputError(
            f"{folder}: the vision tower {tower['model_type']!r} is not read here; known is siglip_vision_model"
        )
    missing = [part for part in _PARTS if not (folder / part / "config.json").is_file()]
    if missing:
        raise InputError(f"{folder} lacks {missing[0]}/config.json; copy the whole checkpoint")
    layer = config.get("mm_vision_select_layer", -2)
    if not isinstance(layer, int) or layer >= 0:
        raise InputError(f"{folder}: mm_vision_select_layer is {layer!r}; expected a negative number, such as -2")
    kind = _config(folder / "mm_projector").get("mm_projector_type")
    if kind not in _PROJECTORS:
        raise InputError(f"{folder}: the projector {kind!r} is not read here; known are {', '.join(_PROJECTORS)}")
    pool, newline = _video_encoder(folder, config.get("video_encoder"))
    scales = len(str(config["s2_scales"]).split(",")) if config.get("dynamic_s2") else 1
    return Parts(
        text=_config(folder / "llm"),
        vision=_config(folder / "vision_tower"),
        weights=joined(*(stored_weights(folder / part, f"{part}.") for part in _PARTS)),
        tokenizer_folder=folder / "llm",
        layer=layer,
        pool=pool,
        newline=newline,
        downsample=_PROJECTORS[kind],
        scales=scales,
    )


def of_one_state(folder: Path, config: Mapping[str, Any]) -> Parts:
    """NVILA-*-hf: videos are frames with a newline after each; the projector's kind is derived from its weights."""
    refuse(folder, config, {"quantization_config": (None,)})
    return Parts(
        text=config["text_config"],
        vision=config["vision_config"],
        weights=stored_weights(folder),
        tokenizer_folder=folder,
        layer=-2,
        pool=(1, 1, 1),
        newline="\n",
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {folder / 'config.json'}: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{folder / 'config.json'} holds a {type(found).__name__}; expected an object")
    return found


def _video_encoder(folder: Path, value: Any) -> tuple[tuple[int, int, int], str | None]:
    """(pool sizes, text after each frame) of the key video_encoder, which may be JSON in a string."""
    try:
        encoder = json.loads(value) if isinstance(value, str) else dict(value or {})
    except (ValueError, TypeError):
        raise InputError(f"{folder}: video_encoder is {value!r}; expected an object with '_target_'") from None
    name = str(encoder.get("_target_", _ENCODERS[0])).rpartition(".")[2]
    if name not in _ENCODERS:
        raise InputError(f"{folder}: the video encoder {name!r} is not read here; known are {', '.join(_ENCODERS)}")
    refuse(folder, encoder, {"start_tokens": (None, "None"), "sep_tokens": (None, "None")})
    sizes = encoder.get("pool_sizes", [[1, 1, 1]]) if name == "TSPVideoEncoder" else [[1, 1, 1]]
    if len(sizes) != 1:
        raise InputError(
            f"{folder}: pool_sizes is {sizes!r}; several levels are not one lattice of tokens, known is one"
        )
    end = encoder.get("end_tokens", "\n")
    t, h, w = (int(size) for size in sizes[0])
    return (t, h, w), None if end in (None, "None") else str(end)
