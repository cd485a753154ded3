"""A third party's backend, registered for one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

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


class Capping(Foreign):
    """One that can keep to a cap while it searches: runs of ``max_size`` nodes, or one community of all."""

    capabilities = replace(Foreign.capabilities, native_cap=True)

    def __init__(self) -> None:
        super().__init__(lambda edges: None)
        self.caps: list[int | None] = []  # one for each call

    def labels(self, edges: EdgeList, params: BackendParams) -> Any:
        self.caps.append(params.max_size)
        return np.arange(edges.n_nodes) // (params.max_size or edges.n_nodes)


@contextmanager
def registered(answer: Callable[[EdgeList], Any] | Foreign, reason: str | None = None) -> Iterator[str]:
    BACKENDS.register("foreign", answer if isinstance(answer, Foreign) else Foreign(answer, reason))
    try:
        yield "foreign"
    finally:
        BACKENDS.unregister("foreign")
