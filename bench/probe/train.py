"""Train the probe's models: ``python -m stgraph.bench.probe.train --out DIR``.

First the encoder, by the labels of its patches; then, with the encoder frozen, one projector and decoder for each seed.
``--recipe vit --seed 4`` trains the model whose encoder has attention.
An interrupted run resumes with the same command. On a CPU matrix products are computed in bfloat16 where that is
faster; weights and their updates are float32 everywhere.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from stgraph.bench.probe.checkpoint import load_checkpoint, save_checkpoint
from stgraph.bench.probe.encoder import PatchHeads
from stgraph.bench.probe.exam import Exam, make_clips
from stgraph.bench.probe.model import ENCODERS, ProbeModel
from stgraph.bench.probe.questions import TRAINING_ORDER
from stgraph.bench.probe.recipes import RECIPES, base_of, learning_rate, n_steps, stage_of
from stgraph.bench.probe.scene import make_scene
from stgraph.bench.probe.splits import N_VIDEOS, seed_of
from stgraph.bench.probe.stream import Batch, Stream
from stgraph.bench.probe.vit import FrameHeads
from stgraph.bench.probe.weights import FOLDER, load_model, save_model
from stgraph.bench.probe.words import FAMILIES
from stgraph.files import atomic_path

Log = Callable[[dict[str, Any]], None]
# Of each kind of encoder: steps, videos per step, highest learning rate.
ENCODER_RUNS = {"convolutions": (3000, 8, 3e-3), "vit": (1200, 4, 1e-3)}
_HEADS: dict[str, type[PatchHeads] | type[FrameHeads]] = {"convolutions": PatchHeads, "vit": FrameHeads}
_SAVE_EVERY, _LOG_EVERY = 200, 100
_RING = 1536  # videos held in memory
_VIDEOS_OF_A_SEED = 50_000  # more than a run takes; the runs' videos do not meet


def train_encoder(
    out: Path, device: torch.device, log: Log, steps: int | None = None, recipe: str = "dropped"
) -> nn.Module:
    """The encoder, trained on shape, colour and background of every patch, then frozen; a transformer also on what each
    frame shows."""
    torch.manual_seed(0)
    base = base_of(recipe)
    kind = base.encoder
    both: Any = nn.ModuleDict({"encoder": ENCODERS[kind](), "heads": _HEADS[kind]()})
    if base.begins is not None:
        both["encoder"].stem.load_state_dict(load_model(base.begins, FOLDER).visual.state_dict())
    both.to(device)
    usual, n_videos, peak = ENCODER_RUNS[kind]
    steps = usual if steps is None else steps
    optimiser = torch.optim.AdamW(both.parameters(), peak, weight_decay=1e-4)
    run, path = {"part": "encoder", "kind": kind, "steps": steps}, out / "encoder.checkpoint"
    start, begun = load_checkpoint(path, both, optimiser, run), perf_counter()
    for step in range(start, steps):
        last = N_VIDEOS["train"] - 1 - step * n_videos  # from the far end: the decoders see other videos
        scenes = [make_scene(seed_of("train", last - i)) for i in range(n_videos)]
        frames = torch.from_numpy(np.stack([scene.frames for scene in scenes])).to(device)
        labels = np.stack([[getattr(s, name).ravel() for s in scenes] for name in ("shapes", "colours", "grounds")])
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step / steps, peak, step)
        with _autocast(device):
            states = both["encoder"].states(frames)
        loss, right = both["heads"].loss(states.float(), torch.from_numpy(labels).to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % _LOG_EVERY == 0:
            figures = {"loss": float(loss.detach()), **right}
            log({"part": "encoder", "step": step + 1, "seconds": perf_counter() - begun, **_rounded(figures)})
        if (step + 1) % _SAVE_EVERY == 0 or step + 1 == steps:
            save_checkpoint(path, both, optimiser, step + 1, run)
    encoder: nn.Module = both["encoder"].eval().requires_grad_(False)
    return encoder


def train_model(encoder: nn.Module, out: Path, recipe: str, seed: int, device: torch.device, log: Log) -> ProbeModel:
    """A projector and decoder on top of the frozen encoder, which is of the recipe's kind."""
    torch.manual_seed(seed)
    base = base_of(recipe)
    model, peak = ProbeModel(base.encoder), base.peak
    model.visual.load_state_dict(encoder.state_dict())
    if base.begins is not None:
        trained_before = load_model(base.begins, FOLDER)
        for part in ("projector", "frame", "row", "column", "model", "lm_head"):
            getattr(model, part).load_state_dict(getattr(trained_before, part).state_dict())
    model.to(device).visual.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices, vectors = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.02}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, peak, betas=(0.9, 0.98))
    run, path = {"part": recipe, "seed": seed, "peak": peak}, out / f"{recipe}-{seed}.checkpoint"
    start, total, begun = load_checkpoint(path, model, optimiser, run), n_steps(recipe), perf_counter()
    streams: dict[int, Stream] = {}
    tally = _Tally()
    for step in range(start, total):
        rng = np.random.default_rng((seed, step))
        stage, within = stage_of(recipe, step)
        if stage.n_frames not in streams:
            streams = {stage.n_frames: Stream(encoder, stage.n_frames, seed * _VIDEOS_OF_A_SEED, _RING, 3)}
        n_videos, n_kept = stage.draw(rng)
        batch = streams[stage.n_frames].batch(within, n_videos, rng)
        nodes = _draw_nodes(batch, n_kept, stage.enriched, rng)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step / total, peak, step)
        with _autocast(device):
            kept = torch.gather(batch.features, 1, nodes[..., None].expand(-1, -1, batch.features.shape[-1]))
            logits = model(model.projector(kept), nodes, batch.questions).float()
        loss = F.cross_entropy(logits.flatten(0, 1), batch.answers.flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        tally.add(logits, batch.answers, float(loss.detach()), n_videos)
        if (step + 1) % _LOG_EVERY == 0:
            figures = {"step": step + 1, "seconds": perf_counter() - begun, **tally.figures()}
            log({"part": recipe, "seed": seed, **_rounded(figures)})
            tally = _Tally()
        if (step + 1) % _SAVE_EVERY == 0 or step + 1 == total:
            save_checkpoint(path, model, optimiser, step + 1, run)
    model.eval()
    return model


def dev_accuracy(model: ProbeModel, n_videos: int = 300) -> dict[str, float]:
    """Accuracy per family on the dev videos, from all tokens."""
    clips = make_clips(model.visual, "dev", n_videos, FAMILIES)
    right, family = Exam(model, clips).answer_all(), np.array(clips.families)
    return {name: round(float(right[:, family == name].mean()), 4) for name in FAMILIES}


def _draw_nodes(batch: Batch, n_kept: int, enriched: float, rng: np.random.Generator) -> torch.Tensor:
    """[B, n_kept] ascending: the tokens each video keeps."""
    n_videos, n = batch.objects.shape
    score = rng.random((n_videos, n), np.float32)
    boost = rng.random((n_videos, 1), np.float32) * (rng.random((n_videos, 1)) < enriched)
    score += boost * batch.objects.cpu().numpy()
    kept = np.sort(np.argpartition(-score, n_kept - 1, axis=1)[:, :n_kept], axis=1)
    return torch.from_numpy(kept).to(batch.objects.device)


def _autocast(device: torch.device) -> Any:
    return torch.autocast(device.type, torch.bfloat16)


class _Tally:
    """Accuracy per family since the last log line."""

    def __init__(self) -> None:
        self.right = np.zeros(len(TRAINING_ORDER))
        self.losses: list[float] = []
        self.n_videos = 0

    def add(self, logits: torch.Tensor, answers: torch.Tensor, loss: float, n_videos: int) -> None:
        self.right += (logits.argmax(-1) == answers).sum(0).cpu().numpy()
        self.losses.append(loss)
        self.n_videos += n_videos

    def figures(self) -> dict[str, float]:
        family = np.array(TRAINING_ORDER)
        right = {name: self.right[family == name].sum() / self.n_videos / (family == name).sum() for name in FAMILIES}
        return {"loss": float(np.mean(self.losses)), "videos": self.n_videos, **right}


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {k: round(float(v), 3) if isinstance(v, (float, np.floating)) else v for k, v in figures.items()}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m stgraph.bench.probe.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints, logs and weights")
    parser.add_argument("--recipe", choices=list(RECIPES), help="train one model of it; without it, the study's three")
    parser.add_argument("--seed", type=int, help="with --recipe: the seed")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of a CPU")
    asked = parser.parse_args()
    if (asked.recipe is None) != (asked.seed is None):
        parser.error("--recipe and --seed belong together")
    asked.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(asked.threads)
    device = torch.device(asked.device)
    models = [("dropped", 1), ("dropped", 2), ("whole", 3)] if asked.recipe is None else [(asked.recipe, asked.seed)]
    log = _log_to(asked.out / "encoder.log.jsonl")
    encoder = train_encoder(asked.out, device, log, recipe=models[0][0])
    for recipe, seed in models:
        model = train_model(encoder, asked.out, recipe, seed, device, _log_to(asked.out / f"{recipe}-{seed}.log.jsonl"))
        model.half().float()  # as they are shipped
        entry = {"recipe": recipe, "seed": seed, "steps": n_steps(recipe), "dev": dev_accuracy(model)}
        save_model(model, asked.out, f"{recipe}-{seed}", entry)


def _log_to(path: Path) -> Log:
    """Print lines and keep them in a file, one per step; lines of repeated steps after an interruption are replaced."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)

    def log(figures: dict[str, Any]) -> None:
        before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in before if json.loads(line)["step"] < figures["step"]]
        with atomic_path(path) as temporary:
            temporary.write_text("\n".join([*kept, json.dumps(figures)]) + "\n", encoding="utf-8")
        console.print("  ".join(f"{name} {value}" for name, value in figures.items()), soft_wrap=True)

    return log


if __name__ == "__main__":
    main()
