"""Result names: from an input's path to a file name that is safe anywhere."""

from __future__ import annotations

import os
import re
from hashlib import blake2b

_STEM_LENGTH = 48


def absolute(path: str) -> str:
    """Absolute path, so that one file given relative to two folders is one input; links are not followed."""
    return path if "\0" in path else os.path.abspath(path)


def result_name(path: str) -> str:
    """Name, without suffix, of the results of an input.

    It depends only on the absolute path, consists of ASCII letters, digits, "-" and "_", starts with a letter or digit
    (readers of Parquet folders skip names that start with "_" or "."), is at most 65 characters long, and ends in a
    digest of 16 hexadecimal digits, which tells apart inputs that share a name or differ only in case.

    Examples
    --------
    >>> result_name("/videos/a b.safetensors")
    'a_b-b4ad57fda422d7b8'
    """
    path = absolute(path)
    digest = blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    stem = os.path.splitext(os.path.basename(path))[0]
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", stem)[:_STEM_LENGTH].lstrip("-_") or "input"
    return f"{stem}-{digest}"


def readable(text: str) -> str:
    """Text that any row file can hold: bytes that are not UTF-8, and lone surrogates, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
