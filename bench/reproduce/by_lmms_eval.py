"""A row of the paper by lmms-eval, in a separate process."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stgraph.bench.reproduce.benchmarks import BENCHMARKS, Answer, Task, logged_answer
from stgraph.bench.reproduce.paper import PaperRow
from stgraph.errors import InputError, UnavailableError

MODEL = "stgraph_hf"


def own_python() -> list[str]:
    """Command for lmms-eval under the current Python."""
    return [sys.executable, "-m", "lmms_eval"]


@dataclass
class LmmsEvalRunner:
    """lmms-eval with the model ``stgraph_hf``.

    Attributes
    ----------
    model, dtype, device, pooling : of the plugin's ``model_args``
    logs : folder for its results, with a subfolder per row and task
    limit : questions to ask, from the first on; None for all
    include_path : folder with further tasks
    launcher : command to which arguments are appended

    Raises
    ------
    InputError
        lmms-eval would split the model's name into several arguments
    """

    model: str
    logs: Path
    dtype: str | None = None
    device: str | None = None
    pooling: str | None = None
    limit: int | None = None
    include_path: Path | None = None
    launcher: Sequence[str] = field(default_factory=own_python)

    def __post_init__(self) -> None:
        if any(c in self.model for c in ",="):
            raise InputError(f"--model is {self.model!r}; lmms-eval takes no name with a comma or an equals sign")

    def folder(self, table: str, row: PaperRow, task: Task) -> Path:
        """Folder of a run's results."""
        plain = "".join(c if c.isalnum() or c in ".=+" else "-" for c in row.name.replace(" ", ""))
        return self.logs / table / plain / task.benchmark

    def command(self, table: str, row: PaperRow, task: Task) -> list[str]:
        """The command of one run."""
        none = row.selector == "full"
        facts: dict[str, Any] = {
            "pretrained": self.model,
            "selector": "none" if none else row.selector,
            "retain_ratio": row.retain_ratio,
            **row.parameters,
            "frames": row.frames,
            "fps": row.fps,
            "time_instruction": row.time_instruction or None,
            "dtype": self.dtype,
            "pooling": self.pooling,
        }
        arguments = ",".join(f"{name}={_said(value)}" for name, value in facts.items() if value is not None)
        words = [*self.launcher, "--model", MODEL, "--model_args", arguments, "--tasks", task.name]
        words += ["--batch_size", "1", "--log_samples", "--output_path", str(self.folder(table, row, task))]
        given = {"--limit": self.limit, "--device": self.device, "--include_path": self.include_path}
        return words + [str(word) for name, value in given.items() if value is not None for word in (name, value)]

    def answers(self, table: str, row: PaperRow, task: Task) -> list[Answer]:
        """Run the command, and read the samples it logged.

        Raises
        ------
        UnavailableError
            the launcher does not exist
        InputError
            the run ended without samples, or with samples of a different kind
        """
        folder = self.folder(table, row, task)
        folder.mkdir(parents=True, exist_ok=True)
        before, command = set(folder.rglob("*.jsonl")), self.command(table, row, task)
        try:
            with (folder / "log.txt").open("w", encoding="utf-8") as log:
                status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
        except OSError as error:
            raise UnavailableError(f"cannot run {command[0]}: {error.strerror}; name it with --launcher") from None
        made = sorted(set(folder.rglob(f"*_samples_{task.name}.jsonl")) - before)
        if not made:  # lmms-eval ends with 0 after an error, too
            raise InputError(f"lmms-eval ended with {status} and no samples: {_last_line(folder / 'log.txt')}")
        metric = "" if task.benchmark in BENCHMARKS else _metric(made[-1], task.name)
        lines = made[-1].read_text(encoding="utf-8").splitlines()
        return [logged_answer(json.loads(line), task.benchmark, metric) for line in lines if line.strip()]


def _said(value: Any) -> str:
    """A value in lmms-eval's form: lists and objects as JSON."""
    return json.dumps(value, separators=(",", ":")) if isinstance(value, (list, dict)) else str(value)


def _metric(samples: Path, task: str) -> str:
    """The first metric of a task in the results file beside its samples."""
    results = samples.with_name(samples.name.replace(f"samples_{task}.jsonl", "results.json"))
    try:
        found: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))["results"][task]
    except (OSError, ValueError, KeyError):
        raise InputError(f"cannot read the results of {task} in {results}") from None
    names = [name.partition(",")[0] for name in found if "," in name and "_stderr" not in name]
    if not names:
        raise InputError(f"{results} has no metric of {task}")
    return names[0]


def _last_line(log: Path) -> str:
    """The most informative last line of a log: the last one with an error, or simply the last."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line]
    return f"{(errors or lines or ['nothing was printed'])[-1][:300]} ({log})"


def shown(command: Sequence[str]) -> str:
    """A command quoted for a shell."""
    return shlex.join(command)
