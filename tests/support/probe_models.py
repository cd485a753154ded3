"""The probe's decoder as transformers builds it."""

from __future__ import annotations

from typing import Any

import pytest

from stgraph.bench.probe.model import TEXT_CONFIG, ProbeModel


def hugging_face(model: ProbeModel) -> Any:
    """Qwen2.5-VL's text model with the probe's weights, on eager attention."""
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen

    try:
        from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig
    except ImportError:
        pytest.skip("this transformers has no text configuration of its own for Qwen2.5-VL")
    rope = dict(TEXT_CONFIG["rope_parameters"])
    older = {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
    }
    values = dict(TEXT_CONFIG)
    if transformers.__version__.startswith("4."):
        del values["rope_parameters"]
        values |= older
    config = Qwen2_5_VLTextConfig(**values, bos_token_id=None, eos_token_id=None)
    config._attn_implementation = "eager"
    text = qwen.Qwen2_5_VLTextModel(config).eval()
    text.load_state_dict(model.model.state_dict())
    return text
