"""FLOPs of an LLM's prefill, from its configuration and the tokens in each decoder layer.

A multiply-add is two operations. For n tokens a decoder layer of width d with h heads of width c, of which k carry keys
and values, and a gated MLP of width m costs

    4 n d h c + 4 n d k c        projections: queries and output, keys and values
    4 n^2 h c                    scores, and values weighted by them; the causal mask saves nothing
    6 n d m                      gate, up and down

Source: the count of matrix products in Narayanan et al. 2021 (arXiv 2104.04473, appendix), with grouped queries and a
gated MLP in place of theirs. With h c = k c = d and two matrices in the MLP it is twice the 4 n d^2 + 2 n^2 d + 2 n d m
of FastV (arXiv 2403.06764), which counts a multiply-add once. Norms, activations, softmax, rotation, embeddings, the LM
head, the vision tower, the selection and decoding are left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stgraph.errors import InputError, UnknownNameError
from stgraph.selection.accounting import TokenAccount
from stgraph.spelling import hint


@dataclass(frozen=True)
class LLMShape:
    """Sizes of an LLM that determine its FLOPs.

    Attributes
    ----------
    n_layers : decoder layers
    hidden : d, channels per token
    intermediate : m, of the gated MLP
    n_heads, n_kv_heads : heads of the queries; of keys and values
    head : c, channels per head
    """

    n_layers: int
    hidden: int
    intermediate: int
    n_heads: int
    n_kv_heads: int
    head: int = 128

    def projections(self, n_tokens: int) -> int:
        """FLOPs of one layer's queries, keys and values."""
        return 2 * n_tokens * self.hidden * (self.n_heads + 2 * self.n_kv_heads) * self.head

    def layer(self, n_tokens: int) -> int:
        """FLOPs of one layer."""
        width = self.n_heads * self.head
        output = 2 * n_tokens * self.hidden * width
        attention = 4 * n_tokens * n_tokens * width
        return self.projections(n_tokens) + output + attention + 6 * n_tokens * self.hidden * self.intermediate


# Published configurations; Qwen2 and Qwen2.5 of one size have the same. LLaVA-Video-7B, LLaVA-OneVision-7B, NVILA-8B
# and Qwen2.5-VL-7B hold qwen2-7b, LLaVA-NeXT-Video-7B and Video-LLaVA-7B llama-7b.
SHAPES: Mapping[str, LLMShape] = {
    "qwen2-7b": LLMShape(28, 3584, 18944, 28, 4),
    "qwen2-0.5b": LLMShape(24, 896, 4864, 14, 2, 64),
    "qwen2-72b": LLMShape(80, 8192, 29568, 64, 8),
    "llama-7b": LLMShape(32, 4096, 11008, 32, 32),
    "qwen3-8b": LLMShape(36, 4096, 12288, 32, 8),
}
DEFAULT_LLM = "qwen2-7b"
TERA = 1e12
_GATED = ("silu", "swish", "gelu", "gelu_pytorch_tanh")  # activations of MLPs with a gate; others are taken for plain


def prefill_flops(shape: LLMShape, tokens: Iterable[int], n_probed: int = 0, probe_layer: int = 0) -> int:
    """FLOPs of one prompt through all decoder layers.

    Parameters
    ----------
    tokens : in each layer
    n_probed : tokens in a pass that ends in layer ``probe_layer`` with one row of its attention; 0 without one
    """
    total = sum(map(shape.layer, tokens))
    if n_probed:
        row = 2 * n_probed * shape.n_heads * shape.head
        total += probe_layer * shape.layer(n_probed) + shape.projections(n_probed) + row
    return total


def account_flops(shape: LLMShape, account: TokenAccount) -> dict[str, Any]:
    """Columns ``prefill_tflop`` and ``flops_ratio`` of the visual tokens of an account, text excluded; None if they are
    dropped inside an LLM with a different number of layers.
    """
    if account.n_layers != shape.n_layers and account.n_input != account.n_kept:
        return {"prefill_tflop": None, "flops_ratio": None}
    flops = prefill_flops(shape, replace(account, n_layers=shape.n_layers).per_layer)
    full = prefill_flops(shape, [account.n_visual] * shape.n_layers)
    return {"prefill_tflop": flops / TERA, "flops_ratio": flops / full}


def shape_named(name: str | os.PathLike[str]) -> LLMShape:
    """A shape of :data:`SHAPES`, or that of a checkpoint's config.json.

    Parameters
    ----------
    name : of a shape, or the path of a config.json or of its folder

    Raises
    ------
    UnknownNameError
        no such name or file
    InputError
        a configuration the formula does not cover
    """
    if name in SHAPES:
        return SHAPES[str(name)]
    path = Path(name) / "config.json" if Path(name).is_dir() else Path(name)
    if not path.is_file():
        known = ", ".join(SHAPES)
        raise UnknownNameError(f"no LLM {str(name)!r}.{hint(name, SHAPES)} Known: {known}, or a path of config.json")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
    shape = shape_of(config) if isinstance(config, dict) else None
    if shape is None:
        raise InputError(
            f"{path} describes no LLM of attention and gated MLPs alone, whose FLOPs are counted; "
            f"name one of {', '.join(SHAPES)}"
        )
    return shape


def shape_of(config: Any) -> LLMShape | None:
    """The shape of an LLM, or of the LLM inside a VLM; None for mixtures of experts, layers other than attention, and
    MLPs without a gate.

    Parameters
    ----------
    config : of Hugging Face: an object or a mapping
    """

    def of(name: str) -> Any:
        return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)

    inner = next((found for name in ("text_config", "llm_cfg", "llm_config") if (found := of(name))), None)
    if inner is not None:
        return shape_of(inner)
    experts = any(of(name) for name in ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"))
    kinds = set(of("layer_types") or ()) - {"full_attention", "sliding_attention"}
    names = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
    sizes = [found for name in names if isinstance(found := of(name), int) and found > 0]
    plain = (of("hidden_act") or "silu") not in _GATED
    if experts or kinds or plain or len(sizes) < len(names):
        return None
    n_layers, hidden, intermediate, n_heads = sizes
    n_kv_heads, head = of("num_key_value_heads") or n_heads, of("head_dim") or hidden // n_heads
    return LLMShape(n_layers, hidden, intermediate, n_heads, n_kv_heads, head)
