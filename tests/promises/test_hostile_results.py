"""Files of partitions and selections that are wrong in one place: read, or refused by name, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzz.mutate_dump import join, mutate, split
from fuzz.targets import TARGETS, attempt

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"
KINDS = ("partition", "selection")
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    2**31,
    2**63,
    1e300,
    "",
    "é\x1b",
    [],
    [1],
    {},
    {"a": [1]},
    [[0]],
    [None] * 3,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside JSON."""
    if path:
        yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from places(part, (*path, key))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_header(kind: str, tmp_path: Path) -> None:
    rng, path = random.Random(0), tmp_path / f"input{TARGETS[kind].suffix}"
    valid = [file.read_bytes() for file in sorted((CORPUS / kind).iterdir())]
    errors = []
    for _ in range(600):
        path.write_bytes(mutate(rng.choice(valid), rng))
        errors.append(attempt(TARGETS[kind], path))
    assert all(str(path) in str(error) and len(str(error)) < 600 for error in errors if error)
    assert 300 < sum(error is not None for error in errors) < 600


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(f for kind in KINDS for f in (CORPUS / kind).iterdir()), ids=lambda f: f.name)
def test_a_wrong_value_in_the_metadata(file: Path, tmp_path: Path) -> None:
    path = tmp_path / f"input{TARGETS[file.parent.name].suffix}"
    header, body = split(file.read_bytes())
    text = header["__metadata__"]["metadata"]
    n_refused = 0
    for place in places(json.loads(text)):
        for odd in (*ODD, ...):
            metadata = json.loads(text)
            inner = metadata
            for key in place[:-1]:
                inner = inner[key]
            if odd is ...:
                del inner[place[-1]]
            else:
                inner[place[-1]] = odd
            header["__metadata__"]["metadata"] = json.dumps(metadata)
            path.write_bytes(join(header, body))
            error = attempt(TARGETS[file.parent.name], path)
            if error is not None:
                n_refused += 1
                assert str(path) in str(error), (place, odd)
                assert len(str(error)) < 600
    assert n_refused > 30
