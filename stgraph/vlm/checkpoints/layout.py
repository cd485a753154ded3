"""Layouts: checkpoint folders that transformers has no class for, and the table of those that are read here."""

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
    """How one checkpoint becomes a model of transformers; made from its configuration, before a weight is read.

    Attributes
    ----------
    config : of the model
    model_class : gives the class that ``config`` describes; a function, so that planning imports no model
    weights, names : the former by their stored names, and for each name in the model's state dict (of transformers 5)
        the stored one; None where the folder holds transformers' own names
    processor : attributes of :class:`~stgraph.vlm.checkpoints.processing_video.VideoTokensProcessor`
    pixels : "size" (height, width), "image_mean" and "image_std" of frames
    tokenizer : with the placeholders; None where the folder holds none
    generation : generation_config.json of the language model; None where the folder holds none
    code : modules that a converted folder needs a copy of; empty where transformers' own classes do the same
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
    """One way to lay out a checkpoint folder."""

    def matches(self, config: Mapping[str, Any]) -> bool:
        """Whether a folder with this config.json is laid out like this; what it holds may still be refused."""
        ...

    def plan(self, folder: Path, config: Mapping[str, Any], **options: Any) -> Plan:
        """What is to be done with it.

        Raises
        ------
        InputError
            a configuration that cannot be run here, named; weights that cannot be read
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
    """The layout of a folder with this config.json; None where it is transformers' own."""
    found = (LAYOUTS.get(name) for name in LAYOUTS.usable())
    return next((layout for layout in found if layout.matches(config)), None)


def onevision_parts(vision: Any, text: Any, image: int, video: int, tied: bool) -> dict[str, Any]:
    """Arguments of ``LlavaOnevisionConfig``, and of what is made from it, that these layouts share.

    Features are all of the tower's output, without a CLS token to leave out.
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
    """Raise for the first key whose value is none of those that can be run; a key that is not there counts as None."""
    for key, known in wanted.items():
        value = config.get(key)
        if value not in known:
            told = ", ".join(repr(one) for one in known if one is not None) or "nothing"
            raise InputError(f"{folder}: {key} is {value!r}, which is not read here; known is {told}")


def file_in(folder: Path, name: str) -> Path | None:
    """A file of the folder; None where it is not there."""
    return folder / name if (folder / name).is_file() else None
