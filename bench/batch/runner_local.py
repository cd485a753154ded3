"""Local runner: one item per process at a time, so that the death of a process is blamed on the right item."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any

from stgraph.bench.batch.environment import device_environment, thread_environment, visible_devices
from stgraph.bench.batch.work import Outcome, WorkItem, fail_item, run_item
from stgraph.errors import UnavailableError


def run_local(items: Sequence[WorkItem], n_workers: int) -> Generator[Outcome, None, None]:
    """Outcomes, as they complete. A dead worker is replaced and its item tried again, up to its retries.

    Raises
    ------
    UnavailableError
        workers exit before they take an item
    """
    waiting = deque(items)
    deaths: dict[str, int] = {}
    n_workers = min(n_workers, len(items))
    threads, visible = thread_environment(n_workers), visible_devices() if n_workers > 1 else []
    workers = [_Worker({**threads, **device_environment(i, n_workers, visible)}) for i in range(n_workers)]
    try:
        for worker in workers:
            worker.wait_ready()
        while waiting or any(worker.item for worker in workers):
            for worker in workers:
                if worker.item is None and waiting:
                    worker.give(waiting.popleft())
            busy = {worker.pipe: worker for worker in workers if worker.item is not None}
            for pipe in connection.wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                item = worker.item
                assert item is not None
                try:
                    outcome: Outcome = worker.pipe.recv()
                    worker.item = None
                except (EOFError, OSError):
                    workers.remove(worker)
                    reason = worker.obituary()
                    deaths[item.result] = deaths.get(item.result, 0) + 1
                    workers.append(_Worker(worker.variables))
                    workers[-1].wait_ready()
                    if deaths[item.result] <= item.retries:
                        waiting.appendleft(item)
                        continue
                    outcome = fail_item(item, f"its worker {reason}", deaths[item.result])
                yield outcome
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit threads and locks of libraries
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True, name="stgraph-batch")
        self.item: WorkItem | None = None
        self.variables = variables
        with _environment(variables):  # libraries read these when they are first imported
            self.process.start()
        theirs.close()

    def wait_ready(self) -> None:
        try:
            self.pipe.recv()
        except (EOFError, OSError):
            raise UnavailableError(f"a batch worker cannot start: it {self.obituary()}") from None

    def give(self, item: WorkItem) -> None:
        self.item = item
        try:
            self.pipe.send(item)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it died idle; the next read finds out

    def obituary(self) -> str:
        """Description of how the process ended."""
        self.process.join(5)
        code = self.process.exitcode
        self.pipe.close()
        if code is not None and code < 0:
            return f"was killed by signal {-code} ({signal.Signals(-code).name})"
        return f"ended with status {code}"

    def end(self) -> None:
        """Stop it now: its item is done again later, and no partial file remains."""
        if self.item is None:
            self.pipe.close()  # it reads the end of the pipe and exits
            self.process.join(5)
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(pipe: Any) -> None:
    """Main loop of a worker: items in, outcomes out, until the pipe closes, as when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which ends the workers
    try:
        pipe.send(None)
        while True:
            pipe.send(run_item(pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
