"""The check of cuts by a language model, without its package: a tiny random model, a tokenizer that counts words."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch: the check runs a language model")
transformers = pytest.importorskip("transformers", reason="needs transformers: the check runs a language model")

from stgraph.bench.language import run, shell  # noqa: E402 (torch first)
from stgraph.bench.language.questions import COLOURS, GRID, N_FRAMES, questions  # noqa: E402
from stgraph.errors import InputError, MissingDependencyError  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


class Words:
    """Each word with the space before it is a token, numbered as they come."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        found = re.findall(r" ?\w+|[^\w]", text)
        return {"input_ids": [self.ids.setdefault(word, 10 + len(self.ids)) for word in found]}


@pytest.fixture(scope="module")
def language_model() -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    return transformers.LlamaForCausalLM(config).eval()


def test_every_frame_is_asked_for_as_often_and_says_its_answer_once() -> None:
    asked = questions(4 * N_FRAMES, seed=3)
    assert set(Counter(question.asked for question in asked).values()) == {4}
    assert asked == questions(4 * N_FRAMES, seed=3) != questions(4 * N_FRAMES, seed=4)
    for question in asked:
        words, (before, after) = question.words(), question.text()
        assert len(words) == GRID[0] * GRID[1] * GRID[2]
        name = question.facts[question.asked][0]
        assert words.count(f" {name}") == 1
        frame = words[8 * question.asked : 8 * question.asked + 8]
        assert f" {name}" in frame and f" {question.answer}" in frame
        assert name in after and question.answer not in before + after


def test_in_the_shell_the_model_reads_what_it_reads_without(language_model: Any) -> None:
    tokenizer, question = Words(), questions(3)[2]
    inputs = shell.inputs_of(question, tokenizer)
    before, after = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in question.text())
    words = [shell.one_token(tokenizer, word) for word in question.words()]
    with torch.inference_mode():
        plain = language_model(torch.tensor([[*before, *words, *after]])).logits
        assert torch.equal(shell.in_shell(language_model)(**inputs).logits, plain)


def test_rows_count_right_answers(language_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, asked = Words(), questions(6)
    model = shell.in_shell(language_model)
    found = list(run.rows(model, tokenizer, asked, run.ways(4)))
    assert len(found) == 13
    assert [(row["selector"], row["where"], row["layer"]) for row in found[:3]] == [
        ("all tokens", "", None),
        ("fastv", "inside", 1),
        ("fastv", "inside", 1),
    ]
    assert {row["retain_ratio"]: row["n_kept"] for row in found} == {1.0: 96, 0.5: 48, 0.25: 24}
    assert found[0]["as_with_all"] == 6
    said = iter([question.answer for question in asked[:4]] + ["none", "none"])
    monkeypatch.setattr(run, "_answers", lambda *_: (list(said), 96))
    (row,) = run.rows(model, tokenizer, asked, run.ways(4)[:1])
    assert (row["right"], row["n_questions"], row["standard_error"]) == (4, 6, 19.2)


def test_each_way_cuts_where_it_says(language_model: Any) -> None:
    """The layers before the cut see all tokens, the others those that are kept."""
    model, inputs = shell.in_shell(language_model), shell.inputs_of(questions(1)[0], Words())
    lengths: list[int] = []
    for layer in language_model.model.layers:
        layer.register_forward_hook(lambda _, args, out: lengths.append(out.shape[1]))
    try:
        for way, cut in ((run.Way("fastv", 0.5, 2), 2), (run.Way("random", 0.5, where="before"), 0)):
            lengths.clear()
            run._answers(model, way, 4, [inputs], {colour: i for i, colour in enumerate(COLOURS)})
            full = inputs["input_ids"].shape[1]
            assert lengths == [full] * cut + [full - 48] * (4 - cut)
    finally:
        for layer in language_model.model.layers:
            layer._forward_hooks.clear()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="word ' two words' is 2 tokens of this model; every word must be one"):
        shell.one_token(Words(), " two words")
    monkeypatch.setattr(shell, "PACKAGE", "no_such_package")
    with pytest.raises(
        MissingDependencyError, match=r"needs no_such_package\. Install it: pip install transformers gguf"
    ):
        shell.load_smollm2()


def test_the_page_shows_the_rows() -> None:
    with (ROOT / "bench" / "results" / "language.csv").open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    text = (ROOT / "docs" / "language-check.md").read_text(encoding="utf-8")
    assert len(found) == text.count("\n| `") + text.count("\n| all tokens |")
    for row in found:
        figures = (
            f" | {row['n_kept']} | {row['right']} ± {row['standard_error']} | {row['as_with_all']} |",
            f"at {row['layer']} |" if row["where"] == "inside" else "|",
            f"| `{row['selector']}` |" if row["where"] else "| all tokens |",
        )
        assert any(all(figure in line for figure in figures) for line in text.splitlines()), row
        assert row["n_questions"] == "100"
