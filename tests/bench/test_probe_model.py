"""The probe's decoder is Qwen2.5-VL's, and answering many questions at once changes none of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from stgraph.bench.probe.encoder import WIDTH  # noqa: E402
from stgraph.bench.probe.model import (  # noqa: E402
    N_TOKENS,
    PROBED_LAYER,
    TEXT_CONFIG,
    ProbeModel,
    grid_positions,
    text_positions,
)
from stgraph.bench.probe.scene import FRAMES, GRID  # noqa: E402
from stgraph.bench.probe.weights import load_model, model_names  # noqa: E402
from stgraph.bench.probe.words import WORDS  # noqa: E402


@pytest.fixture(scope="module")
def model() -> ProbeModel:
    return load_model(model_names()[0])


@pytest.fixture(scope="module")
def inputs() -> tuple[Any, Any, Any]:
    """Features, nodes and questions of two videos that keep 90 tokens."""
    torch.manual_seed(1)
    nodes = torch.stack([torch.randperm(N_TOKENS)[:90].sort().values for _ in range(2)])
    return torch.randn(2, 90, WIDTH), nodes, torch.randint(0, len(WORDS), (2, 5, 4))


def hugging_face(model: ProbeModel) -> Any:
    pytest.importorskip("transformers", reason="needs transformers")
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
    config = Qwen2_5_VLTextConfig(**TEXT_CONFIG, bos_token_id=None, eos_token_id=None)
    if not hasattr(config, "rope_parameters"):  # transformers 4
        config = Qwen2_5_VLTextConfig(**{k: v for k, v in TEXT_CONFIG.items() if k != "rope_parameters"}, **older)
    config._attn_implementation = "eager"
    text = qwen.Qwen2_5_VLTextModel(config).eval()
    text.load_state_dict(model.model.state_dict())
    return text


def test_logits_and_attention_are_those_of_transformers(model: ProbeModel, inputs: tuple[Any, Any, Any]) -> None:
    """Kept tokens with their own (frame, row, column) positions, one question after the other."""
    visual, nodes, questions = inputs
    text = hugging_face(model)
    with torch.inference_mode():
        logits, attention = model(*inputs), model.attention(*inputs)
        for i in range(questions.shape[1]):
            x = torch.cat([model.embeddings(visual, nodes), model.model.embed_tokens(questions[:, i])], 1)
            places = torch.cat([grid_positions(nodes), text_positions(1).expand(2, -1, -1)], 1).permute(2, 0, 1)
            mask = torch.ones(x.shape[:2], dtype=torch.int64)
            out = text(inputs_embeds=x, position_ids=places, attention_mask=mask, output_attentions=True)
            theirs = model.lm_head(out.last_hidden_state[:, -1])
            assert (theirs - logits[:, i]).abs().max() < 1e-4
            seen = out.attentions[PROBED_LAYER][:, :, -1, :90].mean(1)
            assert (seen - attention[:, i]).abs().max() < 1e-5


def test_positions_matter(model: ProbeModel, inputs: tuple[Any, Any, Any]) -> None:
    visual, nodes, questions = inputs
    with torch.inference_mode():
        moved = model(visual, (nodes + GRID * GRID) % N_TOKENS, questions)
        assert (moved - model(visual, nodes, questions)).abs().max() > 0.1


def test_questions_do_not_see_each_other(model: ProbeModel, inputs: tuple[Any, Any, Any]) -> None:
    visual, nodes, questions = inputs
    with torch.inference_mode():
        together = model(visual, nodes, questions)
        for i in range(questions.shape[1]):
            alone = model(visual, nodes, questions[:, i : i + 1])[:, 0]
            assert (alone - together[:, i]).abs().max() < 1e-4


def test_no_visual_token_is_a_prompt_too(model: ProbeModel, inputs: tuple[Any, Any, Any]) -> None:
    visual, nodes, questions = inputs
    with torch.inference_mode():
        blind = model(visual[:, :0], nodes[:, :0], questions)
    assert blind.shape == (2, 5, len(WORDS)) and torch.isfinite(blind).all()


def test_positions_are_those_of_the_grid() -> None:
    t, y, x = np.unravel_index(np.arange(N_TOKENS), (FRAMES, GRID, GRID))
    assert np.array_equal(grid_positions(torch.arange(N_TOKENS)).numpy(), np.stack([t, y, x], 1))
