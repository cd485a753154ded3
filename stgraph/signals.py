"""Signals: the named tensors a token dump can carry besides its features.

Shapes use the symbols T, H, W (lattice), N = T*H*W, n (all visual tokens, newlines included), d (feature dimension),
and free symbols in lower case (heads, layers, positions of the encoder's own grid ``e``), which only need to be
consistent within one dump.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stgraph.errors import InputError

FLOATS = ("float32", "float16", "bfloat16")
INTS = ("int32", "int64")


@dataclass(frozen=True)
class Signal:
    """A known signal: its shape in symbols, allowed dtypes, and meaning."""

    shape: tuple[str | int, ...]
    dtypes: tuple[str, ...]
    meaning: str
    per_query: bool = False


SIGNALS: dict[str, Signal] = {
    "importance": Signal(("T", "H", "W"), FLOATS, "attention of the last prompt token to each token, head mean", True),
    "seq_index": Signal(("n",), INTS, "position of each visual token in the LLM sequence"),
    "position_ids": Signal(("axes", "seq"), INTS, "rotary position ids of the whole sequence (1 or 3 axes)"),
    "rope_deltas": Signal(("batch", 1), INTS, "M-RoPE offset of the generated positions"),
    "newline_embed": Signal(("d",), FLOATS, "embedding of the newline token"),
    "text_embeds": Signal(("m", "d"), FLOATS, "the prompt's text tokens after the video, as they enter the LLM", True),
    "enc_features": Signal(("T", "e", "dv"), FLOATS, "vision-encoder output before projector and pooling"),
    "enc_cls_feature": Signal(("T", "dv"), FLOATS, "encoder output of the CLS token"),
    "enc_cls_attn": Signal(("T", "heads", "e"), FLOATS, "attention of the CLS token to the patches"),
    "enc_recv_attn": Signal(("T", "e"), FLOATS, "attention each patch receives, mean over heads and queries"),
    "enc_keys_mean": Signal(("T", "ek", "dh"), FLOATS, "encoder keys, mean over heads (with or without CLS)"),
    "enc_keys_full": Signal(("T", "e", "dv"), FLOATS, "encoder keys, heads concatenated"),
    "prumerge_cls_attn": Signal(("T", "e"), FLOATS, "softmax of the un-headed CLS query against all keys"),
    "pool_attn": Signal(("T", "e"), FLOATS, "attention of a pooling head to the patches"),
    "pool_feature": Signal(("T", "dv"), FLOATS, "output of the pooling head"),
    "clip_joint": Signal(("T", "e", "dj"), FLOATS, "the patches in CLIP's joint space"),
    "text_joint": Signal(("mj", "dj"), FLOATS, "the prompt's text in CLIP's joint space", True),
    "llm_attn_last": Signal(
        ("saved", "seq"), FLOATS, "attention of the last prompt token, head mean, a row per layer", True
    ),
    "llm_attn_layers": Signal(("saved",), INTS, "layer index of each row of the signals [saved, ...]", True),
    "llm_attn_text_sum": Signal(
        ("saved", "seq"),
        FLOATS,
        "attention from the text after the video, head maximum, summed, a row per layer",
        True,
    ),
    "llm_attn_visual_mean": Signal(
        ("saved", "seq"), FLOATS, "attention from the patches, head maximum, mean over them, a row per layer", True
    ),
    "llm_attn_text": Signal(
        ("saved", "m", "seq"),
        FLOATS,
        "attention of each text token after the video, head mean, a block per layer",
        True,
    ),
    "llm_attn_text_even": Signal(
        ("saved", "m", "seq"), FLOATS, "the same over what all-ones queries and keys give, of half of the heads", True
    ),
    "llm_attn_textmax": Signal(("seq",), FLOATS, "attention at one layer, maximum over heads and text queries", True),
    "llm_q_last": Signal(("qsaved", "qheads", "dh_llm"), FLOATS, "post-RoPE query of the last prompt token", True),
    "llm_keys": Signal(("qsaved", "kvheads", "seq", "dh_llm"), FLOATS, "post-RoPE keys of the sequence", True),
    "llm_hidden": Signal(("hsaved", "seq", "dllm"), FLOATS, "hidden states entering the saved layers", True),
    "llm_norm_weight": Signal(("dllm",), FLOATS, "weights of the LLM's final norm"),
    "deepstack": Signal(("levels", "n", "dllm"), FLOATS, "extra visual features injected in deeper layers"),
    "frame_time": Signal(("T",), ("float64", "float32"), "presentation time of each frame, seconds"),
    "frame_jpeg": Signal(("jpeg_bytes",), ("uint8",), "the frames' JPEG files, concatenated"),
    "frame_jpeg_len": Signal(("T",), INTS, "length of each frame's JPEG, bytes"),
    "shot_cuts_s": Signal(("cuts",), ("float64", "float32"), "times of shot changes, seconds"),
}


def is_per_patch(name: str) -> bool:
    """Whether a signal has one value per patch (of the lattice or the encoder's grid), and none for newlines."""
    return name in SIGNALS and not {"H", "e", "ek"}.isdisjoint(SIGNALS[name].shape)


def check_signals(signals: Mapping[str, tuple[tuple[int, ...], str]], symbols: Mapping[str, int]) -> None:
    """Check the shapes and dtypes of known signals against the grid's ``symbols`` and each other.

    ``signals`` maps a name to (shape, dtype name). Names outside :data:`SIGNALS` are the user's own and pass.

    Raises
    ------
    InputError
        a known signal's rank, size or dtype differs from its definition
    """
    bound: dict[str, Any] = dict(symbols)
    for name, (shape, dtype) in signals.items():
        known = SIGNALS.get(name)
        if known is None:
            continue
        wanted = f"[{', '.join(map(str, known.shape))}]"
        if dtype not in known.dtypes:
            raise InputError(f"signal {name!r} has dtype {dtype}; expected one of {', '.join(known.dtypes)}")
        if len(shape) != len(known.shape):
            raise InputError(f"signal {name!r} has shape {list(shape)}; expected {wanted}")
        for symbol, size in zip(known.shape, shape, strict=True):
            expected = bound.setdefault(symbol, size) if isinstance(symbol, str) else symbol
            if expected != size:
                raise InputError(
                    f"signal {name!r} has shape {list(shape)}; expected {wanted} with {symbol} = {expected}"
                )
