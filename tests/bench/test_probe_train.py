"""Training: a run that is interrupted and goes on ends where an uninterrupted one does; stages do what they say."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from stgraph.bench.probe import recipes, train  # noqa: E402
from stgraph.bench.probe.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from stgraph.bench.probe.encoder import Encoder, PatchHeads  # noqa: E402
from stgraph.bench.probe.recipes import RECIPES, Stage, learning_rate, n_steps, stage_of  # noqa: E402
from stgraph.bench.probe.scene import FRAMES, make_scene  # noqa: E402
from stgraph.bench.probe.stream import Stream  # noqa: E402
from stgraph.bench.probe.weights import load_model  # noqa: E402
from stgraph.bench.probe.words import SHAPES  # noqa: E402
from stgraph.errors import InputError  # noqa: E402

CPU = torch.device("cpu")


def quiet(figures: dict[str, Any]) -> None:
    pass


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe of six steps, saved at every second."""
    stages = (Stage(2, 4, 600, (40, 60), enriched=1.0), Stage(4, 4, 600, (40, 60), whole=0.5))
    monkeypatch.setitem(RECIPES, "tiny", stages)
    monkeypatch.setattr(train, "_SAVE_EVERY", 2)
    monkeypatch.setattr(train, "_LOG_EVERY", 2)
    monkeypatch.setattr(train, "_RING", 32)


