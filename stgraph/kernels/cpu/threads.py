"""A small thread pool for kernels that release the GIL.

Work is divided into blocks independent of the number of threads, and every block writes its own part of the output, so
results are the same on any number of threads. numba's own threading layers are not used: they abort on concurrent calls
or after a fork.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from stgraph.errors import InputError

Block = TypeVar("Block")
Result = TypeVar("Result")

_WORTH_A_THREAD = 10_000  # tokens

_pool: ThreadPoolExecutor | None = None
_n_threads: int | None = None


def num_threads() -> int:
    """Number of threads of the kernels: from the last :func:`set_num_threads`, or ``STGRAPH_NUM_THREADS``, or the CPUs
    this process may run on."""
    global _n_threads
    if _n_threads is None:
        text = os.environ.get("STGRAPH_NUM_THREADS", "")
        if text and not (text.isdecimal() and int(text) > 0):
            raise InputError(f"STGRAPH_NUM_THREADS is {text!r}; it must be a positive integer")
        _n_threads = int(text) if text else _available_cpus()
    return _n_threads


def set_num_threads(n: int) -> None:
    """Use ``n`` threads from now on, in this process."""
    global _n_threads
    if not hasattr(n, "__index__") or isinstance(n, bool) or int(n) < 1:
        raise InputError(f"number of threads is {n!r}; it must be a positive integer")
    _n_threads = int(n)
    _forget_pool()


def run_blocks(task: Callable[[Block], Result], blocks: Sequence[Block]) -> list[Result]:
    """``[task(block) for block in blocks]``, distributed over the threads; results in block order.

    The calling thread works too: waking another costs as much as a small block, so each is woken at most once, and one
    that comes too late for any block is not waited for.
    """
    helpers = min(num_threads(), len(blocks)) - 1
    if helpers < 1:
        return [task(block) for block in blocks]
    results: list[Any] = [None] * len(blocks)
    waiting = deque(range(len(blocks)))

    def work() -> None:
        while waiting:
            try:
                i = waiting.popleft()
            except IndexError:  # another thread took the last one
                return
            results[i] = task(blocks[i])

    woken = _woken(work, helpers)
    try:
        work()
    finally:
        waiting.clear()
        ended = [helper for helper in woken if not helper.cancel()]
        wait(ended)
    for helper in ended:
        helper.result()
    return results


def _woken(work: Callable[[], None], helpers: int) -> list[Future[None]]:
    """Work given to other threads: to fewer, or none, once the main thread has ended and Python takes no more of it,
    though threads that it waits for may go on."""
    pool, woken = _helpers(), []
    try:
        for _ in range(helpers):
            woken.append(pool.submit(work))
    except RuntimeError as error:
        if "cannot schedule new futures" not in str(error):
            raise
    return woken


def _helpers() -> ThreadPoolExecutor:
    """The pool of the other threads, started with the first work for them; another thread may set their number
    meanwhile."""
    global _pool
    pool = _pool
    if pool is None:
        pool = _pool = ThreadPoolExecutor(max(1, num_threads() - 1), thread_name_prefix="stgraph")
    return pool


def even_blocks(n: int, size: int) -> list[tuple[int, int]]:
    """[0, n) divided into half-open ranges of ``size``, the last one shorter."""
    return [(a, min(a + size, n)) for a in range(0, n, size)]


def thread_ranges(n: int, tokens_each: int = 1) -> list[tuple[int, int]]:
    """[0, n) divided evenly into half-open ranges, at most one per thread. With little work per token, a thread pays
    off only from about ten thousand tokens on.

    Parameters
    ----------
    n : number of items to share out, such as frames
    tokens_each : tokens per item
    """
    parts = max(1, min(num_threads(), n, n * tokens_each // _WORTH_A_THREAD))
    return [(n * i // parts, n * (i + 1) // parts) for i in range(parts)]


def _available_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)  # a forked child has none of the pool's threads
