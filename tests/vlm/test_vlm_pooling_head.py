"""The pooling head of SigLIP in a running model: beside attention written out, from the tower or from a checkpoint."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoder_oracle import Recording, eager_signals
from vlm_models import CASES, Case, torch, transformers

import stgraph
from stgraph import VideoTokens
from stgraph.errors import InputError, MissingSignalError
from stgraph.vlm.model_tokens import model_tokens

Array = np.ndarray[Any, Any]


def siglip(width: int = 32, **more: Any) -> Any:
    """A tower with a head, as SigLIP is published."""
    torch.manual_seed(0)
    sizes = dict(hidden_size=width, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2)
    config = transformers.SiglipVisionConfig(**sizes, image_size=48, patch_size=8, **more)
    model = transformers.SiglipVisionModel(config)
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape) * weight.shape[-1] ** -0.5
    return model.eval()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("siglip")
    siglip().save_pretrained(folder)
    return str(folder)


@torch.no_grad()
def pooled(states: Array, model: Any) -> tuple[Array, Array]:
    """([T, e], [T, d]): attention of the head's query and its output, from hidden states [T, e, d], written out."""
    tower = getattr(model, "vision_model", model)
    head, x = tower.head, tower.post_layernorm(torch.from_numpy(states))
    weight, bias = head.attention.in_proj_weight.chunk(3), head.attention.in_proj_bias.chunk(3)
    heads, (T, _, d) = head.attention.num_heads, x.shape
    query, key, value = (
        (source @ w.T + b).view(len(source), -1, heads, d // heads).transpose(1, 2)
        for source, w, b in zip((head.probe, x, x), weight, bias, strict=True)
    )
    attention = (query @ key.transpose(2, 3) * (d // heads) ** -0.5).softmax(-1)
    gathered = head.attention.out_proj((attention @ value).transpose(1, 2).reshape(T, d))
    found = gathered + head.mlp(head.layernorm(gathered))
    return attention[:, :, 0].mean(1).numpy(), found.numpy()


@pytest.mark.parametrize("batch", [1, 2])
def test_a_head_from_a_path(published: str, batch: int) -> None:
    case = CASES["llava_onevision"](batch)
    selector = stgraph.selector("fastvid", retain_ratio=0.4, pool_head=published)
    with torch.no_grad():
        before = case.model(**case.inputs).logits
        with stgraph.compress(case.model, selector) as stats:
            case.model.generate(**case.inputs, max_new_tokens=3, do_sample=False)
        assert torch.equal(case.model(**case.inputs).logits, before)
    states = [signals["enc_features"] for signals in eager_signals(case, "llava_onevision")]
    recording: Any = Recording(frozenset({"enc_features"}))
    with torch.no_grad(), stgraph.compress(case.model, recording):
        case.model(**case.inputs)
    for video, tokens, hidden in zip(stats.videos, recording.seen, states, strict=True):
        attention, features = pooled(hidden, siglip())
        signals = {"pool_attn": attention, "pool_feature": features}
        kept = selector.select(VideoTokens(tokens.features, tokens.grid, signals, tokens.metadata))
        assert video.nodes.tolist() == kept.nodes.tolist()
    if batch == 1:
        found = model_tokens(case.model, case.inputs, ("pool_attn", "pool_feature"), pool_head=published)
        assert np.abs(found.signals["pool_attn"] - attention).max() < 1e-6
        assert np.abs(found.signals["pool_feature"] - features).max() < 1e-5


def test_the_towers_own_head() -> None:
    case = CASES["llava_onevision"](1)
    model = copy.deepcopy(case.model)
    tower = getattr(model.model.vision_tower, "vision_model", model.model.vision_tower)
    theirs = siglip()
    inner = getattr(theirs, "vision_model", theirs)
    tower.head, tower.post_layernorm = inner.head, inner.post_layernorm
    found = model_tokens(model, case.inputs, ("pool_attn", "enc_features"))
    attention, _ = pooled(found.signals["enc_features"], theirs)
    assert np.abs(found.signals["pool_attn"] - attention).max() < 1e-6


def refused(case: Case, says: str, error: type[Exception] = InputError, **parameters: Any) -> None:
    with pytest.raises(error, match=says):
        stgraph.compress(case.model, stgraph.selector("fastvid", retain_ratio=0.4, **parameters))


def test_heads_that_do_not_fit(tmp_path: Path) -> None:
    headless = copy.deepcopy(CASES["llava_onevision"](1).model)  # as the published ones are
    tower = getattr(headless.model.vision_tower, "vision_model", headless.model.vision_tower)
    tower.head = torch.nn.Identity()
    case = Case(headless, CASES["llava_onevision"](1).inputs, [(4, 3, 3)], 121)
    refused(case, "fastvid: pool_attn comes from a pooling head, which .* does not hold", MissingSignalError)
    refused(case, "cannot load the pooling head of .*nowhere", pool_head=str(tmp_path / "nowhere"))
    for folder, model in (("headless", siglip(vision_use_head=False)), ("wide", siglip(64))):
        model.save_pretrained(tmp_path / folder)
    refused(case, "headless holds no pooling head of SigLIP", pool_head=str(tmp_path / "headless"))
    refused(case, "is for states of 64 values; the vision tower has 32", pool_head=str(tmp_path / "wide"))
    refused(CASES["qwen2_vl"](1), "is read from SigLIP's towers, of which Qwen2", MissingSignalError)
    refused(CASES["internvl"](1), "is read from SigLIP's towers", MissingSignalError)
