"""A third party's backend, registered for one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stgraph import EdgeList
from stgraph.community.base import BACKENDS, BackendParams, Capabilities


class Foreign:
    """A third party's backend: whatever labels ``answer`` gives."""

    name = "foreign"
    package = "numpy"
    capabilities = Capabilities("cpu", "modularity", weighted=False, seeded=False, deterministic=True)

    def __init__(self, answer: Callable[[EdgeList], Any], reason: str | None = None) -> None:
        self.answer = answer
        self.reason = reason

    def unavailable(self) -> str | None:
        return self.reason

    def labels(self, edges: EdgeList, params: BackendParams) -> Any:
        return self.answer(edges)


@contextmanager
def registered(answer: Callable[[EdgeList], Any], reason: str | None = None) -> Iterator[str]:
    BACKENDS.register("foreign", Foreign(answer, reason))
    try:
        yield "foreign"
    finally:
        BACKENDS.unregister("foreign")
