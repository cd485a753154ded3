"""SigLIP's pooling head: a learnt query that attends to the patches of a frame, and its output (FastVID)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stgraph.errors import InputError, MissingSignalError, checkpoint_unread

POOL_SIGNALS = ("pool_attn", "pool_feature")


@dataclass(frozen=True, eq=False)
class PoolingHead:
    """The norm before a head, and the head."""

    norm: Any
    head: Any

    def signals(self, hidden: Any) -> dict[str, Any]:
        """:data:`POOL_SIGNALS` of hidden states [B, e, d]: attention of the query to the patches, mean over heads,
        [B, e] float32; and the head's output [B, d] in the dtype of the states."""
        import torch

        with torch.no_grad():
            norm, head = self.norm.to(hidden), self.head.to(hidden)
            states = norm(hidden.detach())
            query = head.probe.expand(len(states), -1, -1)
            gathered, weights = head.attention(query, states, states, need_weights=True)
            pooled = gathered + head.mlp(head.layernorm(gathered))
        return {"pool_attn": weights[:, 0].float(), "pool_feature": pooled[:, 0]}


def pooling_head(tower: Any, path: str | None, asked: str) -> PoolingHead:
    """The head of a tower, or of the SigLIP checkpoint ``path``, a folder or a name on the hub.

    Raises
    ------
    MissingSignalError
        the tower lacks a head, and no path is given
    InputError
        the checkpoint cannot be read, or its head is missing or of a different width
    """
    if path is None:
        if not hasattr(getattr(tower, "head", None), "probe"):
            raise MissingSignalError(
                f"{asked} comes from a pooling head, which {type(tower).__name__} of this checkpoint does not hold: "
                "name the SigLIP checkpoint whose head it shares, selector(..., pool_head=NAME_OR_PATH) or --pool-head"
            )
        return PoolingHead(tower.post_layernorm, tower.head)
    from transformers import SiglipVisionModel

    try:
        model, told = SiglipVisionModel.from_pretrained(path, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise checkpoint_unread("load the pooling head of", path, error) from None
    inner = getattr(model, "vision_model", model)
    absent = [name for name in told["missing_keys"] if "head." in name or "post_layernorm." in name]
    if absent or not hasattr(getattr(inner, "head", None), "probe"):
        raise InputError(f"{path} holds no pooling head of SigLIP; give a SigLIP checkpoint as it was published")
    width, theirs = tower.config.hidden_size, inner.config.hidden_size
    if width != theirs:
        raise InputError(f"the pooling head of {path} is for states of {theirs} values; the vision tower has {width}")
    return PoolingHead(inner.post_layernorm.eval(), inner.head.eval())
