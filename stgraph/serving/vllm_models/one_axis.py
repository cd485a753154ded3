"""Language models with one position per token, given three axes of which only the first rotates."""

from __future__ import annotations

from typing import Any

from vllm.model_executor.models.config import VerifyAndUpdateConfig

from stgraph.errors import UnavailableError


class OneAxis(VerifyAndUpdateConfig):
    """Called by vLLM after reading a model's configuration; only M-RoPE models may change positions when pruning.

    The rotation is the same as without axes: all of a head's channels belong to the first.
    """

    @staticmethod
    def verify_and_update_model_config(model_config: Any) -> None:
        """Give the text model its axes, if videos are pruned.

        Raises
        ------
        UnavailableError
            the text model scales its rotary positions, or rotates only a part of each head
        """
        if not model_config.multimodal_config.is_multimodal_pruning_enabled():
            return
        text = model_config.hf_config.get_text_config()
        rope = text.rope_parameters
        if rope.get("rope_type", "default") != "default" or rope.get("partial_rotary_factor", 1) != 1:
            raise UnavailableError(
                f"the language model's rotary positions are {rope}; stgraph's plugin serves models that rotate whole "
                'heads with rope_type "default". Use stgraph.compress(), or serve without the plugin'
            )
        head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        rope["mrope_section"] = [head // 2, 0, 0]
