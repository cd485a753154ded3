"""Model families: their modules, placeholder tokens, and layouts of video tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stgraph.errors import InputError, UnknownNameError

Side = Callable[[Any], tuple[int, int]]

VISION = ("visual", "vision_tower", "vision_model")

# How LLaVA-Video's code makes a frame smaller: to ceil(side / stride), or whole windows alone.
POOL_MODES = ("bilinear", "average", "max")

# The names LLaVA-Video's own configuration gives to the newlines of a video, and ours.
NEWLINE_POSITIONS = {"grid": "row", "frame": "frame", "one_token": "video", "no_token": "none"}


@dataclass(frozen=True)
class Family:
    """Layout of video tokens in one model type.

    Attributes
    ----------
    token : "video" or "image": whose placeholder the frames of a video use
    side : (H, W) of a frame's tokens from the configuration; None if the vision tower receives the grid
    per_run : whether each unbroken run of placeholders is a separate video; otherwise all of a row are one video
    newlines : newline tokens among the placeholders, see :data:`stgraph.vlm.grids.NEWLINES`
    marked : whether images share the placeholder, and only placeholders between video markers are video
    hint : advice if the number of placeholders does not match the grid
    images : layout of images: "encoded", in the grid the vision tower received; "anyres", whole and in tiles, as in
        LLaVA-NeXT; "equal", all of one size; "" if unknown
    image_side : (H, W) of an image's tokens from the configuration, if different from frames
    images_alone : whether the model takes images only
    """

    token: str
    side: Side | None = None
    per_run: bool = False
    newlines: str = "none"
    marked: bool = False
    hint: str = ""
    images: str = ""
    image_side: Side | None = None
    images_alone: bool = False


def _patches(config: Any) -> tuple[int, int]:
    vision = config.vision_config
    height, width = _pair(vision.image_size)
    patch_height, patch_width = _pair(vision.patch_size)
    return height // patch_height, width // patch_width


def _pair(value: Any) -> tuple[int, int]:
    height, width = value if isinstance(value, (list, tuple)) else (value, value)
    return int(height), int(width)


def _onevision(config: Any) -> tuple[int, int]:
    """LLaVA-Video's own keys specify the pooling of frames; transformers' class lacks them and uses the first."""
    height, width = _patches(config)
    mode, stride = getattr(config, "mm_spatial_pool_mode", None), getattr(config, "mm_spatial_pool_stride", None)
    if mode not in (None, *POOL_MODES):
        raise InputError(f"config.mm_spatial_pool_mode is {mode!r}; known are {', '.join(POOL_MODES)}. Or pass grids=")
    if stride is None:
        stride = 2
    if not isinstance(stride, int) or not 1 <= stride <= min(height, width):
        raise InputError(
            f"config.mm_spatial_pool_stride is {stride!r}; frames have {height}x{width} patches. Or pass grids="
        )
    if mode in ("average", "max"):
        return height // stride, width // stride
    return -(-height // stride), -(-width // stride)


def _next_video(config: Any) -> tuple[int, int]:
    height, width = _patches(config)
    return height // config.spatial_pool_stride, width // config.spatial_pool_stride


def _internvl(config: Any) -> tuple[int, int]:
    height, width = _patches(config)
    return int(height * config.downsample_ratio), int(width * config.downsample_ratio)


def _smolvlm(config: Any) -> tuple[int, int]:
    height, width = _patches(config)
    return height // config.scale_factor, width // config.scale_factor


def _nvila(config: Any) -> tuple[int, int]:
    """Patches are joined n x n with zeros beyond an uneven edge, then adjacent ones are averaged."""
    height, width = _patches(config)
    n, (_, rows, columns) = config.nvila_downsample, config.nvila_pool
    return -(-height // n) // rows, -(-width // n) // columns


_MARKED = Family("image", marked=True, hint="frames stand between video_start_token_id and video_end_token_id")
_ROW_IS_VIDEO = "images and frames share a placeholder here, so that all of a row count as one video: pass grids="

FAMILIES = {
    "llava_onevision": Family(
        "video", _onevision, per_run=True, newlines="video", images="anyres", image_side=_patches
    ),
    "llava_next_video": Family("video", _next_video, per_run=True, images="anyres", image_side=_patches),
    "llava": Family("image", _patches, images="equal", images_alone=True),
    "llava_next": Family("image", _patches, images="anyres", images_alone=True),
    "nvila": Family("video", _nvila, per_run=True, newlines="frame"),
    "qwen2_vl": Family("video", images="encoded"),
    "qwen2_5_vl": Family("video", images="encoded"),
    "qwen3_vl": Family("video", images="encoded"),
    "qwen3_vl_moe": Family("video"),
    "qwen3_5": Family("video"),
    "qwen3_5_moe": Family("video"),
    "qwen2_5_omni_thinker": Family("video"),
    "qwen3_omni_moe_thinker": Family("video"),
    "exaone4_5": Family("video"),
    "hyperclovax_vision_v2": Family("video"),
    "ernie4_5_vl_moe": Family("video"),
    "glm4v": _MARKED,
    "glm4v_moe": _MARKED,
    "glm46v": _MARKED,
    "glmga": _MARKED,
    "glm_ocr": _MARKED,
    "cosmos3_edge": Family("video"),
    "cosmos3_omni": Family("video"),
    "cohere_compass": Family("video"),
    "video_llava": Family("video", _patches, per_run=True, newlines="cls"),
    "internvl": Family("image", _internvl, hint=_ROW_IS_VIDEO, images="equal"),
    "smolvlm": Family("image", _smolvlm, hint=_ROW_IS_VIDEO),
    "video_llama_3": Family(
        "video", hint="the processor must not drop tokens itself: processor(..., use_token_compression=False)"
    ),
}


@dataclass(frozen=True, eq=False)
class Parts:
    """The modules of a model that receive hooks, and its family's facts.

    ``markers`` are the tokens before and after each video, if only these distinguish it from images; ``instead`` is a
    placeholder to look for if the prompt has no ``token_id``; ``image_id`` is that of images, if any.
    """

    model: Any
    base: Any
    text: Any
    vision: Any
    family: Family
    model_type: str
    token_id: int
    newlines: str
    markers: tuple[int, int] | None = None
    instead: int | None = None
    image_id: int | None = None


def parts_of(model: Any, has_grids: bool = False) -> Parts:
    """Find the parts of a Hugging Face model.

    Parameters
    ----------
    has_grids : the caller gives the videos' places, so that the family may be unknown

    Raises
    ------
    InputError
        not a Hugging Face model with a text model inside, or without a placeholder token
    UnknownNameError
        the layout of the model type is unknown
    """
    model = getattr(model, "get_base_model", lambda: model)()  # of PEFT
    config = getattr(model, "config", None)
    base = getattr(model, "model", None)
    if base is None and hasattr(model, "thinker"):
        raise InputError(f"model is {type(model).__name__}; pass its .thinker, the part that sees the video and writes")
    if config is None or base is None or not hasattr(model, "generate"):
        raise InputError(
            f"model is {type(model).__name__}; expected a Hugging Face ...ForConditionalGeneration with .config, "
            ".model and .generate (unwrap it first if it is wrapped)"
        )
    model_type = str(getattr(config, "model_type", ""))
    family, instead = FAMILIES.get(model_type), None
    if family is None:
        if not has_grids:
            raise UnknownNameError(
                f"compress() does not know how model type {model_type!r} lays out video tokens; known are "
                f"{', '.join(FAMILIES)}. Pass grids= to say where the videos are"
            )
        family = Family("video" if _token_id(config, "video") is not None else "image")
        instead = _token_id(config, "image")  # some of GLM's kin name a video token and write the other
    token_id = _token_id(config, family.token)
    if token_id is None:
        raise InputError(f"the configuration of {type(model).__name__} names no {family.token}_token_id")
    text = _first(base, "language_model", "text_model")
    if text is None and hasattr(base, "layers") and _first(model, *VISION) is not None:
        base, text = model, base  # transformers 4: the parts of a thinker lie side by side
    if text is None or not hasattr(text, "layers"):
        raise InputError(f"{type(base).__name__} has no text model with decoder layers that compress() can find")
    return Parts(
        model=model,
        base=base,
        text=text,
        vision=_first(base, *VISION),
        family=family,
        model_type=model_type,
        token_id=token_id,
        newlines=family.newlines if has_grids else _newlines(config, family),
        markers=_markers(config) if family.marked and not has_grids else None,
        instead=instead,
        image_id=_token_id(config, "image"),
    )


def _first(module: Any, *names: str) -> Any:
    """The first existing one of these attributes."""
    found = (getattr(module, name, None) for name in names)
    return next((part for part in found if part is not None), None)


def _token_id(config: Any, kind: str) -> int | None:
    token = _first(config, f"{kind}_token_id", f"{kind}_token_index")
    return None if token is None else int(token)


def _markers(config: Any) -> tuple[int, int]:
    """The tokens before and after a video."""
    start, end = (getattr(config, f"video_{end}_token_id", None) for end in ("start", "end"))
    if start is None or end is None:
        raise InputError(
            "the configuration names no video_start_token_id and video_end_token_id, between which this family's "
            "frames stand; pass grids="
        )
    return int(start), int(end)


def _newlines(config: Any, family: Family) -> str:
    """The newline layout: the family's, or that of a LLaVA-Video configuration."""
    position = getattr(config, "mm_newline_position", None)
    if position is None or family.newlines == "none":
        return family.newlines
    if position not in NEWLINE_POSITIONS:
        raise InputError(
            f"config.mm_newline_position is {position!r}; known are {', '.join(NEWLINE_POSITIONS)}. Or pass grids="
        )
    return NEWLINE_POSITIONS[position]
