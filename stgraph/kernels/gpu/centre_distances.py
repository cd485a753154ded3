"""Distances of unit features to the mean of their frame and of the video, on given channels, on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stgraph.aliases import Array
from stgraph.kernels.gpu.chunks import chunks, units


def centre_distances(x: Any, channels: Array) -> tuple[Any, Any]:
    """Squared distances of every unit feature to the mean of its frame's and of the video's unit features.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16 tensor, any strides; finite
    channels : [d] bool in host memory
        the channels used; features are scaled to unit length on these. Those of zero length stay zero

    Returns
    -------
    to_frame, to_video : [T, H, W] float32 tensors
    """
    T, H, W, _ = x.shape
    chosen = torch.from_numpy(np.flatnonzero(channels)).to(x.device)

    frames = torch.cat([units(x[a:b].index_select(3, chosen)).mean((1, 2)) for a, b in chunks(x)])
    video = frames.mean(0)
    found = torch.empty((2, T, H, W), dtype=torch.float64, device=x.device)
    for a, b in chunks(x):
        unit = units(x[a:b].index_select(3, chosen))
        for i, centre in enumerate((frames[a:b, None, None], video)):
            apart = unit - centre
            found[i, a:b] = (apart * apart).sum(-1)
    to_frame, to_video = found.float()
    return to_frame, to_video
