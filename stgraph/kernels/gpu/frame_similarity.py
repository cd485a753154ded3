"""Cosine similarity of every token with the same position in another frame, on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stgraph.aliases import Array
from stgraph.errors import bad_token
from stgraph.kernels.gpu.chunks import chunks
from stgraph.kernels.reference_frames import check_reference


def frame_cosines(x: Any, reference: Array) -> tuple[Any, Any]:
    """Cosine of each token to the same position of its frame's reference frame, and the norms, both on the device.

    Parameters
    ----------
    x : [T, H, W, d] float32, float16 or bfloat16 tensor, any strides
    reference : [T] int64 in host memory, the frame each frame is compared with, -1 for none

    Returns
    -------
    cosine : [T, H, W] float32, in [-1, 1]; 0 without a reference and where either token has zero norm; from sums in
        float64
    norms : [T, H, W] float64

    Raises
    ------
    FeatureError
        a token holds NaN or Inf (the first one is named)
    InputError
        a reference is not a frame
    """
    T, H, W, _ = x.shape
    check_reference(reference, T)
    frames = torch.from_numpy(np.maximum(reference, 0).astype(np.int64)).to(x.device)
    square, dot = (torch.empty((T, H, W), dtype=torch.float64, device=x.device) for _ in range(2))
    for a, b in chunks(x):
        wide = x[a:b].double()
        square[a:b] = (wide * wide).sum(-1)
        dot[a:b] = (wide * x[frames[a:b]].double()).sum(-1)
    norms = square.sqrt()
    good = norms.isfinite().reshape(-1)
    if not bool(good.all()):
        raise bad_token(int((~good).nonzero()[0]), H, W)
    referred = torch.from_numpy(reference >= 0).to(x.device)[:, None, None]
    scale = torch.where(referred, norms * norms[frames], 0.0)
    cosine = torch.where(scale > 0, dot / torch.where(scale > 0, scale, 1.0), 0.0)
    return cosine.clamp(-1, 1).float(), norms
