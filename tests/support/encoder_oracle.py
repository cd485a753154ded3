"""Encoder signals of a tiny model from its eager attention, put in order by other means than the library's."""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from vlm_models import Case, torch

import stgraph
from stgraph import Selection, VideoTokens
from stgraph.vlm.encoder_signals import ENCODER_SIGNALS, OF_CLS
from stgraph.vlm.families import parts_of
from stgraph.vlm.model_tower import PACKED

Array = np.ndarray[Any, Any]

# family -> (blocks of the tower, the one whose output goes on, tokens before the patches, sides of a frame)
PICTURES = {
    "llava_onevision": ("vision_model.encoder.layers", -1, 0, (6, 6)),
    "llava_next_video": ("vision_model.encoder.layers", -2, 1, (4, 4)),
    "internvl": ("encoder.layer", -1, 1, (8, 8)),
    "smolvlm": ("encoder.layers", -1, 0, (8, 8)),
}
FAMILIES = [*PICTURES, *sorted(PACKED)]


@dataclass
class Recording:
    """A selector that asks for signals, notes the tokens it is given, and keeps every second one."""

    requires: frozenset[str]
    every: int = 2
    name: str = "recording"
    seen: list[VideoTokens] = field(default_factory=list)

    def count(self, grid: Any, budget: Any = None) -> int:
        return -(-grid.n_nodes // self.every)

    def select(self, tokens: VideoTokens, budget: Any = None) -> Selection:
        self.seen.append(tokens)
        return stgraph.selector("uniform", n_keep=self.count(tokens.grid)).select(tokens)


def signals_of(family: str) -> frozenset[str]:
    """Those that the family's tower gives."""
    cls = family in PICTURES and PICTURES[family][2]
    return frozenset(name for name in ENCODER_SIGNALS if cls or name not in OF_CLS)


def seen(case: Case, family: str, every: int = 2) -> tuple[list[VideoTokens], Any]:
    """The tokens a selector gets in one pass, and the logits."""
    recording: Any = Recording(signals_of(family), every)
    with torch.no_grad(), stgraph.compress(case.model, recording):
        logits = case.model(**case.inputs).logits
    return recording.seen, logits


def blocks_of(case: Case, family: str) -> Any:
    """(tower, its blocks)."""
    tower = parts_of(case.model).vision
    if family not in PICTURES:
        return tower, tower.blocks if hasattr(tower, "blocks") else tower.encoder.layers
    path = PICTURES[family][0]
    module: Any = tower
    for name in path.split("."):
        module = getattr(module, name) if hasattr(module, name) else module  # transformers 5 has no vision_model
    return tower, module


@torch.no_grad()
def eager_signals(case: Case, family: str) -> list[dict[str, Array]]:
    """For each video the signals [T, e, ...] in raster order: what eager attention of a copy of the model gives."""
    case = Case(copy.deepcopy(case.model), case.inputs, case.grids, case.token)
    tower, blocks = blocks_of(case, family)
    at = PICTURES[family][1] if family in PICTURES else -1
    inside = list(blocks[at].modules())
    calls: list[tuple[Any, ...]] = []
    module_file = sys.modules[type(blocks[at]).__module__]
    original = module_file.eager_attention_forward

    def eager(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
        if any(module is m for m in inside):
            scores = query @ key.repeat_interleave(query.shape[1] // key.shape[1], 1).transpose(2, 3)
            calls.append((scores.mul(options["scaling"]).softmax(-1), query, key))
            weights = original(module, query, key, value, attention_mask, **options)[1]
            if weights is not None:  # 4.57 gives them where output_attentions is set alone
                calls[-1] = (weights, query, key)
        return original(module, query, key, value, attention_mask, **options)

    hidden: list[Any] = []
    handle = blocks[at].register_forward_hook(
        lambda m, a, out: hidden.append(out[0] if isinstance(out, tuple) else out)
    )
    outputs: list[Any] = []
    last = tower.register_forward_hook(lambda m, a, out: outputs.append(out))
    case.model.set_attn_implementation("eager")
    module_file.eager_attention_forward = eager
    try:
        case.model(**case.inputs)
    finally:
        module_file.eager_attention_forward = original
        handle.remove()
        last.remove()
    if family in ("internvl", "smolvlm"):
        hidden = [outputs[-1].last_hidden_state]  # after the tower's own norm
    return _pictures(case, family, calls, hidden) if family in PICTURES else _packed(case, tower, calls, hidden)


def _of_call(weights: Any, query: Any, key: Any, first: int) -> dict[str, Any]:
    B, heads, L, c = query.shape
    found = {
        "enc_recv_attn": weights.mean(1).mean(1)[:, first:],
        "enc_keys_mean": key.mean(1)[:, first:],
        "enc_keys_full": key.repeat_interleave(heads // key.shape[1], 1).transpose(1, 2).reshape(B, L, -1)[:, first:],
    }
    if first:
        found["enc_cls_attn"] = weights[:, :, 0, first:]
        q, k = (x.transpose(1, 2).reshape(B, L, heads * c) for x in (query, key))
        found["prumerge_cls_attn"] = ((q @ k.transpose(1, 2)) * (heads * c) ** -0.5).softmax(-1)[:, 0, first:]
    return found


def _pictures(case: Case, family: str, calls: list[Any], hidden: list[Any]) -> list[dict[str, Array]]:
    first = PICTURES[family][2]
    (weights, query, key), videos, at = calls[-1], [], 0
    every = _of_call(weights, query, key, first) | {"enc_features": hidden[-1][:, first:]}
    for T, _, _ in case.grids:
        videos.append({name: x[at : at + T].numpy() for name, x in every.items()})
        at += T
    return videos


def _packed(case: Case, tower: Any, calls: list[Any], hidden: list[Any]) -> list[dict[str, Array]]:
    """Each patch carries its place through the tower's own way of sorting, and is scattered back to it."""
    thw = case.inputs["video_grid_thw"]
    found: dict[str, list[Any]] = {}
    for call in calls:
        for name, x in _of_call(*call, 0).items():
            found.setdefault(name, []).append(x[0])
    every = {name: torch.cat(parts) for name, parts in found.items()}
    every["enc_features"] = hidden[-1].reshape(-1, hidden[-1].shape[-1])
    place, at = [], 0
    for t, h, w in thw.tolist():  # of the i-th patch that goes in: its place among rows of whole frames
        for f in range(t):
            for y in range(0, h, 2):
                for x in range(0, w, 2):
                    place += [at + f * h * w + (y + i) * w + x + j for i in (0, 1) for j in (0, 1)]
        at += t * h * w
    order = torch.tensor(place)
    if getattr(tower, "fullatt_block_indexes", None) is not None:
        order = order.view(-1, 4)[window_index(tower, thw)].reshape(-1)
    videos, at = [], 0
    raster = {name: torch.empty_like(x).index_copy_(0, order, x) for name, x in every.items()}
    for t, h, w in thw.tolist():
        here = slice(at, at + t * h * w)
        videos.append({name: x[here].reshape(t, h * w, *x.shape[1:]).numpy() for name, x in raster.items()})
        at += t * h * w
    return videos


def window_index(tower: Any, thw: Any) -> Any:
    """Which group of merged patches stands where: windows of 2 x 2 groups, those at the edges smaller."""
    side = tower.window_size // tower.spatial_merge_size // tower.patch_size
    found, at = [], 0
    for t, h, w in thw.tolist():
        rows, columns = h // 2, w // 2
        for f in range(t):
            for y in range(0, rows, side):
                for x in range(0, columns, side):
                    found += [
                        at + f * rows * columns + i * columns + j
                        for i in range(y, min(y + side, rows))
                        for j in range(x, min(x + side, columns))
                    ]
        at += t * rows * columns
    return torch.tensor(found)
