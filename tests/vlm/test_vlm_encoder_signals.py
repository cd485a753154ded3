"""Signals of the vision encoder in a running model are those of eager attention, each at its place; nothing changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from encoder_oracle import FAMILIES, PICTURES, eager_signals, seen, signals_of
from vlm_models import Case, torch
from vlm_more_models import ALL

from stgraph.selection.signals.encoder_grid import on_lattice


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_signals_are_those_of_eager_attention(family: str, batch: int) -> None:
    case = ALL[family](batch)
    found, logits = seen(case, family, every=1)
    expected = eager_signals(case, family)
    assert len(found) == len(expected) == batch
    for tokens, video in zip(found, expected, strict=True):
        assert set(tokens.signals) == set(video) == signals_of(family)
        for name, x in video.items():
            assert tokens.signals[name].shape == x.shape
            assert np.abs(tokens.signals[name] - x).max() < 1e-6 * max(1, np.abs(x).max()), name
    with torch.no_grad():
        assert torch.equal(logits, case.model(**case.inputs).logits)


@contextmanager
def without_attention(case: Case) -> Iterator[None]:
    """The tower's blocks add nothing that attention gathers."""
    outputs = {"out_proj", "proj", "projection_layer", "o_proj"}
    blocks = re.compile(r"(visual|vision).*\.(blocks|layers?)\.\d+\..*att")
    kept = {}
    for name, weight in case.model.named_parameters():
        if blocks.search(name) and name.split(".")[-2] in outputs:
            kept[name] = weight.data.clone()
            weight.data.zero_()
    assert kept
    try:
        yield
    finally:
        for name, weight in kept.items():
            case.model.get_parameter(name).data = weight


def changed_at(case: Case, family: str, at: int) -> Case:
    """Another patch of the third frame (the second of a packed tower), the ``at``-th that goes in."""
    name = "pixel_values_videos" if "pixel_values_videos" in case.inputs else "pixel_values"
    pixels = case.inputs[name].clone()
    if family in PICTURES:
        rows, columns = PICTURES[family][3]
        size = pixels.shape[-1] // columns
        y, x = divmod(at % (rows * columns), columns)
        pixels.view(-1, *pixels.shape[-3:])[2, :, y * size : (y + 1) * size, x * size : (x + 1) * size] += 1
    else:
        pixels[at + 48] += 1
    return Case(case.model, case.inputs | {name: pixels}, case.grids, case.token)


@pytest.mark.parametrize("family", FAMILIES)
def test_patches_lie_where_their_tokens_are(family: str) -> None:
    """Where attention in the tower adds nothing, a patch of pixels reaches its own tokens alone: those whose encoder
    features change, pooled as the tokens are, are those that change for the language model."""
    case = ALL[family](1)

    def of(case: Case) -> tuple[Any, Any]:
        (tokens,), _ = seen(case, family)
        return on_lattice(tokens, tokens.signals["enc_features"], "enc_features"), tokens.features[tokens.grid.rows]

    with without_attention(case):
        pooled, features = of(case)
        for at in (0, 7, 21):
            pooled_then, features_then = of(changed_at(case, family, at))
            moved = np.abs(pooled_then - pooled).max(-1).reshape(-1) > 1e-4
            assert 1 <= moved.sum() <= 4
            assert np.array_equal(moved, np.abs(features_then - features).max(-1) > 1e-4)
