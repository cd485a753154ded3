"""Further signals of the probe's language model for one video's prompt, beyond the attention of its last tokens.

The prompt is the video with all of its questions, which do not see each other: their words are the text after the
video, and one selection serves them all.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from stgraph.aliases import Array
from stgraph.arrays import to_numpy
from stgraph.bench.probe.depth import KEYS_LAYER, N_LAYERS, TEXT_LAYER
from stgraph.bench.probe.model import ProbeModel
from stgraph.bench.probe.scene import FRAMES, GRID
from stgraph.selection.signals.text_raters import text_raters
from stgraph.tokens import VideoTokens
from stgraph.vlm.attention_row import summed_maximum, text_maximum, text_mean

BY_LAYER = ("llm_attn_text", "llm_attn_text_even", "llm_attn_text_sum", "llm_attn_visual_mean")


def prompt_signals(
    model: ProbeModel, visual: torch.Tensor, questions: torch.Tensor, names: Collection[str]
) -> dict[str, Array]:
    """Signals of one prompt, as in a model's dump.

    Parameters
    ----------
    visual : [N, WIDTH] float32, projected features
    questions : [Q, 4] int64; their words are columns N to N + 4 Q - 1
    names : of :data:`stgraph.bench.probe.plan.PROMPT_SIGNALS`; states include the weights of the final norm
    """
    N, every = len(visual), torch.arange(len(visual))
    text = model.model.embed_tokens(questions.flatten())
    found: dict[str, Array] = {}
    if "text_embeds" in names:
        found["text_embeds"] = text.numpy()
    if not {*names} - {"text_embeds"}:
        return found
    lattice = visual.numpy().reshape(FRAMES, GRID, GRID, -1)
    tokens = VideoTokens.from_array(lattice, signals={"text_embeds": text.numpy()})
    raters = torch.from_numpy(text_raters(tokens, "the probe"))
    x, rotary, seen = model.inputs(visual[None], every[None], questions[None])
    L = x.shape[1]
    behind = torch.arange(N, L)
    pairs = torch.ones(1, 1, L, L, dtype=torch.bool)
    pairs[0, 0, N:] = seen == 0
    rotation = tuple(part[0, 0] for part in rotary)
    options: dict[str, Any] = {}

    def read(name: str, q: torch.Tensor, k: torch.Tensor) -> Array:
        given = q, k, pairs, torch.ones(1, L, dtype=torch.bool), options
        if name == "llm_attn_text":
            row = text_mean(*given, behind)
        elif name == "llm_attn_text_even":
            row = text_mean(*given, behind, rotation, behind[raters], every)
        elif name == "llm_attn_textmax":
            row = text_maximum(*given, behind)[0]
        elif name == "llm_attn_text_sum":
            row = summed_maximum(*given, behind)
        else:
            row = summed_maximum(*given, every) / N
        return to_numpy(row)

    rows: dict[str, list[Array]] = {name: [] for name in BY_LAYER if name in names}
    for i, layer in enumerate(model.model.layers):
        q, k, _ = layer.self_attn.heads(layer.input_layernorm(x), rotary, 0)
        for name, made in rows.items():
            made.append(read(name, q, k))
        if i == TEXT_LAYER and "llm_attn_textmax" in names:
            found["llm_attn_textmax"] = read("llm_attn_textmax", q, k)
        if i == KEYS_LAYER and "llm_keys" in names:
            found["llm_keys"] = k.numpy()
        if i == KEYS_LAYER + 1 and "llm_hidden" in names:
            found |= {"llm_hidden": x.numpy(), "llm_norm_weight": model.model.norm.weight.numpy()}
        if i < N_LAYERS - 1:
            x = layer(x, rotary, seen)
    return found | {name: np.stack(made) for name, made in rows.items()}
