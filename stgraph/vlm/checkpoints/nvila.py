"""Folders of NVILA: llm/, vision_tower/ and mm_projector/ side by side, or (NVILA-*-hf) one state dict."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgraph.errors import InputError
from stgraph.vlm.checkpoints.layout import Plan, file_in, refuse
from stgraph.vlm.checkpoints.tokenizers import chat_template, placeholder, read_tokenizer
from stgraph.vlm.checkpoints.weights import Weights, joined, stored_weights

_PARTS = ("llm", "vision_tower", "mm_projector")
_PROJECTORS = {"mlp_downsample": 2, "mlp_downsample_2x2_fix": 2, "mlp_downsample_3x3_fix": 3}
_ENCODERS = ("BasicVideoEncoder", "TSPVideoEncoder")
_SYSTEMS = ("You are a helpful assistant", "You are a helpful assistant.")  # VILA's qwen2.jinja; Qwen2's own
_TALK = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
# Of the whole; images, which s2_scales, image_encoder and image_aspect_ratio are about, are refused by the processor.
_KNOWN: dict[str, tuple[Any, ...]] = {
    "s2": (None, False),
    "ps3": (None, False),
    "mm_vision_select_feature": ("cls_patch",),
    "mm_use_im_start_end": (None, False),
    "mm_use_im_patch_token": (None, False),
    "quantization_config": (None,),
}
_NO_CONFIG = {
    "model_type",
    "architectures",
    "torch_dtype",
    "dtype",
    "transformers_version",
    "_name_or_path",
    "auto_map",
}
_TOWER = re.compile(r"vision_tower\.(?:vision_tower\.)?vision_model\.")
_TOWER_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")


@dataclass(frozen=True, eq=False)
class _Parts:
    """What both layouts say. ``layer``: the hidden state of the tower that goes on, counted from the end."""

    text: Mapping[str, Any]
    vision: Mapping[str, Any]
    weights: Weights
    tokenizer_folder: Path
    layer: int
    pool: tuple[int, int, int]
    newline: str | None
    downsample: int | None = None
    scales: int | None = None


class _Nvila:
    def matches(self, config: Mapping[str, Any]) -> bool:
        """VILA's folders have a configuration for each part, the -hf ones its name for the type."""
        if config.get("model_type") == "nvila":
            return "text_config" in config and "nvila_downsample" not in config
        return "llm_cfg" in config and "vision_tower_cfg" in config

    def plan(self, folder: Path, config: Mapping[str, Any], **options: Any) -> Plan:
        """No options."""
        from transformers import Qwen2Config, SiglipVisionConfig

        from stgraph.vlm.checkpoints.modeling_nvila import NvilaConfig

        if options:
            raise InputError(f"{next(iter(options))!r} is not an option of NVILA folders")
        parts = _folders(folder, config) if "llm_cfg" in config else _one_state(folder, config)
        if parts.text.get("model_type", "qwen2") != "qwen2":
            raise InputError(
                f"{folder}: the language model {parts.text['model_type']!r} is not read here; known is qwen2"
            )
        kind = str(parts.vision.get("model_type", "siglip_vision_model"))
        if kind != "siglip_vision_model":
            raise InputError(f"{folder}: the vision tower {kind!r} is not read here; known is siglip_vision_model")
        n_layers = int(parts.vision["num_hidden_layers"]) + 1 + parts.layer
        vision = SiglipVisionConfig(
            **{key: value for key, value in parts.vision.items() if key not in _NO_CONFIG}
            | {"num_hidden_layers": n_layers, "vision_use_head": False}
        )
        downsample, scales = _projector(folder, parts, vision.hidden_size)
        tied = bool(parts.text.get("tie_word_embeddings")) or "llm.lm_head.weight" not in parts.weights.entries
        text = Qwen2Config(
            **{key: value for key, value in parts.text.items() if key not in _NO_CONFIG and value is not None}
            | {"tie_word_embeddings": tied}
        )
        tokenizer = read_tokenizer(parts.tokenizer_folder)
        if tokenizer is None:
            raise InputError(
                f"{parts.tokenizer_folder} holds no tokenizer, by which NVILA writes newlines and placeholders; copy "
                "tokenizer.json and tokenizer_config.json there"
            )
        image, video = (placeholder(tokenizer, token, text.vocab_size) for token in ("<image>", "<vila/video>"))
        newline = [] if parts.newline is None else tokenizer(parts.newline, add_special_tokens=False)["input_ids"]
        made = NvilaConfig(
            vision_config=vision,
            text_config=text,
            image_token_index=image,
            video_token_index=video,
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
            tie_word_embeddings=tied,
            nvila_downsample=downsample,
            nvila_scales=scales,
            nvila_pool=list(parts.pool),
            nvila_newline_ids=list(newline),
        )
        side = -(-(vision.image_size // vision.patch_size) // downsample)
        if side % parts.pool[1] or side % parts.pool[2]:
            raise InputError(f"{folder}: pool_sizes {list(parts.pool)} do not divide a frame's {side}x{side} tokens")
        frame = (side // parts.pool[1], side // parts.pool[2])
        if len(newline) > 1:
            raise InputError(f"{folder}: {parts.newline!r} is {len(newline)} tokens of this tokenizer; expected one")
        return Plan(
            config=made,
            model_class=_model_class,
            weights=parts.weights,
            names=_names(folder, parts.weights, n_layers, tied),
            processor={
                "chat_template": _template(folder, tokenizer),
                "video_token": "<vila/video>",
                "frame_tokens": frame,
                "newlines": "frame" if newline else "no_token",
                "frames_a_group": parts.pool[0],
                "takes_images": False,
            },
            pixels=_pixels(folder, vision.image_size),
            tokenizer=tokenizer,
            generation=file_in(parts.tokenizer_folder, "generation_config.json"),
            code=("video_embeddings", "modeling_nvila", "processing_video"),
        )


NVILA = _Nvila()


def _model_class() -> Any:
    from stgraph.vlm.checkpoints.modeling_nvila import NvilaForConditionalGeneration

    return NvilaForConditionalGeneration


def _folders(folder: Path, config: Mapping[str, Any]) -> _Parts:
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
    return _Parts(
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


def _one_state(folder: Path, config: Mapping[str, Any]) -> _Parts:
    """NVILA-*-hf: videos are frames with a newline after each; the projector's kind is read off its weights."""
    refuse(folder, config, {"quantization_config": (None,)})
    return _Parts(
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


def _projector(folder: Path, parts: _Parts, c: int) -> tuple[int, int]:
    """(patches joined along a side, repetitions along channels), checked against the projector's first norm."""
    width = parts.weights.shape("mm_projector.layers.1.weight")[0]
    n = parts.downsample or (3 if "mm_projector.layers.7.weight" in parts.weights.entries else 2)
    scales, rest = divmod(width, n * n * c)
    if rest or scales < 1 or (parts.scales is not None and scales != parts.scales):
        raise InputError(
            f"{folder}: the projector takes {width} channels, but {n}x{n} patches of {c} channels"
            + (f", {parts.scales} times (s2_scales)," if parts.scales is not None else "")
            + f" are {n * n * c * (parts.scales or 1)}; do the parts belong together?"
        )
    return n, scales


def _names(folder: Path, weights: Weights, n_layers: int, tied: bool) -> dict[str, str]:
    """New name -> stored name."""
    names = {}
    for stored in weights.entries:
        tower = _TOWER.match(stored)
        if tower:
            rest = stored[tower.end() :]
            layer = _TOWER_LAYER.match(rest)
            beyond = layer is not None and int(layer[1]) >= n_layers
            if not beyond and not rest.startswith(("head.", "post_layernorm.")) and not rest.endswith("position_ids"):
                names[f"model.vision_tower.{rest}"] = stored
        elif stored.startswith("mm_projector.layers."):
            names["model.multi_modal_projector." + stored.removeprefix("mm_projector.layers.")] = stored
        elif stored.startswith("llm.model."):
            if not stored.endswith("rotary_emb.inv_freq"):
                names["model.language_model." + stored.removeprefix("llm.model.")] = stored
        elif stored == "llm.lm_head.weight":
            if not tied:
                names["lm_head.weight"] = stored
        else:
            raise InputError(f"{folder} holds {stored!r}, which is not a weight of NVILA with SigLIP and Qwen2")
    return names


def _template(folder: Path, tokenizer: Any) -> str:
    """The tokenizer's own chat with pictures in it; VILA's where it has none."""
    made = [chat_template(system, "<vila/video>", "<image>", "") for system in _SYSTEMS]
    if tokenizer.chat_template is None:
        return made[0]
    own = tokenizer.apply_chat_template(_TALK, tokenize=False, add_generation_prompt=True)
    for template in made:
        if own == tokenizer.apply_chat_template(
            _TALK, chat_template=template, tokenize=False, add_generation_prompt=True
        ):
            return template
    raise InputError(f"{folder}: the tokenizer's chat template is not known here; known is Qwen2's")


def _pixels(folder: Path, size: int) -> dict[str, Any]:
    """Frames are squashed to the tower's size; the folder may say other means than SigLIP's."""
    stored = file_in(folder / "vision_tower", "preprocessor_config.json") or file_in(folder, "preprocessor_config.json")
    said = {} if stored is None else json.loads(stored.read_text(encoding="utf-8"))
    half = [0.5, 0.5, 0.5]
    return {
        "size": (size, size),
        "image_mean": said.get("image_mean") or half,
        "image_std": said.get("image_std") or half,
    }
