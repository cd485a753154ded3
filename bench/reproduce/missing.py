"""Requirements of a reproduction that this machine lacks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from stgraph.bench.reproduce.benchmarks import BENCHMARKS, Task
from stgraph.bench.reproduce.paper import PaperTable
from stgraph.errors import install_command

_PACKAGES = {"torch": "hf", "transformers": "hf", "torchvision": "hf", "av": "video"}  # and their extras


def missing(table: PaperTable, tasks: Sequence[Task], model: str, launcher: Sequence[str]) -> Iterator[str]:
    """One line per missing requirement: packages, the checkpoint, videos, a GPU.

    Missing videos of a benchmark are downloaded by lmms-eval when its task first runs.
    """
    for package, extra in _PACKAGES.items():
        if find_spec(package) is None:
            yield f"the package {package}: {install_command(extra)}"
    by_lmms_eval = [task for task in tasks if task.file is None]
    if by_lmms_eval:
        if shutil.which(launcher[0]) is None:
            yield f"the launcher {launcher[0]}: it is not on the path"
        for package in ("lmms_eval", "accelerate"):
            if find_spec(package) is None:
                yield f"the package {package}: see docs/reproduce.md"
        home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
        for task in by_lmms_eval:
            known = BENCHMARKS.get(task.benchmark)
            if known is not None and not (home / known.data).is_dir():
                yield f"the videos of {task.benchmark} in {home / known.data}: lmms-eval downloads them"
    if not Path(model).is_dir() and not _cached(model):
        yield f"the checkpoint {model}: it is not a folder here, nor in the hub's cache"
    if find_spec("torch") is not None:
        import torch

        if not torch.cuda.is_available():
            memory = ", without which no peak memory is measured" if not table.benchmarks else ""
            yield f"a GPU{memory}"


def _cached(model: str) -> bool:
    """Whether the hub's cache holds the configuration of a checkpoint."""
    if find_spec("huggingface_hub") is None or model.count("/") != 1:
        return False
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(model, "config.json"), str)
    except HFValidationError:
        return False
