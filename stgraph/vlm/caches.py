"""Caches of transformers: their contents and kinds."""

from __future__ import annotations

from typing import Any

from stgraph.errors import UnavailableError


def is_static(cache: Any) -> bool:
    """Whether a cache allocates all its places from the start."""
    return bool(getattr(cache, "is_compileable", False))


def is_paged(cache: Any) -> bool:
    """Whether several prompts share a cache, as with continuous batching."""
    return cache is not None and not hasattr(cache, "get_seq_length")


def tokens_in(cache: Any) -> int:
    """Tokens in the first layer of a cache, 0 without one."""
    if cache is None:
        return 0
    if is_paged(cache):
        raise UnavailableError(
            f"a prompt with video came with a {type(cache).__name__}, which pages of several prompts share: compress() "
            "cannot cut it under continuous batching (generate_batch). Ask it with generate()"
        )
    return int(cache.get_seq_length())
