"""Multiple choice: letters as tokens, and their scores in each model family, compressed or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from vlm_models import CASES, torch

import stgraph
from stgraph.errors import InputError
from stgraph.vlm.families import parts_of
from stgraph.vlm.grids import videos_of
from stgraph.vlm.multiple_choice import choice_chat, choice_text, letter_scores, letter_tokens

LETTERS = [[10], [20, 21], [30]]  # the second may be written in two ways


@pytest.mark.parametrize("name", CASES)
def test_scores_are_log_probabilities_of_the_next_token(name: str) -> None:
    case = CASES[name](1)
    with torch.no_grad():
        chances = case.model(**case.inputs).logits[0, -1].double().softmax(0).numpy()
    expected = [chances[10], chances[20] + chances[21], chances[30]]
    assert np.exp(letter_scores(case.model, case.inputs, LETTERS)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_compression_reaches_the_scores(name: str) -> None:
    case = CASES[name](1)
    full = letter_scores(case.model, case.inputs, LETTERS)
    with stgraph.compress(case.model, stgraph.selector("st-simdiff", retain_ratio=1)):
        assert np.array_equal(letter_scores(case.model, case.inputs, LETTERS), full)
    with stgraph.compress(case.model, stgraph.selector("st-simdiff", retain_ratio=0.3)) as stats:
        scores = letter_scores(case.model, case.inputs, LETTERS)
        with torch.no_grad():
            logits = case.model(**case.inputs).logits[0, -1].double().log_softmax(0).numpy()
    assert scores[0] == pytest.approx(logits[10], abs=1e-5)
    assert not np.allclose(scores, full, atol=1e-3)
    assert stats.videos[0].n_visual == int(np.prod(case.grids[0]))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_prepared_prompt_says_where_its_videos_are(name: str, batch: int) -> None:
    case = CASES[name](batch)
    found = videos_of(parts_of(case.model), case.inputs)
    assert [video.grid.shape for video in found] == case.grids
    assert [video.start for video in found] == [int(case.columns(row)[0]) for row in range(batch)]


class Words:
    """A tokenizer of some pieces; what it does not know takes a token a character, or the one for unknown words."""

    unk_token_id = 0

    def __init__(self, pieces: Mapping[str, int], spells: bool = True) -> None:
        self.pieces, self.spells = pieces, spells

    def convert_tokens_to_ids(self, piece: str) -> int:
        return self.pieces.get(piece, self.unk_token_id)

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        whole = text.replace(" ", "\u2581")
        if whole in self.pieces or not self.spells:
            return {"input_ids": [self.convert_tokens_to_ids(whole)]}
        return {"input_ids": [self.convert_tokens_to_ids(c) for c in "\u2581" + text]}


@pytest.mark.parametrize(
    ("pieces", "tokens"),
    [
        ({"A": 5, "B": 6}, [[5], [6]]),
        ({"A": 5, "B": 6, "\u2581A": 7, "\u2581B": 8}, [[5, 7], [6, 8]]),
        ({"\u2581A": 7, "\u2581B": 8}, [[7], [8]]),
        ({"A": 5, "B": 6, "\u0120B": 9}, [[5], [6, 9]]),
    ],
)
@pytest.mark.parametrize("spells", [True, False])
def test_letters_alone_and_behind_a_space(pieces: dict[str, int], tokens: list[list[int]], spells: bool) -> None:
    assert letter_tokens(Words(pieces, spells), 2) == tokens


@pytest.mark.parametrize("spells", [True, False])
def test_a_letter_of_several_tokens_or_none_is_refused(spells: bool) -> None:
    with pytest.raises(InputError, match=r"the tokenizer \(Words\) has no token of its own for the answer 'B'"):
        letter_tokens(Words({"A": 5, "B1": 6}, spells), 2)


def test_a_real_byte_level_tokenizer() -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="needs tokenizers, which transformers brings")
    from transformers import PreTrainedTokenizerFast

    made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        special_tokens=["<unk>"], initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator(["A A A B B B say A or B"] * 20, trainer)
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")
    a, b = letter_tokens(tokenizer, 2)
    assert sorted(tokenizer.convert_ids_to_tokens(a)) == ["A", "\u0120A"]
    assert sorted(tokenizer.convert_ids_to_tokens(b)) == ["B", "\u0120B"]


def test_logits_that_overflow_are_no_answer() -> None:
    case = CASES["llava_onevision"](1)
    inputs = {**case.inputs, "pixel_values_videos": case.inputs["pixel_values_videos"] * float("nan")}
    with pytest.raises(InputError, match=r"logits hold NaN, as when torch\.float32 overflows; run the model in"):
        letter_scores(case.model, inputs, LETTERS)


def test_how_a_question_is_put() -> None:
    text = choice_text("What moves?", ["a square", "nothing"])
    assert text.splitlines()[:3] == ["What moves?", "A. a square", "B. nothing"]
    (turn,) = choice_chat("What moves?", ["a square", "nothing"])
    assert turn["content"] == [{"type": "video"}, {"type": "text", "text": text}]
    (blind,) = choice_chat("What moves?", ["a square", "nothing"], with_video=False)
    assert blind["content"] == [{"type": "text", "text": text}]
