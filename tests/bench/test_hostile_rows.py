"""Files of rows made to break the reader: a right answer, or one of our own errors."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fuzz.targets import TARGETS, attempt

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"


@pytest.mark.parametrize("name", ["csv", "json", "jsonl"])
def test_a_thousand_files_of_rows_with_changed_bytes(name: str, tmp_path: Path) -> None:
    rng, path, valid = random.Random(0), tmp_path / f"input.{name}", (CORPUS / name / "plain").read_bytes()
    refused = 0
    for _ in range(1000):
        data = bytearray(valid)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            length = rng.choice((0, 1, 1, 1, 4))
            data[at : at + length] = rng.choice(
                (b"", b'"', b",", b"\n", b"9" * 30, b"[", b"{", b"}", b"null", b"-", b"\xff")
            )
        path.write_bytes(data)
        refused += attempt(TARGETS[name], path) is not None
    assert 300 < refused < 1000, "changes that all fail, or never, test one check only"
