"""The probe's decoder is Qwen2.5-VL's, and answering many questions at once changes none of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from probe_models import hugging_face  # noqa: E402

from stgraph.bench.probe.encoder import WIDTH  # noqa: E402
from stgraph.bench.probe.model import (  # noqa: E402
    N_TOKENS,
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
            seen = torch.stack([layer[:, :, -1, :90].mean(1) for layer in out.attentions], 1)
            assert (seen - attention[:, :, i, :90]).abs().max() < 1e-5


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
