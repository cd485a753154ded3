"""The models that are shipped are those of the index, small, and good enough at r = 1."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stgraph.bench.probe.weights import (
    FOLDER,
    FOLDERS,
    asked_families,
    encoder_of,
    every_model,
    model_names,
    passes_gate,
    read_index,
    weights_digest,
)
from stgraph.errors import InputError

REQUIRED = {"bg": 0.9, "obj": 0.9, "mov": 0.9, "evt": 0.85}


def test_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*")) < 8_000_000


def test_three_seeds_one_of_them_trained_on_whole_videos() -> None:
    models = read_index()["models"]
    assert len({model["seed"] for model in models.values()}) >= 3
    assert "whole" in {model["recipe"] for model in models.values()}
    assert len({weights_digest(name) for name in every_model()}) == len(models) + 1


def test_the_model_beside_the_study_is_asked_what_the_study_is() -> None:
    """Its encoder has attention; it does not decide what the study asks, and passes the gate of every family asked."""
    assert [encoder_of(name) for name in every_model()] == ["convolutions"] * 3 + ["vit"]
    assert list(every_model()) == [*model_names(), "vit-4"]
    assert set(asked_families()) <= set(read_index(FOLDERS[1])["families"])


def test_accuracy_on_dev_passes_the_gate() -> None:
    for model in read_index()["models"].values():
        assert all(model["dev"][family] >= least for family, least in REQUIRED.items())
        assert all(passes_gate(family, model["dev"][family]) for family in asked_families())
    left_out = set(next(iter(read_index()["models"].values()))["dev"]) - set(asked_families())
    for family in left_out:
        assert not all(passes_gate(family, model["dev"][family]) for model in read_index()["models"].values())


def test_gate_is_a_share_of_the_way_from_chance_to_one() -> None:
    assert passes_gate("order", 0.8) and not passes_gate("order", 0.79)
    assert passes_gate("count", 0.7) and not passes_gate("count", 0.69)


def test_figures_of_the_index_hold() -> None:
    """A smaller sample of the same dev videos gives the accuracy the index states, within four standard errors."""
    pytest.importorskip("torch", reason="needs torch")
    from stgraph.bench.probe.exam import Exam, make_clips
    from stgraph.bench.probe.weights import load_model

    for name, folder in every_model().items():
        model = load_model(name)
        clips = make_clips(model.visual, "dev", 40, asked_families())
        right = Exam(model, clips).answer_all()
        stated = np.mean([read_index(folder)["models"][name]["dev"][family] for family in clips.families])
        assert abs(right.mean() - stated) < 4 * (stated * (1 - stated) / right.size) ** 0.5


def test_unknown_model_is_named() -> None:
    pytest.importorskip("torch", reason="needs torch")
    from stgraph.bench.probe.weights import load_model

    with pytest.raises(InputError, match="model is 'gpt'; it must be one of dropped-1"):
        load_model("gpt")


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    from stgraph.bench.probe.weights import load_model

    shutil.copytree(FOLDER, tmp_path / "data")
    name = model_names()[0]
    path = tmp_path / "data" / f"{name}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is not the file that index\.json names"):
        load_model(name, tmp_path / "data")


def test_index_is_plain_json() -> None:
    for folder in FOLDERS:
        assert set(json.loads((folder / "index.json").read_text())) == {"encoder", "models", "families"}


def test_the_card_states_every_accuracy() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name, folder in every_model().items():
        dev = read_index(folder)["models"][name]["dev"]
        assert f"| {name} | " + " | ".join(f"{100 * accuracy:.1f}" for accuracy in dev.values()) + " |" in card
