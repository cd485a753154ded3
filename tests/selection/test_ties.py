"""Ties go to the smaller index: where all tokens and their signals are equal, each frame keeps its first ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stgraph import VideoTokens, selector

T, H, W, D, M, LAYERS = 3, 4, 5, 8, 4, 29
N, SEQ = T * H * W, T * H * W + 4


def equal() -> VideoTokens:
    """Tokens that nothing tells apart."""
    shapes: dict[str, tuple[int, ...]] = {
        "enc_recv_attn": (T, H * W),
        "llm_attn_last": (LAYERS, SEQ),
        "llm_attn_text": (LAYERS, M, SEQ),
        "llm_attn_text_even": (LAYERS, M, SEQ),
        "llm_attn_text_sum": (LAYERS, SEQ),
        "llm_attn_visual_mean": (LAYERS, SEQ),
        "llm_attn_textmax": (SEQ,),
        "text_embeds": (M, D),
        "llm_keys": (1, 2, SEQ, 4),
        "llm_hidden": (1, SEQ, D),
    }
    signals = {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}
    signals |= {"llm_attn_layers": np.arange(LAYERS), "seq_index": np.arange(N)}
    return VideoTokens.from_array(np.ones((T, H, W, D), np.float32), signals=signals)


@pytest.mark.parametrize("n_keep", [5, 17, 44])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("evs", {}),
        ("evs", {"per_frame": True}),
        ("dtd", {}),
        ("divprune", {}),
        ("divprune", {"scope": "frame"}),
        ("vcast", {}),
        ("flashvid", {}),
        ("flashvid-attention", {}),
        ("prunevid", {}),
        ("prunevid-attention", {}),
        ("fastv", {}),
        ("pyramiddrop", {}),
        ("fitprune", {}),
        ("cdpruner", {}),
        ("cdpruner", {"scope": "video"}),
        ("dart", {}),
        ("dart-embedding", {}),
        ("sparsevlm", {}),
        ("sparsevlm", {"version": "2.0"}),
    ],
    ids=str,
)
def test_the_first_of_each_frame_are_kept(name: str, options: dict[str, Any], n_keep: int) -> None:
    kept = selector(name, n_keep=n_keep, **options).select(equal())
    marked = np.zeros(N, np.bool_)
    marked[kept.nodes] = True
    frames = marked.reshape(T, -1)
    assert marked.sum() == n_keep
    assert (frames == (np.arange(H * W) < frames.sum(1)[:, None])).all()