def weights(model: Any) -> dict[str, Any]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.slow
def test_interrupted_training_goes_on_to_the_same_weights(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    encoder = train.train_encoder(tmp_path / "whole", CPU, quiet, steps=4)
    once = weights(train.train_model(encoder, tmp_path / "whole", "tiny", 5, CPU, quiet))

    draws = []

    def stop_at_five(*args: Any) -> Any:
        draws.append(1)
        if len(draws) == 5:
            raise KeyboardInterrupt
        return draw(*args)

    draw = train._draw_nodes
    monkeypatch.setattr(train, "_draw_nodes", stop_at_five)
    with pytest.raises(KeyboardInterrupt):
        train.train_model(encoder, tmp_path / "broken", "tiny", 5, CPU, quiet)
    monkeypatch.setattr(train, "_draw_nodes", draw)
    again = weights(train.train_model(encoder, tmp_path / "broken", "tiny", 5, CPU, quiet))
    assert all(torch.equal(once[name], again[name]) for name in once)
    torch.manual_seed(5)
    assert not torch.equal(train.ProbeModel().lm_head.weight, once["lm_head.weight"])  # something was learnt


def test_encoder_goes_on_and_stays_frozen(tmp_path: Path) -> None:
    first = weights(train.train_encoder(tmp_path, CPU, quiet, steps=2))
    second = train.train_encoder(tmp_path, CPU, quiet, steps=2)  # all steps are behind it
    assert all(torch.equal(first[name], value) for name, value in second.state_dict().items())
    assert not any(p.requires_grad for p in second.parameters())
    with pytest.raises(InputError, match="belongs to another run"):
        train.train_encoder(tmp_path, CPU, quiet, steps=2, recipe="vit")


def test_vit_begins_with_a_model_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step at the lowest rate moves little away from it, and leaves the encoder as it is."""
    monkeypatch.setitem(RECIPES, "vit", (Stage(1, 4, 600, (40, 60)),))
    monkeypatch.setattr(train, "_RING", 8)
    monkeypatch.setattr(Stage, "draw", lambda self, rng: (2, 50))
    before = load_model("dropped-1")
    encoder: Any = train.train_encoder(tmp_path, CPU, quiet, steps=0, recipe="vit")
    assert all(torch.equal(a, b) for a, b in zip(encoder.stem.parameters(), before.visual.parameters(), strict=True))
    model: Any = train.train_model(encoder, tmp_path, "vit", 4, CPU, quiet)
    for name in ("projector", "model", "lm_head", "frame"):
        pairs = zip(getattr(model, name).parameters(), getattr(before, name).parameters(), strict=True)
        moved = [float((a - b).detach().abs().max()) for a, b in pairs]
        assert max(moved) < 1e-4, name
    assert max(moved) > 0
    kept = model.visual.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in encoder.state_dict().items())


def test_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    heads = PatchHeads()
    optimiser = torch.optim.AdamW(heads.parameters())
    assert load_checkpoint(tmp_path / "none", heads, optimiser, {"seed": 1}) == 0
    heads.shape.weight.sum().backward()
    optimiser.step()
    save_checkpoint(tmp_path / "a", heads, optimiser, 7, {"seed": 1})
    assert load_checkpoint(tmp_path / "a", heads, optimiser, {"seed": 1}) == 7
    with pytest.raises(InputError, match="belongs to another run"):
        load_checkpoint(tmp_path / "a", heads, optimiser, {"seed": 2})


def test_stream_is_the_same_for_a_step_wherever_it_starts() -> None:
    encoder = Encoder().eval()
    walked, jumped = (Stream(encoder, 4, 100, size=8, fresh=2) for _ in range(2))
    for step in range(4):
        last = walked.batch(step, 4, np.random.default_rng(step))
    there = jumped.batch(3, 4, np.random.default_rng(3))
    assert torch.equal(last.features, there.features) and torch.equal(last.answers, there.answers)
    assert torch.equal(last.objects, there.objects) and last.features.shape == (4, 4 * 64, 128)


def test_recipes_end_on_whole_videos() -> None:
    for name, stages in RECIPES.items():
        assert n_steps(name) == sum(stage.steps for stage in stages) and stages[-1].n_frames == FRAMES
        assert stage_of(name, 0) == (stages[0], 0)
        assert stage_of(name, n_steps(name) - 1) == (stages[-1], stages[-1].steps - 1)
        with pytest.raises(IndexError):
            stage_of(name, n_steps(name))
    rng = np.random.default_rng(0)
    assert all(stage.draw(rng)[1] == stage.n_frames * 64 for stage in RECIPES["whole"] for _ in range(20))
    drawn = [RECIPES["dropped"][-1].draw(rng)[1] for _ in range(300)]
    assert min(drawn) >= 48 and max(drawn) <= 1024 and 0.2 < np.mean(np.array(drawn) >= 512) < 0.4


def test_learning_rate_warms_up_and_falls() -> None:
    rates = [learning_rate(step / 1000, 1.0, step) for step in range(1000)]
    assert rates[0] == 1 / 200 and max(rates) == 1.0 and rates[500] == 1.0
    assert rates[-1] < 0.04 and all(a >= b for a, b in pairwise(rates[550:]))


def test_log_keeps_one_line_a_step(tmp_path: Path) -> None:
    log = train._log_to(tmp_path / "run.log.jsonl")
    for step in (100, 200, 300, 200):
        log({"step": step, "loss": step / 100})
    lines = [json.loads(line) for line in (tmp_path / "run.log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [100, 200]


def test_enrichment_prefers_objects() -> None:
    encoder = Encoder().eval()
    batch = Stream(encoder, 4, 100, size=8, fresh=2).batch(0, 8, np.random.default_rng(0))
    share = {
        enriched: float(
            torch.gather(batch.objects, 1, train._draw_nodes(batch, 40, enriched, np.random.default_rng(1)))
            .float()
            .mean()
        )
        for enriched in (0.0, 1.0)
    }
    plain = float(batch.objects.float().mean())
    assert abs(share[0.0] - plain) < 0.1 and share[1.0] > plain + 0.15
    nodes = train._draw_nodes(batch, 40, 0.0, np.random.default_rng(1))
    assert bool((nodes[:, 1:] > nodes[:, :-1]).all())


def test_training_videos_are_shorter_scenes() -> None:
    assert make_scene((1, 3), n_frames=8).shapes.shape == (8, 8, 8)
    assert recipes.RECIPES["whole"][0].n_frames < FRAMES


def test_what_dropped_models_saw_was_enriched_in_objects() -> None:
    """The figures of docs/probe.md and of the study."""
    scenes = [make_scene((1, i)) for i in range(60)]
    objects = torch.from_numpy(np.stack([scene.shapes.reshape(-1) < len(SHAPES) for scene in scenes]))
    assert objects.float().mean().item() == pytest.approx(0.26, abs=0.015)
    rng, n = np.random.default_rng(0), objects.shape[1]
    for stage, share in zip(RECIPES["dropped"], (0.76, 0.47), strict=True):
        kept = []
        for _ in range(1200):
            _, n_kept = stage.draw(rng)
            if n_kept < n // 2:
                here = objects[torch.from_numpy(rng.integers(0, 60, 8))]
                nodes = train._draw_nodes(SimpleNamespace(objects=here), n_kept, stage.enriched, rng)  # type: ignore[arg-type]
                kept.append(torch.gather(here, 1, nodes).float().mean().item())
        assert np.mean(kept) == pytest.approx(share, abs=0.025)
