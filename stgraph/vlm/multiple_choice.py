"""Multiple-choice questions: prompts, and answers read from the logits."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError

LETTERS = ascii_uppercase
_INSTRUCTION = "Answer with the option's letter from the given choices directly."


def choice_text(question: str, options: Sequence[str]) -> str:
    """The question with its lettered options, in the form of the benchmarks' own scripts.

    Examples
    --------
    >>> print(choice_text("What moves?", ["a square", "nothing"]))
    What moves?
    A. a square
    B. nothing
    Answer with the option's letter from the given choices directly.
    """
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question, *lines, _INSTRUCTION])


def choice_chat(question: str, options: Sequence[str], *, with_video: bool = True) -> list[dict[str, Any]]:
    """The question for a chat template: video and text, or only text."""
    text = {"type": "text", "text": choice_text(question, options)}
    return [{"role": "user", "content": [{"type": "video"}, text] if with_video else [text]}]


def letter_tokens(tokenizer: Any, n_letters: int) -> list[list[int]]:
    """For each of the first letters, the ids of its tokens: by itself, and after a space.

    Raises
    ------
    InputError
        the tokenizer splits a letter into several tokens, or maps it to the unknown token

    Notes
    -----
    The first token of an answer depends on the chat template: "A" after a line break, " A" after "ASSISTANT:". A letter
    with several tokens is refused, since a part of it would not distinguish it from other words.
    """
    found = []
    for letter in LETTERS[:n_letters]:
        written = (tokenizer(form, add_special_tokens=False)["input_ids"] for form in (letter, f" {letter}"))
        ids = {row[0] for row in written if len(row) == 1}
        # Names of these pieces in tokenizers with word or byte marks; a lone letter may get such a mark.
        ids |= {tokenizer.convert_tokens_to_ids(piece) for piece in (letter, f"\u2581{letter}", f"\u0120{letter}")}
        ids -= {None, tokenizer.unk_token_id}
        if not ids:
            raise InputError(
                f"the tokenizer ({type(tokenizer).__name__}) has no token of its own for the answer {letter!r}; "
                "options are scored by their letters, so name a checkpoint whose tokenizer has them"
            )
        found.append(sorted(ids))
    return found


def letter_scores(model: Any, inputs: Mapping[str, Any], tokens: Sequence[Sequence[int]]) -> Array:
    """[n] float64: log-probability of each letter as the model's next token, summed over the letter's tokens.

    Parameters
    ----------
    model : a Hugging Face ...ForConditionalGeneration; hooks of :func:`stgraph.compress` take effect
    inputs : of one prompt, without padding
    tokens : see :func:`letter_tokens`

    Raises
    ------
    InputError
        the logits hold NaN
    """
    import torch

    last = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    with torch.inference_mode():
        logits = model(**inputs, use_cache=False, **last).logits[0, -1].float().cpu().numpy().astype(np.float64)
    if np.isnan(logits).any():
        raise InputError(f"the logits hold NaN, as when {model.dtype} overflows; run the model in bfloat16 or float32")
    total = np.logaddexp.reduce(logits)
    return np.array([np.logaddexp.reduce(logits[list(ids)]) - total for ids in tokens])
