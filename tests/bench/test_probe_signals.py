"""Signals of the probe's language model, beside transformers' own, and the selectors that read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from probe_models import hugging_face  # noqa: E402

import stgraph  # noqa: E402
from stgraph.bench.probe.choosing import Chooser  # noqa: E402
from stgraph.bench.probe.depth import DEFAULTS, KEYS_LAYER, N_LAYERS, TEXT_LAYER  # noqa: E402
from stgraph.bench.probe.exam import Exam, make_clips  # noqa: E402
from stgraph.bench.probe.model import (  # noqa: E402
    N_TOKENS,
    TEXT_CONFIG,
    ProbeModel,
    grid_positions,
    text_positions,
)
from stgraph.bench.probe.plan import (  # noqa: E402
    PROMPT_SIGNALS,
    SIGNALS,
    VISION_SIGNALS,
    ProbePlan,
    ProbeSetting,
    probe_selectors,
    probe_settings,
)
from stgraph.bench.probe.signals import BY_LAYER, prompt_signals  # noqa: E402
from stgraph.bench.probe.weights import asked_families, load_model, model_names  # noqa: E402
from stgraph.errors import MissingSignalError  # noqa: E402
from stgraph.selection.base import SELECTORS  # noqa: E402


@pytest.fixture(scope="module")
def model() -> ProbeModel:
    return load_model(model_names()[0])


@pytest.fixture(scope="module")
def exam(model: ProbeModel) -> Exam:
    return Exam(model, make_clips(model.visual, "dev", 2, asked_families()))


def test_they_are_those_of_transformers(model: ProbeModel, exam: Exam) -> None:
    visual, question = exam._visual[0], exam.clips.questions[0, :1]
    nodes = torch.arange(N_TOKENS)[None]
    with torch.inference_mode():
        found = prompt_signals(model, visual, question, PROMPT_SIGNALS)
        x = torch.cat([model.embeddings(visual[None], nodes), model.model.embed_tokens(question)], 1)
        places = torch.cat([grid_positions(nodes), text_positions(1)[None]], 1).permute(2, 0, 1)
        ones = torch.ones(x.shape[:2], dtype=torch.int64)
        asked: dict[str, Any] = dict(output_attentions=True, output_hidden_states=True)
        out = hugging_face(model)(inputs_embeds=x, position_ids=places, attention_mask=ones, **asked)
    every = torch.stack(out.attentions)[:, 0].double()
    expected = {
        "llm_attn_text": every[:, :, N_TOKENS:].mean(1),
        "llm_attn_text_sum": every.amax(1)[:, N_TOKENS:].sum(1),
        "llm_attn_visual_mean": every.amax(1)[:, :N_TOKENS].mean(1),
        "llm_attn_textmax": every[TEXT_LAYER][:, N_TOKENS:].amax((0, 1)),
        "llm_hidden": out.hidden_states[KEYS_LAYER + 1],
        "text_embeds": model.model.embed_tokens(question[0]).detach(),
    }
    for name, values in expected.items():
        assert np.abs(found[name] - values.numpy()).max() < 1e-4, name
    assert found["llm_keys"].shape == (1, TEXT_CONFIG["num_key_value_heads"], N_TOKENS + 4, 32)
    assert found["llm_attn_text_even"].shape == found["llm_attn_text"].shape


def test_each_is_made_by_itself(model: ProbeModel, exam: Exam) -> None:
    given = model, exam._visual[0], exam.clips.questions[0]
    with torch.inference_mode():
        every = prompt_signals(*given, PROMPT_SIGNALS)
        for name in PROMPT_SIGNALS:
            alone = prompt_signals(*given, {name})
            assert alone.keys() - {"llm_norm_weight"} == {name}
            assert np.array_equal(alone[name], every[name])
    assert every.keys() == PROMPT_SIGNALS | {"llm_norm_weight"}
    assert all(len(every[name]) == N_LAYERS for name in BY_LAYER)


def test_the_models_depth_is_the_one_that_layers_are_scaled_to() -> None:
    assert TEXT_CONFIG["num_hidden_layers"] == N_LAYERS
    assert DEFAULTS["pyramiddrop"] == {"layers": (1, 2), "ratios": (0.25, 0.125), "n_layers": 3}
    assert DEFAULTS["sparsevlm"] == {"layers": (0, 1), "table": (200, 110), "n_layers": 3}
    assert DEFAULTS["fitprune"] == {"deletions": {0: 333, 1: 116}, "n_layers": 3}
    assert DEFAULTS["prunevid-attention"] == {"layer": 0, "n_layers": 3}
    assert DEFAULTS["holitom-attention"] == {"layer": 1, "n_layers": 3}
    assert DEFAULTS["flashvid-attention"] == {"layer": 2, "n_layers": 3}


def test_every_selector_without_encoder_signals_is_served(exam: Exam) -> None:
    """What is left out needs signals of a vision encoder with attention, and nothing else."""
    served = probe_selectors()
    for name in set(SELECTORS.usable()) - set(served):
        missing = stgraph.selector(name, n_keep=1).requires - SIGNALS
        assert missing and missing <= VISION_SIGNALS, name
    chooser = Chooser(exam)
    names = ["prunevid-attention", "fitprune", "cdpruner", "dart-embedding", "dart", "sparsevlm", "pyramiddrop"]
    assert set(names) <= set(served)
    for setting in probe_settings(names, {}):
        for selection in chooser.choose(setting, 0.1).selections:
            assert len(selection) == 103


@pytest.mark.parametrize(
    ("selector", "parameters", "message"),
    [
        ("pyramiddrop", {}, r"cuts before decoder layer 24; the probe's model has layers 0 to 2: pass layers=\(1, 2\)"),
        ("fitprune", {}, "cuts before decoder layer 29; .*pass deletions="),
        ("fastv", {"layer": 3}, "cuts before decoder layer 3; .*leave this selector out"),
        ("dart", {"layer": 1}, "dart has layer=1; the probe holds the signal 'llm_keys' for layer=2"),
        ("prunevid-attention", {"layer": 1, "n_layers": 3}, "holds the signal 'llm_attn_textmax' for layer=0"),
    ],
)
def test_layers_that_are_not_there_are_refused(selector: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(MissingSignalError, match=message):
        ProbePlan(settings=(ProbeSetting(selector, parameters),))
