"""Pixel values in the form a checkpoint expects, by its preprocessor_config.json.

The image processors of transformers need torchvision, whose wheels do not load with every torch. Their steps for vision
backbones (resize, crop, rescale, normalise) are implemented here; configurations that need more are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stgraph.aliases import Array
from stgraph.errors import InputError, checkpoint_unread, missing_dependency

_KNOWN_STEPS = {"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"}
_MODES = {2: "bilinear", 3: "bicubic"}  # PIL's numbers


@dataclass(frozen=True)
class Preprocessing:
    """The steps of one checkpoint.

    Attributes
    ----------
    size : (height, width), or (shorter side,) to keep the aspect ratio; None leaves the frame unchanged
    mode : "bilinear" or "bicubic", both with antialiasing
    crop : (height, width) of the centre crop, None for no crop
    scale : factor on values of 0 to 255
    mean, std : per channel
    """

    size: tuple[int, ...] | None
    mode: str
    crop: tuple[int, int] | None
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, rgb: Array) -> Any:
        """[B, 3, H, W] float32 tensor of [B, h, w, 3] uint8 frames."""
        import torch
        from torch.nn.functional import interpolate, pad

        x = torch.from_numpy(rgb).permute(0, 3, 1, 2)
        if self.size is not None:
            size = self.size if len(self.size) == 2 else _shorter(self.size[0], rgb.shape[1], rgb.shape[2])
            if tuple(x.shape[2:]) != size:
                x = interpolate(x, size, mode=self.mode, antialias=True, align_corners=False)
        if self.crop is not None:
            height, width = self.crop
            missing = max(height - x.shape[2], 0), max(width - x.shape[3], 0)
            x = pad(x, (missing[1] // 2, (missing[1] + 1) // 2, missing[0] // 2, (missing[0] + 1) // 2))
            top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
            x = x[:, :, top : top + height, left : left + width]
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (x.float() * self.scale - mean) / std


def preprocessing_of(checkpoint: str) -> Preprocessing:
    """The preprocessing of a checkpoint on disk or on the Hugging Face hub.

    Raises
    ------
    MissingDependencyError
        transformers is not installed
    InputError
        its preprocessor_config.json is missing or has unknown steps
    """
    try:
        from transformers.image_processing_base import ImageProcessingMixin
    except ImportError:
        raise missing_dependency("encoding with a checkpoint", "transformers", "hf") from None
    try:
        config, _ = ImageProcessingMixin.get_image_processor_dict(checkpoint)
    except OSError as error:
        raise checkpoint_unread("read the preprocessing of", checkpoint, error) from None
    return parse(config, checkpoint)


def parse(config: Mapping[str, Any], checkpoint: str) -> Preprocessing:
    """The steps of a preprocessor_config.json; ``checkpoint`` is named in errors."""
    further = sorted(k for k, v in config.items() if k.startswith("do_") and v and k not in _KNOWN_STEPS)
    if further:
        raise _unknown(checkpoint, f"the step {further[0]!r}")
    resizes, crops = config.get("do_resize", True), config.get("do_center_crop", False)
    resample = config.get("resample", 3)
    if resizes and resample not in _MODES:
        raise _unknown(checkpoint, f"resample {resample!r}")
    normalises = config.get("do_normalize", True)
    return Preprocessing(
        size=_sides(config.get("size"), checkpoint) if resizes else None,
        mode=_MODES.get(resample, "bicubic"),
        crop=_pair(config.get("crop_size"), checkpoint) if crops else None,
        scale=float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0,
        mean=tuple(config["image_mean"]) if normalises else (0.0,) * 3,
        std=tuple(config["image_std"]) if normalises else (1.0,) * 3,
    )


def _sides(size: Any, checkpoint: str) -> tuple[int, ...]:
    if isinstance(size, int):
        return (size,)
    if isinstance(size, Mapping) and set(size) == {"shortest_edge"}:
        return (int(size["shortest_edge"]),)
    return _pair(size, checkpoint)


def _pair(size: Any, checkpoint: str) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and set(size) == {"height", "width"}:
        return int(size["height"]), int(size["width"])
    raise _unknown(checkpoint, f"the size {size!r}")


def _shorter(side: int, height: int, width: int) -> tuple[int, int]:
    """(height, width) with ``side`` as the shorter one, and the longer one rounded down."""
    longer = int(side * max(height, width) / min(height, width))
    return (side, longer) if height <= width else (longer, side)


def _unknown(checkpoint: str, what: str) -> InputError:
    return InputError(
        f"the preprocessing of {checkpoint} has {what}, which is not known for vision backbones alone. Take the tokens "
        "from the whole model (--model), or a checkpoint that only resizes, crops and normalises"
    )
