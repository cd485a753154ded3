"""Folders written by ``stgraph convert`` for models whose videos transformers' own classes would read wrongly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stgraph.errors import InputError
from stgraph.vlm.checkpoints import llava_video
from stgraph.vlm.checkpoints.layout import Plan, refuse


class _Converted:
    def matches(self, config: Mapping[str, Any]) -> bool:
        """LlavaOnevision with LLaVA-Video's own keys, or a flat configuration of NVILA."""
        if config.get("model_type") == "nvila":
            return "nvila_downsample" in config
        return config.get("model_type") == "llava_onevision" and not _is_plain(config)

    def plan(self, folder: Path, config: Mapping[str, Any], **options: Any) -> Plan:
        """The plan; takes no options."""
        if options:
            raise InputError(f"{next(iter(options))!r} is not an option of converted folders")
        if config["model_type"] == "nvila":
            from stgraph.vlm.checkpoints.modeling_nvila import NvilaConfig, NvilaForConditionalGeneration

            return Plan(NvilaConfig.from_pretrained(str(folder)), lambda: NvilaForConditionalGeneration)
        from transformers import LlavaOnevisionConfig

        refuse(folder, config, llava_video.VIDEO_KEYS)
        made = LlavaOnevisionConfig.from_pretrained(str(folder))
        return Plan(made, llava_video.model_class, processor=llava_video.processor_options(made))


CONVERTED = _Converted()


def _is_plain(config: Mapping[str, Any]) -> bool:
    """Whether transformers' own class pools and places newlines as specified by the keys."""
    return (config.get("mm_newline_position") or "one_token", config.get("mm_spatial_pool_mode") or "bilinear") == (
        "one_token",
        "bilinear",
    )
