"""Temporary seeding of igraph's random generator.

igraph draws from one generator per process, the caller's, and has no function to query it. It holds four bound methods
of it; these are found by their reference counts, which fall when others replace them. The methods restored afterwards
are held by igraph and this module only, so their counts later tell whether igraph still has them.
"""

from __future__ import annotations

import gc
import random
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import BuiltinMethodType, FunctionType, MethodType, SimpleNamespace
from typing import Any

_LOCK = threading.Lock()
_NAMES = ("getrandbits", "randint", "random", "gauss")  # methods igraph calls
_NEEDED = {"randint", "random", "gauss"}
_KINDS = (MethodType, BuiltinMethodType, FunctionType)

_given: list[Any] = []  # methods last restored to igraph, with their counts
_counts: list[int] = []


@contextmanager
def lent_generator(seed: int) -> Iterator[None]:
    """Make igraph draw from a generator with this seed inside the block, then restore the previous one and its state.

    A generator without ``getstate`` is assumed to be in use even if igraph's own has replaced it since. A generator
    whose methods have names other than those igraph calls is not found, and is replaced by Python's ``random``,
    igraph's default.
    """
    import igraph

    with _LOCK:
        if not (_given and _references(_given) == _counts):
            _given.clear()
        methods = _given or _methods_by_name()
        python = _draws_from(methods)
        before = _references(methods)
        igraph.set_random_number_generator(random.Random(seed))
        held = [m for m, old, new in zip(methods, before, _references(methods), strict=True) if new < old]
        del methods
        try:
            yield
        finally:
            _give_back(held)
            if not python:
                igraph.set_random_number_generator(None)


def _references(methods: Sequence[Any]) -> list[int]:
    return [sys.getrefcount(method) for method in methods]


def _methods_by_name() -> list[Any]:
    """All methods in the process that igraph might hold."""
    return [o for o in gc.get_objects() if type(o) in _KINDS and getattr(o, "__name__", None) in _NAMES]


def _draws_from(methods: Sequence[Any]) -> bool:
    """Whether igraph draws from one of these rather than from its own generator (``set_random_number_generator(None)``,
    or a thread that never set one), which cannot be seeded. Draws once and undoes the draw."""
    import igraph

    owners: dict[int, Any] = {id(m.__self__): m.__self__ for m in methods if hasattr(m, "__self__")}
    whole = [owner for owner in owners.values() if all(hasattr(owner, name) for name in _NEEDED)]
    streams = [owner for owner in whole if not isinstance(owner, random.SystemRandom)]
    try:
        states = [owner.getstate() for owner in streams]
    except (AttributeError, NotImplementedError, TypeError):
        return True  # one whose draw could not be undone
    igraph.Graph.Erdos_Renyi(n=10, m=1)
    moved = [(s, state) for s, state in zip(streams, states, strict=True) if s.getstate() != state]
    for stream, state in moved:
        stream.setstate(state)
    return bool(moved)


def _give_back(held: Sequence[Any]) -> None:
    import igraph

    mine = {m.__name__: getattr(getattr(m, "__self__", None), m.__name__, m) for m in held}
    if not mine.keys() >= _NEEDED:
        mine = {name: getattr(random, name) for name in _NAMES}
    igraph.set_random_number_generator(SimpleNamespace(**mine))
    _given[:] = mine.values()
    del mine, held
    _counts[:] = _references(_given)
