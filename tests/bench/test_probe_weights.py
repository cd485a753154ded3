"""The models that are shipped are those of the index, small, and good enough at r = 1."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stgraph.bench.probe.weights import (
    FOLDER,
    asked_families,
    model_names,
    passes_gate,
    read_index,
    weights_digest,
)
from stgraph.errors import InputError

REQUIRED = {"bg": 0.9, "obj": 0.9, "mov": 0.9, "evt": 0.85}


def test_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 5_000_000


def test_three_seeds_one_of_them_trained_on_whole_videos() -> None:
    models = read_index()["models"]
    assert len({model["seed"] for model in models.values()}) >= 3
    assert "whole" in {model["recipe"] for model in models.values()}
    assert len({weights_digest(name) for name in models}) == len(models)


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

    for name in model_names():
        model = load_model(name)
        clips = make_clips(model.visual, "dev", 40, asked_families())
        right = Exam(model, clips).answer_all()
        stated = np.mean([read_index()["models"][name]["dev"][family] for family in clips.families])
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
    assert set(json.loads((FOLDER / "index.json").read_text())) == {"encoder", "models", "families"}
