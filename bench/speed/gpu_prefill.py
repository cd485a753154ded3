"""Prefill of a 7B-like language model with random weights, full and at r, to compare the selection's time with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from stgraph.bench.speed.device_timing import device_rounds
from stgraph.errors import missing_dependency


@dataclass(frozen=True)
class LlmSize:
    """A decoder of Qwen2-7B's proportions."""

    n_layers: int = 28
    width: int = 3584
    n_heads: int = 28
    n_kv_heads: int = 4
    ffn: int = 18944


def prefill_seconds(
    lengths: dict[str, int], n_rounds: int, device: Any, dtype: str = "bfloat16", size: LlmSize | None = None
) -> dict[str, float]:
    """Median seconds of one forward pass over the given number of embedded tokens, by name; batch 1, no logits.

    Raises
    ------
    MissingDependencyError
        transformers is not installed
    RuntimeError
        from torch: the device's memory is too small
    """
    try:
        from transformers import Qwen2Config, Qwen2Model
    except ImportError:
        raise missing_dependency("the prefill benchmark", "transformers", "hf") from None
    import torch

    size = size or LlmSize()
    config = Qwen2Config(
        vocab_size=256,
        hidden_size=size.width,
        intermediate_size=size.ffn,
        num_hidden_layers=size.n_layers,
        num_attention_heads=size.n_heads,
        num_key_value_heads=size.n_kv_heads,
        max_position_embeddings=1 << 17,
    )
    kind = getattr(torch, dtype)
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)  # the weights of 28 layers in float32 would need twice the memory
    try:
        with torch.device(device):
            model = Qwen2Model(config).eval()
    finally:
        torch.set_default_dtype(before)
    embeds = {name: torch.randn(1, n, size.width, dtype=kind, device=device) for name, n in lengths.items()}
    with torch.inference_mode():
        return device_rounds(
            {name: partial(model, inputs_embeds=x, use_cache=False) for name, x in embeds.items()},
            n_rounds,
            device,
        )
