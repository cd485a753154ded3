"""Task files: multiple-choice questions about local videos, one JSON object per line."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgraph.errors import InputError
from stgraph.vlm.multiple_choice import LETTERS

FIELDS = "video, question, options and answer, and may have id and family"


@dataclass(frozen=True)
class Question:
    """One question about one video.

    Attributes
    ----------
    id : from the file, or the digest
    video, path : as named by the file; its location
    text, options : the question and 2 to 26 answers to choose from
    answer : index of the right one, from 0
    family : kind of question; None if the file does not state it
    digest : 12 hexadecimal digits identifying all of these except ``path``
    """

    id: str
    video: str
    path: Path
    text: str
    options: tuple[str, ...]
    answer: int
    family: str | None
    digest: str


def read_task(path: str | os.PathLike[str]) -> list[Question]:
    """The checked questions of a task file.

    Each line is an object with video (a path, relative to the folder of the file), question, options (2 to 26 strings),
    answer (an option's letter, its index from 0, or its text), and optionally id and family (or category). Other fields
    and empty lines are ignored.

    Raises
    ------
    InputError
        the file cannot be read or holds no questions; a line is invalid (the message names its number, content and the
        expected form); two lines have the same id; a video does not exist
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number else "it is not UTF-8 text"
        raise InputError(f"cannot read {file}: {reason}; give a file of JSON lines, see docs/eval-task.md") from None
    questions: list[Question] = []
    line_of: dict[str, int] = {}
    wrong: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            question = _question(line, file.parent)
            if question.id in line_of:
                raise InputError(
                    f"repeats line {line_of[question.id]} (id {question.id!r}); leave one out, or give each its own id"
                )
            line_of[question.id] = number
            questions.append(question)
        except InputError as error:
            wrong.append(f"{file}, line {number}: {error}")
    if wrong:
        more = f" ({len(wrong) - 1} more lines are wrong)" if len(wrong) > 1 else ""
        raise InputError(wrong[0] + more)
    if not questions:
        raise InputError(f"{file} holds no question; write one JSON object per line, with {FIELDS}")
    if not any(os.path.exists(question.path) for question in questions):
        raise InputError(
            f"{file}: none of its videos is there, not even {questions[0].path}; paths are relative to the folder of "
            "the task file"
        )
    return questions


def _question(line: str, folder: Path) -> Question:
    """The question of one line; errors begin with the fault."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{_shown(line)} is not JSON; write one JSON object per line, with {FIELDS}") from None
    if not isinstance(found, dict):
        raise InputError(f"{_shown(line)} is not a JSON object; write one per line, with {FIELDS}")
    lacking = [name for name in ("video", "question", "options", "answer") if name not in found]
    if lacking:
        raise InputError(f"{_shown(line)} lacks {lacking[0]!r}; a question has {FIELDS}")
    video = os.path.normpath(_text(found, "video"))
    if "\0" in video:
        raise InputError(f"video is {video!r}; a path cannot contain NUL")
    text, options = _text(found, "question"), _options(found["options"])
    if "family" in found and "category" in found:
        raise InputError("has both family and category, which mean the same; leave one out")
    family = next((_name(found, key) for key in ("family", "category") if found.get(key) is not None), None)
    answer = _answer(found["answer"], options)
    named = None if found.get("id") is None else _name(found, "id")
    facts = {"video": video, "question": text, "options": options, "answer": answer, "id": named, "family": family}
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=6).hexdigest()
    return Question(named or digest, video, folder / video, text, tuple(options), answer, family, digest)


def _text(found: Mapping[str, Any], name: str) -> str:
    return _plain(name, found[name])


def _name(found: Mapping[str, Any], name: str) -> str:
    value = found[name]
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise InputError(f"{name} is {_shown(value)}; it must be text or an integer")
    return _plain(name, str(value))


def _plain(name: str, value: Any) -> str:
    """``value``, checked to be text that can be written to a file: without lone surrogates."""
    if not isinstance(value, str) or not value.strip() or any("\ud800" <= c <= "\udfff" for c in value):
        raise InputError(f"{name} is {_shown(value)}; it must be text")
    return value


def _options(value: Any) -> list[str]:
    if not isinstance(value, list) or not 2 <= len(value) <= len(LETTERS):
        raise InputError(f"options is {_shown(value)}; it must be a list of 2 to {len(LETTERS)} answers")
    for letter, option in zip(LETTERS, value, strict=False):
        _plain(f"option {letter}", option)
    again = next((option for i, option in enumerate(value) if option in value[:i]), None)
    if again is not None:
        raise InputError(f"option {_shown(again)} is there twice; options must differ")
    return value


def _answer(value: Any, options: list[str]) -> int:
    """The index of the right option; ambiguous answers are refused."""
    choices = f"{LETTERS[0]} to {LETTERS[len(options) - 1]}, an index from 0 to {len(options) - 1}, or an option's text"
    meant: dict[str, int] = {}
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(options):
        meant["index"] = value
    if isinstance(value, str) and len(value.strip()) == 1 and value.strip().upper() in LETTERS[: len(options)]:
        meant["letter"] = LETTERS.index(value.strip().upper())
    if not isinstance(value, bool) and str(value) in options:
        meant["text"] = options.index(str(value))
    if not meant:
        raise InputError(f"answer is {_shown(value)}; it must be {choices}")
    if len(set(meant.values())) > 1:
        readings = " and ".join(f"option {LETTERS[i]} by {way}" for way, i in meant.items())
        raise InputError(f"answer is {_shown(value)}, which is {readings}; write it in a way that means one of them")
    return next(iter(meant.values()))


def _shown(value: Any) -> str:
    """A value for an error message, shortened if long."""
    text = value if isinstance(value, str) else json.dumps(value)
    return repr(text if len(text) <= 60 else text[:57] + "...") if isinstance(value, str) else text[:60]
