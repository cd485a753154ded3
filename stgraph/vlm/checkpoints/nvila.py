"""Folders of NVILA: llm/, vision_tower/ and mm_projector/ side by side, or (NVILA-*-hf) one state dict."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stgraph.errors import InputError
from stgraph.vlm.checkpoints.layout import Plan, file_in, onevision_parts
from stgraph.vlm.checkpoints.nvila_parts import Parts, of_folders, of_one_state
from stgraph.vlm.checkpoints.tokenizers import chat_template, placeholder, read_tokenizer
from stgraph.vlm.checkpoints.weights import Weights

_SYSTEMS = ("You are a helpful assistant", "You are a helpful assistant.")  # VILA's qwen2.jinja; Qwen2's own
_TALK = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
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


class _Nvila:
    def matches(self, config: Mapping[str, Any]) -> bool:
        """VILA's folders have a configuration for each part, the -hf ones VILA's name as model type."""
        if config.get("model_type") == "nvila":
            return "text_config" in config and "nvila_downsample" not in config
        return "llm_cfg" in config and "vision_tower_cfg" in config

    def plan(self, folder: Path, config: Mapping[str, Any], **options: Any) -> Plan:
        """The plan; takes no options."""
        from transformers import Qwen2Config, SiglipVisionConfig

        from stgraph.vlm.checkpoints.modeling_nvila import NvilaConfig

        if options:
            raise InputError(f"{next(iter(options))!r} is not an option of NVILA folders")
        parts = of_folders(folder, config) if "llm_cfg" in config else of_one_state(folder, config)
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
            **onevision_parts(vision, text, image, video, tied),
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


def _projector(folder: Path, parts: Parts, c: int) -> tuple[int, int]:
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
    """The tokenizer's own chat template with pictures; VILA's if it has none."""
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
    """Frames are resized to the tower's size, ignoring aspect; the folder may state means other than SigLIP's."""
    stored = file_in(folder / "vision_tower", "preprocessor_config.json") or file_in(folder, "preprocessor_config.json")
    said = {} if stored is None else json.loads(stored.read_text(encoding="utf-8"))
    half = [0.5, 0.5, 0.5]
    return {
        "size": (size, size),
        "image_mean": said.get("image_mean") or half,
        "image_std": said.get("image_std") or half,
    }
