"""Layouts of checkpoint folders that transformers has no class for, and the table of those supported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from stgraph.errors import InputError
from stgraph.registry import Registry
from stgraph.vlm.checkpoints.weights import Weights


@dataclass(frozen=True, eq=False)
class Plan:
    """Plan for turning a checkpoint into a transformers model, made from its configuration before weights are read.

    Attributes
    ----------
    config : of the model
    model_class : returns the class that ``config`` describes; a function, so that planning does not import models
    weights, names : the weights by stored name, and the stored name for each name in the model's state dict (of
        transformers 5); None if the folder holds transformers' own names
    processor : attributes of :class:`~stgraph.vlm.checkpoints.processing_video.VideoTokensProcessor`
    pixels : "size" (height, width), "image_mean" and "image_std" of frames
    tokenizer : with the placeholders; None if the folder has none
    generation : generation_config.json of the language model; None if the folder has none
    code : modules copied into a converted folder; empty if transformers' own classes suffice
    """

    config: Any
    model_class: Callable[[], Any]
    weights: Weights | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    processor: Mapping[str, Any] = field(default_factory=dict)
    pixels: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: Any = None
    generation: Path | None = None
    code: tuple[str, ...] = ()


class Layout(Protocol):
    """A layout of checkpoint folders."""

    def matches(self, config: Mapping[str, Any]) -> bool:
        """Whether a folder with this config.json has this layout; its contents may still be refused."""
        ...

    def plan(self, folder: Path, config: Mapping[str, Any], **options: Any) -> Plan:
        """The plan for a checkpoint in this layout.

        Raises
        ------
        InputError
            the configuration cannot be run here (the message names it), or the weights cannot be read
        """
        ...


def _check(found: Any) -> None:
    if not callable(getattr(found, "matches", None)) or not callable(getattr(found, "plan", None)):
        raise InputError(f"expected an object with matches() and plan(), got {found!r}")


LAYOUTS = Registry(
    "checkpoint layout",
    {
        "llava-video": "stgraph.vlm.checkpoints.llava_video:LLAVA_VIDEO",
        "nvila": "stgraph.vlm.checkpoints.nvila:NVILA",
        "converted": "stgraph.vlm.checkpoints.converted:CONVERTED",
    },
    "stgraph.checkpoint_layouts",
    _check,
)


def layout_of(config: Mapping[str, Any]) -> Layout | None:
    """The layout of a folder with this config.json; None for transformers' own."""
    found = (LAYOUTS.get(name) for name in LAYOUTS.usable())
    return next((layout for layout in found if layout.matches(config)), None)


def onevision_parts(vision: Any, text: Any, image: int, video: int, tied: bool) -> dict[str, Any]:
    """Arguments of ``LlavaOnevisionConfig`` and its derivatives shared by these layouts.

    Features are the tower's whole output, without a CLS token to remove.
    """
    return {
        "vision_config": vision,
        "text_config": text,
        "image_token_index": image,
        "video_token_index": video,
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "tie_word_embeddings": tied,
    }


def refuse(folder: Path, config: Mapping[str, Any], wanted: Mapping[str, tuple[Any, ...]]) -> None:
    """Raise for the first key with an unsupported value; a missing key counts as None."""
    for key, known in wanted.items():
        value = config.get(key)
        if value not in known:
            told = ", ".join(repr(one) for one in known if one is not None) or "nothing"
            raise InputError(f"{folder}: {key} is {value!r}, which is not read here; known is {told}")


def file_in(folder: Path, name: str) -> Path | None:
    """A file of the folder, or None if it does not exist."""
    return folder / name if (folder / name).is_file() else None
