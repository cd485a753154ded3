"""Effect of where a cut is made on a real language model's answers: ``python -m stgraph.bench.language.run -o
rows.csv``.

SmolLM2-135M answers questions about words in place of a video's tokens, with all of them and with those that
``stgraph.compress`` keeps, cut before the language model and between its layers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from math import sqrt
from time import perf_counter
from typing import Any

from stgraph.bench.language.questions import GRID, Question, questions
from stgraph.bench.language.shell import colour_ids, in_shell, inputs_of, load_smollm2
from stgraph.bench.tables.writing import format_of, write
from stgraph.selection.base import Selector, selector
from stgraph.vlm.compress import compress

Row = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """One way to answer; with all tokens if there is no selector."""

    name: str
    ratio: float = 1.0
    layer: int | None = None
    where: str = "inside"


def ways(n_layers: int) -> list[Way]:
    """All tokens; FastV at an early, a middle and a late layer, inside and before the model; random tokens."""
    layers = [max(1, n_layers * share // 30) for share in (2, 8, 16, 24)]
    inside = [Way("fastv", ratio, layer) for layer in layers for ratio in (0.5, 0.25)]
    before = [Way("fastv", ratio, layers[2], "before") for ratio in (0.5, 0.25)]
    return [Way("all tokens"), *inside, *before, *(Way("random", ratio, where="before") for ratio in (0.5, 0.25))]


def rows(model: Any, tokenizer: Any, asked: Iterable[Question], todo: Iterable[Way]) -> Iterator[Row]:
    """One row per way: questions answered correctly, the standard error of their share in percent, and questions
    answered as with all tokens.

    Parameters
    ----------
    model : of :func:`stgraph.bench.language.shell.in_shell`
    """
    prompts = [(inputs_of(question, tokenizer), question.answer) for question in asked]
    colours, n_layers = colour_ids(tokenizer), model.config.text_config.num_hidden_layers
    full: list[str] | None = None
    for way in todo:
        start = perf_counter()
        said, kept = _answers(model, way, n_layers, [inputs for inputs, _ in prompts], colours)
        full = said if full is None else full
        n, right = len(prompts), sum(a == answer for a, (_, answer) in zip(said, prompts, strict=True))
        share = right / n
        yield {
            "selector": way.name,
            "where": way.where if way.ratio < 1 else "",
            "layer": way.layer,
            "retain_ratio": way.ratio,
            "n_kept": kept,
            "n_questions": n,
            "right": right,
            "standard_error": round(100 * sqrt(share * (1 - share) / n), 1),
            "as_with_all": sum(a == b for a, b in zip(said, full, strict=True)),
            "seconds_per_question": round((perf_counter() - start) / n, 3),
        }


def _answers(model: Any, way: Way, n_layers: int, prompts: list[dict[str, Any]], colours: Any) -> tuple[list[str], int]:
    """The colour of the largest logit after each prompt, and the tokens kept per video."""
    import torch

    names, ids = list(colours), torch.tensor(list(colours.values()))
    said, kept = [], GRID[0] * GRID[1] * GRID[2]
    build: Callable[..., Selector] = selector
    layers = {} if way.layer is None else {"layer": way.layer, "n_layers": n_layers}
    for inputs in prompts:
        context: Any = nullcontext()
        if way.ratio < 1:
            context = compress(
                model, build(way.name, retain_ratio=way.ratio, **layers), grids=[[GRID]], where=way.where
            )
        with context as stats, torch.inference_mode():
            logits = model(**inputs, logits_to_keep=1).logits[0, -1]
        said.append(names[int(logits[ids].argmax())])
        kept = kept if stats is None else stats.videos[-1].n_kept
    return said, kept


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default="language.csv", help="row file: .csv, .json or .parquet")
    parser.add_argument("-n", "--questions", type=int, default=100)
    given = parser.parse_args(arguments)
    fmt = format_of(given.output, None) or "csv"
    language_model, tokenizer = load_smollm2()
    model, found = in_shell(language_model), []
    todo = ways(model.config.text_config.num_hidden_layers)
    for row in rows(model, tokenizer, questions(given.questions), todo):
        found.append(row)
        write(given.output, {"rows": found}, fmt)  # after each way: minutes lie between them
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
