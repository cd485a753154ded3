"""Benchmarks: tasks in lmms-eval, the logged entries for right answers, and the subsets printed in the paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from stgraph.bench.reproduce.paper import OVERALL
from stgraph.errors import InputError


@dataclass(frozen=True)
class Benchmark:
    """A benchmark of the paper in lmms-eval 0.7.

    Attributes
    ----------
    task : its name in lmms-eval
    data : location of its videos below ``$HF_HOME``
    metric : the entry of a logged sample that holds the answer, a mapping
    given, right : its keys for the model's answer and the right one
    group : its key that identifies subsets; "" without subsets
    subsets : subset -> values of ``group``
    """

    task: str
    data: str
    metric: str
    given: str
    right: str
    group: str = ""
    subsets: Mapping[str, tuple[str, ...]] | None = None


# LongVideoBench's levels, by its question categories (arXiv 2407.15754, section 3.2).
_PERCEPTION = ("S2E", "S2O", "S2A", "E2O", "O2E", "T2E", "T2O", "T2A")
_RELATION = ("E3E", "O3O", "SSS", "SOS", "SAA", "T3E", "T3O", "TOS", "TAA")
BENCHMARKS: Mapping[str, Benchmark] = {
    "videomme": Benchmark(
        *("videomme", "videomme/data", "videomme_perception_score", "pred_answer", "answer", "duration"),
        {name: (name,) for name in ("short", "medium", "long")},
    ),
    "longvideobench": Benchmark(
        *("longvideobench_val_v", "datasets/longvideobench/videos", "lvb_acc", "parsed_pred", "answer"),
        "question_category",
        {"relation": _RELATION, "perception": _PERCEPTION},
    ),
    "egoschema": Benchmark("egoschema_subset", "egoschema/videos", "score", "pred", "ground_truth"),
}


@dataclass(frozen=True)
class Task:
    """Questions to ask: those of a benchmark, or others.

    Attributes
    ----------
    benchmark : a key of :data:`BENCHMARKS`, or another name, for which the paper has no figures
    file : questions in the local format, see :func:`stgraph.bench.answers.questions.read_task`; None for lmms-eval
    """

    benchmark: str
    file: Path | None = None

    @property
    def name(self) -> str:
        """The file, or the name of the task in lmms-eval."""
        if self.file is not None:
            return str(self.file)
        known = BENCHMARKS.get(self.benchmark)
        return self.benchmark if known is None else known.task

    @property
    def digest(self) -> str | None:
        """Hash of the file's content; None for a task of lmms-eval."""
        return None if self.file is None else blake2b(self.file.read_bytes(), digest_size=6).hexdigest()


def read_tasks(texts: Sequence[str], default: Sequence[str]) -> list[Task]:
    """Tasks named on the command line.

    Parameters
    ----------
    texts : each a benchmark, a task of lmms-eval, BENCHMARK=FILE or FILE, whose stem is then the benchmark; a file ends
        in .jsonl; several may be separated by commas
    default : benchmarks to use if ``texts`` is empty

    Raises
    ------
    InputError
        a benchmark is named twice, or a file does not exist

    Examples
    --------
    >>> [task.name for task in read_tasks(["videomme,longvideobench"], ())]
    ['videomme', 'longvideobench_val_v']
    """
    tasks = [_task(part.strip()) for text in texts or default for part in text.split(",") if part.strip()]
    names = [task.benchmark for task in tasks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"the benchmark {twice!r} is named twice; name one task for it")
    if not tasks:
        raise InputError(f"no task is named; name one of {', '.join(BENCHMARKS)}, or a file of questions (.jsonl)")
    return tasks


def _task(text: str) -> Task:
    name, equals, path = text.partition("=")
    if not equals and not text.endswith(".jsonl"):
        return Task(text)
    file = Path(path if equals else text)
    if not file.is_file():
        raise InputError(f"cannot read {file}: it is not there; a task is a benchmark, or BENCHMARK=FILE.jsonl")
    return Task(name if equals else file.stem, file)


@dataclass(frozen=True)
class Answer:
    """One answered question: whether it is right, its subset, and its cost if known.

    ``kept_ratio`` is the share of visual tokens kept.
    """

    correct: bool
    subset: str | None = None
    kept_ratio: float | None = None
    seconds: float | None = None
    peak_bytes: int | None = None


def accuracies(answers: Sequence[Answer]) -> Iterator[tuple[str, list[Answer]]]:
    """Each subset with its answers, in order, followed by all answers."""
    for subset in dict.fromkeys(answer.subset for answer in answers if answer.subset is not None):
        yield subset, [answer for answer in answers if answer.subset == subset]
    yield OVERALL, list(answers)


def logged_answer(sample: Mapping[str, Any], benchmark: str, metric: str) -> Answer:
    """The answer in a sample logged by lmms-eval.

    Parameters
    ----------
    metric : for tasks that are not benchmarks of the paper, the entry that holds 0 or 1

    Raises
    ------
    InputError
        the sample lacks the entry
    """
    known, subset = BENCHMARKS.get(benchmark), None
    entry = sample.get(metric if known is None else known.metric)
    try:
        if known is None or not isinstance(entry, Mapping):
            correct = float(entry) > 0  # type: ignore[arg-type]
        else:
            correct = str(entry[known.given]).strip().lower() == str(entry[known.right]).strip().lower()
            group = entry.get(known.group)
            subset = next((name for name, groups in (known.subsets or {}).items() if group in groups), None)
    except (KeyError, TypeError, ValueError):
        name = metric if known is None else known.metric
        raise InputError(f"a sample of {benchmark} in lmms-eval's log has no answer under {name!r}") from None
    (counts, *_) = sample.get("token_counts") or [{}]
    counts = counts or {}
    visual = counts.get("n_visual")
    return Answer(
        correct,
        subset,
        counts["n_kept"] / visual if visual else None,
        counts.get("generate_s"),
        counts.get("peak_gpu_bytes"),
    )
