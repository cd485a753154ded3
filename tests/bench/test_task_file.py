"""Task files: what a line may say, and what is said of one that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stgraph.bench.answers.questions import Question, read_task
from stgraph.errors import InputError

GOOD: dict[str, Any] = {"video": "a.mp4", "question": "What?", "options": ["red", "green", "blue"], "answer": "B"}


def read(folder: Path, *lines: Any) -> list[Question]:
    """The questions of these lines; text is written as it is."""
    (folder / "a.mp4").touch()
    path = folder / "task.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return read_task(path)


def with_answer(answer: Any, *options: str) -> dict[str, Any]:
    return {**GOOD, "answer": answer, "options": list(options or GOOD["options"])}


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (with_answer("B"), 1),
        (with_answer(" c "), 2),
        (with_answer(0), 0),
        (with_answer("blue"), 2),
        (with_answer("2", "1", "2", "3"), 1),  # text: only a number is an index
        (with_answer("A", "A", "B"), 0),  # letter and text agree
        (with_answer(1, "0", "1"), 1),
        (with_answer("Z", *map(str, range(26))), 25),
    ],
)
def test_ways_to_name_the_answer(tmp_path: Path, line: dict[str, Any], answer: int) -> None:
    assert read(tmp_path, line)[0].answer == answer


def test_what_a_question_holds(tmp_path: Path) -> None:
    lines = [
        {**GOOD, "id": 7, "family": "colour", "duration": 3},
        "",
        {**GOOD, "category": 2},
        {**GOOD, "video": "sub/../a.mp4", "question": "Which?"},
    ]
    named, unnamed, other = read(tmp_path, *lines)
    assert (named.id, named.family, named.options) == ("7", "colour", ("red", "green", "blue"))
    assert (unnamed.id, unnamed.family) == (unnamed.digest, "2")
    assert (other.video, other.path, other.text, other.family) == ("a.mp4", tmp_path / "a.mp4", "Which?", None)
    assert len({question.digest for question in (named, unnamed, other)}) == 3
    again = read(tmp_path, *lines)
    assert again == [named, unnamed, other]
    moved = read(tmp_path, {**GOOD, "id": 7, "family": "colour", "duration": 4, "answer": "green"})
    assert moved[0].digest == named.digest  # the same question written another way


@pytest.mark.parametrize(
    "change", [{"question": "How?"}, {"answer": 2}, {"options": ["red", "blue", "green"]}, {"id": 1}]
)
def test_a_changed_question_has_another_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    assert read(tmp_path, {**GOOD, **change})[0].digest != read(tmp_path, GOOD)[0].digest


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "t").write_text("\ufeff" + json.dumps(GOOD) + "\r\n", encoding="utf-8")
    assert len(read_task(tmp_path / "t")) == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "'{' is not JSON; write one JSON object per line, with video, question, options and answer"),
        ("[1, 2]", "'[1, 2]' is not a JSON object; write one per line"),
        ("[" * 100_000, "is not JSON"),
        ({k: v for k, v in GOOD.items() if k != "answer"}, "lacks 'answer'; a question has video, question"),
        ({**GOOD, "anwser": 1, "video": ""}, "video is ''; it must be text"),
        ({**GOOD, "video": ["a.mp4"]}, 'video is ["a.mp4"]; it must be text'),
        ({**GOOD, "video": "a\0.mp4"}, "video is 'a\\x00.mp4'; a path cannot contain NUL"),
        ({**GOOD, "question": " "}, "question is ' '; it must be text"),
        ({**GOOD, "options": "red, green"}, "options is 'red, green'; it must be a list of 2 to 26 answers"),
        ({**GOOD, "options": ["red"]}, 'options is ["red"]; it must be a list of 2 to 26 answers'),
        ({**GOOD, "options": [str(i) for i in range(27)]}, "it must be a list of 2 to 26 answers"),
        ({**GOOD, "options": ["red", 3]}, "option B is 3; it must be text"),
        ({**GOOD, "options": ["red", "blue", "red"]}, "option 'red' is there twice; options must differ"),
        (with_answer("D"), "answer is 'D'; it must be A to C, an index from 0 to 2, or an option's text"),
        (with_answer(3), "answer is 3; it must be A to C"),
        (with_answer(-1), "answer is -1; it must be A to C"),
        (with_answer(1.0), "answer is 1.0; it must be A to C"),
        (with_answer(True), "answer is true; it must be A to C"),
        (with_answer(None), "answer is null; it must be A to C"),
        (with_answer("Red"), "answer is 'Red'; it must be A to C"),
        (with_answer("B", "B", "A"), "answer is 'B', which is option B by letter and option A by text; write it in a"),
        (with_answer(1, "1", "2"), "answer is 1, which is option B by index and option A by text"),
        ({**GOOD, "family": "a", "category": "b"}, "has both family and category, which mean the same; leave one out"),
        ({**GOOD, "family": ["a"]}, 'family is ["a"]; it must be text or an integer'),
        ({**GOOD, "id": "\ud800"}, "id is '\\ud800'; it must be text"),
        ({**GOOD, "options": ["red", "\udfff"]}, "option B is '\\udfff'; it must be text"),
        ({**GOOD, "id": True}, "id is true; it must be text or an integer"),
        (GOOD, "repeats line 1 (id '"),
        ({**GOOD, "question": "long " * 100, "answer": "x" * 100}, f"answer is '{'x' * 57}...'; it must be"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: Any, says: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, GOOD, "", line)
    assert str(error.value).startswith(f"{tmp_path / 'task.jsonl'}, line 3: ")
    assert says in str(error.value)
    assert len(str(error.value)) < 400


def test_two_lines_with_one_id(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2: repeats line 1 \(id 'x'\); leave one out, or give each its own id"):
        read(tmp_path, {**GOOD, "id": "x"}, {**GOOD, "id": "x", "question": "Other?"})


def test_all_lines_are_read_before_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2: .* \(2 more lines are wrong\)$"):
        read(tmp_path, GOOD, "{", {**GOOD, "answer": 9}, "3")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory; give a file of JSON lines"):
        read_task(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="Is a directory"):
        read_task(tmp_path)
    (tmp_path / "x").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match="it is not UTF-8 text"):
        read_task(tmp_path / "x")
    with pytest.raises(InputError, match="holds no question; write one JSON object per line"):
        read(tmp_path, "", " ")


def test_a_video_with_a_name_too_long_for_the_disk_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of its videos is there"):
        read(tmp_path, {**GOOD, "video": "x" * 5000})


def test_one_missing_video_is_a_failure_of_its_question_but_all_are_a_wrong_path(tmp_path: Path) -> None:
    assert len(read(tmp_path, GOOD, {**GOOD, "video": "b.mp4"})) == 2
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(InputError, match=r"none of its videos is there, not even .*b\.mp4; paths are relative to"):
        path = tmp_path / "task.jsonl"
        path.write_text(json.dumps({**GOOD, "video": "b.mp4"}), encoding="utf-8")
        read_task(path)
