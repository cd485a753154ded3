"""Folders of lmms-lab's LLaVA-Video (and LLaVA-OneVision), as LLaVA-NeXT's code writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stgraph.errors import InputError
from stgraph.vlm.checkpoints.layout import Plan, file_in, onevision_parts, refuse
from stgraph.vlm.checkpoints.tokenizers import chat_template, placeholder, read_tokenizer
from stgraph.vlm.checkpoints.weights import Weights, stored_weights
from stgraph.vlm.families import NEWLINE_POSITIONS, POOL_MODES

_TOWER = "model.vision_tower.vision_tower.vision_model."
_HEADS = {768: 12, 1024: 16, 1152: 16}  # SigLIP base, large, so400m: no weight's shape and no key says it
_SIZE = re.compile(r"patch(\d+)-(\d+)$")
_PINPOINTS = re.compile(r"\((\d+)x(\d+)\)")
# Supported values. Other keys describe training, or are read below.
VIDEO_KEYS: dict[str, tuple[Any, ...]] = {
    "mm_spatial_pool_mode": (None, *POOL_MODES),
    "mm_spatial_pool_stride": (None, 2),
    "mm_newline_position": (None, *NEWLINE_POSITIONS),
}
_KNOWN: dict[str, tuple[Any, ...]] = {
    "architectures": (["LlavaQwenForCausalLM"],),
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_patch_merge_type": ("spatial_unpad",),
    **VIDEO_KEYS,
    "mm_resampler_type": (None,),
    "mm_use_im_start_end": (None, False),
    "mm_use_im_patch_token": (None, False),
    "add_faster_video": (None, False),
    "use_sliding_window": (None, False),
    "quantization_config": (None,),
}
_TEXT = (
    "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads hidden_act "
    "max_position_embeddings initializer_range rms_norm_eps rope_theta attention_dropout use_cache tie_word_embeddings "
    "bos_token_id eos_token_id pad_token_id"
).split()
_RENAMES = (
    (re.compile(r"model\.mm_projector\.0\."), "model.multi_modal_projector.linear_1."),
    (re.compile(r"model\.mm_projector\.2\."), "model.multi_modal_projector.linear_2."),
    (re.compile(re.escape(_TOWER)), "model.vision_tower."),
    (re.compile(r"model\.(?=(?:embed_tokens|layers|norm)\.)"), "model.language_model."),
    (re.compile(r"(?=(?:lm_head\.weight|model\.image_newline)$)"), ""),
)
_LEFT_OUT = re.compile(rf"\.rotary_emb\.inv_freq$|\.position_ids$|^{re.escape(_TOWER)}head\.")


class _LlavaVideo:
    def matches(self, config: Mapping[str, Any]) -> bool:
        """LLaVA's checkpoints have these keys, for any tower and language model."""
        return "mm_vision_tower" in config and "mm_projector_type" in config and "llm_cfg" not in config

    def plan(self, folder: Path, config: Mapping[str, Any], **options: Any) -> Plan:
        """``pooling`` goes before mm_spatial_pool_mode; ``vision``: keys of ``SiglipVisionConfig``, for towers whose
        number of heads is in no file."""
        from transformers import LlavaOnevisionConfig, Qwen2Config

        if "pooling" in options:
            config = {**config, "mm_spatial_pool_mode": options.pop("pooling")}
        refuse(folder, config, _KNOWN)
        if "siglip" not in str(config["mm_vision_tower"]).lower():
            raise InputError(
                f"{folder}: the vision tower {config['mm_vision_tower']!r} is not read here; known is SigLIP"
            )
        weights = stored_weights(folder)
        vision = _vision_config(config, weights, options.pop("vision", None) or {})
        if options:
            raise InputError(
                f"{next(iter(options))!r} is not an option of LLaVA-Video folders; known are 'pooling' and 'vision'"
            )
        tied = bool(config.get("tie_word_embeddings")) or "lm_head.weight" not in weights.entries
        text = Qwen2Config(**{key: config[key] for key in _TEXT if key in config} | {"tie_word_embeddings": tied})
        tokenizer = read_tokenizer(folder)
        if tokenizer is None:
            image = int(config.get("image_token_index") or 151646)  # a row that Qwen2's vocabulary leaves unused
            video = image + 1
        else:
            image, video = (placeholder(tokenizer, f"<{kind}>", text.vocab_size) for kind in ("image", "video"))
        aspect = str(config.get("image_aspect_ratio") or "anyres_max_9")
        made = LlavaOnevisionConfig(
            **onevision_parts(vision, text, image, video, tied),
            vision_aspect_ratio=aspect,
            image_grid_pinpoints=_pinpoints(config.get("image_grid_pinpoints"), vision.image_size),
        )
        made.mm_newline_position = config.get("mm_newline_position") or "one_token"
        made.mm_spatial_pool_mode = config.get("mm_spatial_pool_mode") or "bilinear"
        made.mm_spatial_pool_stride = 2
        plain = made.mm_newline_position == "one_token" and made.mm_spatial_pool_mode == "bilinear"
        return Plan(
            config=made,
            model_class=model_class,
            weights=weights,
            names=_names(folder, weights, tied),
            processor=processor_options(made),
            pixels={"size": (vision.image_size, vision.image_size), "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
            tokenizer=tokenizer,
            generation=file_in(folder, "generation_config.json"),
            code=() if plain else ("video_embeddings", "modeling_llava_video", "processing_video"),
        )


LLAVA_VIDEO = _LlavaVideo()


def model_class() -> Any:
    """The class of the model."""
    from stgraph.vlm.checkpoints.modeling_llava_video import LlavaVideoForConditionalGeneration

    return LlavaVideoForConditionalGeneration


def processor_options(config: Any) -> dict[str, Any]:
    """The processor's arguments from a LlavaOnevision configuration with LLaVA-Video's keys."""
    side = config.vision_config.image_size // config.vision_config.patch_size
    mode = getattr(config, "mm_spatial_pool_mode", None) or "bilinear"
    pooled = math.ceil(side / 2) if mode == "bilinear" else side // 2
    return {
        "num_image_tokens": side * side,
        "vision_feature_select_strategy": "full",
        "vision_aspect_ratio": config.vision_aspect_ratio,
        "chat_template": chat_template("You are a helpful assistant.", "<video>", "<image>", "\n"),
        "frame_tokens": (pooled, pooled),
        "newlines": getattr(config, "mm_newline_position", None) or "one_token",
        "takes_images": str(config.vision_aspect_ratio).startswith("anyres_max_"),
    }


def _vision_config(config: Mapping[str, Any], weights: Weights, given: Mapping[str, Any]) -> Any:
    """The tower's configuration: no key states its shape, so it is derived from the weights and the tower's name."""
    from transformers import SiglipVisionConfig

    hidden, _, _, patch = weights.shape(f"{_TOWER}embeddings.patch_embedding.weight")
    n_patches = weights.shape(f"{_TOWER}embeddings.position_embedding.weight")[0]
    layers = {
        int(name.removeprefix(f"{_TOWER}encoder.layers.").split(".")[0])
        for name in weights.entries
        if name.startswith(f"{_TOWER}encoder.layers.")
    }
    named = _SIZE.search(str(config["mm_vision_tower"]))
    image_size = int(named[2]) if named else math.isqrt(n_patches) * patch
    found = {
        "hidden_size": hidden,
        "intermediate_size": weights.shape(f"{_TOWER}encoder.layers.0.mlp.fc1.weight")[0],
        "num_hidden_layers": len(layers),
        "image_size": image_size,
        "patch_size": patch,
        "num_attention_heads": _HEADS.get(hidden),
        "vision_use_head": False,
        **(config.get("vision_config") or {}),
        **given,
    }
    if found["num_attention_heads"] is None:
        raise InputError(
            f"the vision tower is {hidden} wide, and no file says how many attention heads it has (SigLIP's own are "
            f"{', '.join(map(str, _HEADS))} wide); pass vision={{'num_attention_heads': ...}}, or write "
            "'vision_config': {'num_attention_heads': ...} into config.json"
        )
    return SiglipVisionConfig(**found)


def _names(folder: Path, weights: Weights, tied: bool) -> dict[str, str]:
    """New name -> stored name."""
    names = {}
    for stored in weights.entries:
        if _LEFT_OUT.search(stored) or (tied and stored == "lm_head.weight"):
            continue
        new = next((pattern.sub(to, stored, count=1) for pattern, to in _RENAMES if pattern.match(stored)), None)
        if new is None:
            raise InputError(
                f"{folder} holds {stored!r}, not a weight of LLaVA-Video with SigLIP, a two-layer MLP and Qwen2"
            )
        names[new] = stored
    return names


def _pinpoints(value: Any, size: int) -> Any:
    """Resolutions of images: pairs, or the authors' range "(1x1),...,(6x6)" of numbers of tiles."""
    if not isinstance(value, str):
        return value
    ends = [(int(a), int(b)) for a, b in _PINPOINTS.findall(value)]
    if len(ends) != 2:
        raise InputError(f"image_grid_pinpoints is {value!r}; expected pairs, or a range such as '(1x1),...,(6x6)'")
    (top, left), (bottom, right) = ends
    return [[i * size, j * size] for i in range(top, bottom + 1) for j in range(left, right + 1)]
