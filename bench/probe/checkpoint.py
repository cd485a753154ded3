"""Checkpoints of a training run, to resume from: weights, optimiser moments and the step, as safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from stgraph.errors import InputError
from stgraph.files import atomic_path

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_checkpoint(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, step: int, run: dict[str, Any]
) -> None:
    """Write a run's state after ``step`` steps; ``run`` (plain values) identifies the run."""
    tensors = {f"model.{name}": value.detach().contiguous() for name, value in model.state_dict().items()}
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{name}": state[name].contiguous() for name in _MOMENTS}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, {"step": str(step), "run": json.dumps(run, sort_keys=True)})


def load_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, run: dict[str, Any]) -> int:
    """Resume from a checkpoint; returns the number of steps done, 0 if there is none.

    Raises
    ------
    InputError
        it belongs to another run
    """
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        if json.loads(metadata["run"]) != json.loads(json.dumps(run)):
            raise InputError(f"{path} belongs to another run ({metadata['run']}); remove it, or name another folder")
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    model.load_state_dict({name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")})
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, i, moment = name.split(".")
            state.setdefault(int(i), {})[moment] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(metadata["step"])
