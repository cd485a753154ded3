"""The probe's model whose encoder has attention: its signals follow their definitions, and it serves all selectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import erf, softmax

torch = pytest.importorskip("torch", reason="needs torch")

import stgraph  # noqa: E402
from stgraph.bench.probe.choosing import Chooser  # noqa: E402
from stgraph.bench.probe.exam import Exam, make_clips  # noqa: E402
from stgraph.bench.probe.model import ProbeModel  # noqa: E402
from stgraph.bench.probe.plan import (  # noqa: E402
    SIGNALS,
    VISION_SIGNALS,
    ProbePlan,
    ProbeSetting,
    probe_selectors,
    probe_settings,
)
from stgraph.bench.probe.run import run  # noqa: E402
from stgraph.bench.probe.scene import FRAMES, make_scene  # noqa: E402
from stgraph.bench.probe.splits import seed_of  # noqa: E402
from stgraph.bench.probe.train import _HEADS  # noqa: E402
from stgraph.bench.probe.vit import PATCHES, FrameHeads, VisionTransformer  # noqa: E402
from stgraph.bench.probe.weights import asked_families, load_model, model_names  # noqa: E402
from stgraph.bench.probe.words import COLOURS, SHAPES  # noqa: E402
from stgraph.errors import MissingSignalError  # noqa: E402
from stgraph.selection.base import SELECTORS  # noqa: E402

Array = np.ndarray[Any, Any]
MODEL = "vit-4"


@pytest.fixture(scope="module")
def model() -> ProbeModel:
    return load_model(MODEL)


@pytest.fixture(scope="module")
def exam(model: ProbeModel) -> Exam:
    return Exam(model, make_clips(model.visual, "dev", 2, asked_families(), signals=True))


def frames_of(n_videos: int) -> Any:
    return torch.from_numpy(np.stack([make_scene(seed_of("dev", i)).frames for i in range(n_videos)]))


def norm(x: Array, weights: dict[str, Array] | None = None, name: str = "") -> Array:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x if weights is None else x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x: Array, weights: dict[str, Array], name: str) -> Array:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def gelu(x: Array) -> Array:
    return x * (1 + erf(x / np.sqrt(2))) / 2


def restated(tower: VisionTransformer, frames: Any) -> tuple[dict[str, Array], Array]:
    """The signals [F, ...] and the attention [F, heads, L, L] of the last block, written out in float64."""
    w = {name: value.double().numpy() for name, value in tower.state_dict().items()}
    with torch.inference_mode():
        stem = tower.stem(frames).double().numpy().reshape(-1, PATCHES, 128)
    x = np.concatenate([np.repeat(w["cls"], len(stem), 0), stem], 1) + w["place"]
    for i in range(len(tower.blocks)):
        name, y = f"blocks.{i}", norm(x, w, f"blocks.{i}.norm1")
        q, k, v = (linear(y, w, f"{name}.{part}_proj").reshape(len(y), -1, 4, 32).swapaxes(1, 2) for part in "qkv")
        attention = softmax(q @ k.swapaxes(2, 3) / np.sqrt(32), -1)
        x = x + linear((attention @ v).swapaxes(1, 2).reshape(x.shape), w, f"{name}.out_proj")
        x = x + linear(gelu(linear(norm(x, w, f"{name}.norm2"), w, f"{name}.fc1")), w, f"{name}.fc2")
    whole_q, whole_k = (part.swapaxes(1, 2).reshape(x.shape) for part in (q, k))
    features = norm(x[:, 1:])
    of = {part: rows for part, rows in zip("qkv", np.split(w["head.attention.in_proj_weight"], 3), strict=True)}
    add = {part: rows for part, rows in zip("qkv", np.split(w["head.attention.in_proj_bias"], 3), strict=True)}
    asks = (w["head.probe"][0] @ of["q"].T + add["q"]).reshape(4, 1, 32)
    pk, pv = ((features @ of[part].T + add[part]).reshape(len(x), -1, 4, 32).swapaxes(1, 2) for part in "kv")
    pooling = softmax(asks @ pk.swapaxes(2, 3) / np.sqrt(32), -1)
    gathered = linear((pooling @ pv).swapaxes(1, 2).reshape(len(x), 128), w, "head.attention.out_proj")
    inner = gelu(linear(norm(gathered, w, "head.layernorm"), w, "head.mlp.0"))
    return {
        "enc_features": features,
        "enc_recv_attn": attention.mean((1, 2))[:, 1:],
        "enc_cls_attn": attention[:, :, 0, 1:],
        "enc_keys_mean": k.mean(1)[:, 1:],
        "enc_keys_full": whole_k[:, 1:],
        "prumerge_cls_attn": softmax(np.einsum("fd,fld->fl", whole_q[:, 0], whole_k) / np.sqrt(128), -1)[:, 1:],
        "pool_attn": pooling[:, :, 0].mean(1),
        "pool_feature": gathered + linear(inner, w, "head.mlp.2"),
    }, attention


def test_signals_are_those_of_their_definitions(model: ProbeModel) -> None:
    frames = frames_of(2)
    expected, attention = restated(model.visual, frames)
    with torch.inference_mode():
        found = model.visual.signals(frames)
        assert torch.equal(found["enc_features"].flatten(1, 2), model.visual(frames))
    assert found.keys() == expected.keys() == VISION_SIGNALS
    for name, values in expected.items():
        assert found[name].shape == (2, FRAMES, *values.shape[1:]), name
        assert np.abs(found[name].flatten(0, 1).numpy() - values).max() < 2e-4 * np.abs(values).max(), name
    assert np.allclose(attention.sum(-1), 1)
    for name, rows in {"enc_recv_attn": 1 - attention.mean((1, 2))[:, 0], "pool_attn": 1.0}.items():
        assert np.allclose(found[name].flatten(0, 1).sum(-1).numpy(), rows, atol=1e-5), name


def test_the_pooling_head_reads_what_it_was_trained_on(model: ProbeModel) -> None:
    frames = frames_of(1)
    with torch.inference_mode():
        states, signals = model.visual.states(frames), model.visual.signals(frames)
    assert torch.allclose(states[:, 1:-1], signals["enc_features"][0], atol=1e-6)
    assert torch.allclose(states[:, -1], signals["pool_feature"][0], atol=1e-5)


def test_attention_looks_at_objects(exam: Exam) -> None:
    """Of CLS token and pooling head: the patches with an object get more than their share."""
    for i, tokens in enumerate(exam.tokens(names=VISION_SIGNALS)):
        there = make_scene(seed_of("dev", i)).shapes.reshape(FRAMES, PATCHES) < len(SHAPES)
        for name in ("enc_cls_attn", "pool_attn"):
            attention = tokens.signals[name]
            attention = attention.mean(1) if attention.ndim == 3 else attention
            assert attention[there].mean() > 1.5 * attention[~there].mean(), name


def test_it_serves_every_selector(exam: Exam) -> None:
    assert probe_selectors([MODEL]) == SELECTORS.usable()
    others = [name for name in SELECTORS.usable() if name not in probe_selectors()]
    assert len(others) == 10
    chooser = Chooser(exam)
    for setting in probe_settings(others, {}):
        for selection in chooser.choose(setting, 0.1).selections:
            assert len(selection) == 103, setting.selector


def test_selectors_are_given_the_encoders_signals(exam: Exam) -> None:
    tokens = exam.tokens(names=["enc_cls_attn", "enc_keys_mean"])
    assert set(tokens[0].signals) & VISION_SIGNALS == {"enc_cls_attn", "enc_keys_mean"}
    chosen = Chooser(exam).choose(ProbeSetting("visionzip"), 0.2).selections
    for selection, video in zip(chosen, tokens, strict=True):
        alone = stgraph.selector("visionzip", retain_ratio=0.2).select(video)
        assert np.array_equal(selection.indices, alone.indices)


def test_models_of_the_study_name_the_one_that_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in model_names():
        says = f"visionzip needs the signal .*model {name} does not give: use --weights vit-4"
        with pytest.raises(MissingSignalError, match=says):
            ProbePlan(settings=(ProbeSetting("visionzip"),), models=(MODEL, name))
    monkeypatch.setattr("stgraph.selection.rivals.visionzip.VisionZip.also", frozenset({"own"}))
    with pytest.raises(MissingSignalError, match=r"needs the signal 'enc_cls_attn', .*: leave this selector out"):
        ProbePlan(settings=(ProbeSetting("visionzip"),))


def test_the_study_has_models_of_one_encoder() -> None:
    assert model_names() == ("dropped-1", "dropped-2", "whole-3")
    assert not SIGNALS & VISION_SIGNALS


def test_models_of_two_encoders_in_one_run() -> None:
    settings = probe_settings(["random", "st-simdiff"], {})
    given: dict[str, Any] = {"settings": settings, "retain_ratios": (0.1,), "n_questions": 30, "videos": "dev"}
    both = run(ProbePlan(models=("dropped-1", MODEL), **given))
    assert both == [*run(ProbePlan(models=("dropped-1",), **given)), *run(ProbePlan(models=(MODEL,), **given))]
    assert [row["accuracy"] > 0.9 for row in both if row["selector"] == "full"] == [True, True]


def test_heads_learn_what_a_frame_shows() -> None:
    """A right answer to every question costs nothing; a wrong one does."""
    heads, scene = _HEADS["vit"](), make_scene(seed_of("train", 0))
    assert isinstance(heads, FrameHeads)
    labels = torch.from_numpy(np.stack([getattr(scene, name).ravel() for name in ("shapes", "colours", "grounds")]))
    states = torch.zeros(FRAMES, 1 + PATCHES + 1, 128)
    frame, shown = 5, len(SHAPES) * (len(COLOURS) + 1)
    _, right = heads.loss(states, labels[:, None])
    assert right.keys() == {"shape", "colour", "ground", "cls", "pooled"}
    with torch.no_grad():
        for head in (heads.cls, heads.pooled):
            head.weight.zero_()
            head.bias.zero_()
    plain = float(heads.loss(states[:1], labels[:, None, frame * PATCHES : (frame + 1) * PATCHES])[0].detach())
    with torch.no_grad():
        for shape in range(len(SHAPES)):
            seen = scene.colours[frame][scene.shapes[frame] == shape]
            heads.cls.bias[shape * (len(COLOURS) + 1) + (seen[0] if len(seen) else len(COLOURS))] = 20.0
        heads.cls.bias[shown:] = torch.from_numpy(np.where(np.isin(range(6), scene.grounds[frame]), 20.0, -20.0))
    here = heads.loss(states[:1], labels[:, None, frame * PATCHES : (frame + 1) * PATCHES])
    assert here[1]["cls"] == 1.0
    assert plain - float(here[0].detach()) == pytest.approx(np.log(len(COLOURS) + 1) + 0.5 * np.log(2), abs=1e-4)
