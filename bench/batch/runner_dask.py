"""The Dask runner: on its own local cluster, or on an existing one."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

from stgraph.bench.batch.environment import thread_environment
from stgraph.bench.batch.work import Outcome, WorkItem, fail_item, run_item
from stgraph.errors import UnavailableError, missing_dependency


def check_dask() -> None:
    """Raise MissingDependencyError unless Dask is installed."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise missing_dependency("stgraph batch --runner dask", "distributed", "dask") from None


def run_dask(
    items: Sequence[WorkItem],
    n_workers: int,
    address: str | None = None,
    scheduler_file: str | os.PathLike[str] | None = None,
) -> Generator[Outcome, None, None]:
    """Outcomes, as they complete. Dask gives a dead worker's items to another, as often as configured.

    Parameters
    ----------
    n_workers : processes of a local cluster, if neither of the others is given
    address, scheduler_file : an existing scheduler; its workers need stgraph and see the same files

    Raises
    ------
    UnavailableError
        the scheduler cannot be reached
    """
    import dask
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        if address is None and scheduler_file is None:
            # Worker deaths allowed per item; a running scheduler has its own setting.
            stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": items[0].retries}))
            variables = thread_environment(n_workers)
            stack.enter_context(dask.config.set({"distributed.nanny.pre-spawn-environ": variables}))
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=n_workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    processes=True,
                    silence_logs=logging.ERROR,
                )
            )
            client = stack.enter_context(Client(cluster))
        else:
            where = {"address": address} if scheduler_file is None else {"scheduler_file": str(scheduler_file)}
            try:
                client = stack.enter_context(Client(**where, timeout="10s"))
            except (OSError, ValueError, TimeoutError) as error:
                named = address if scheduler_file is None else scheduler_file
                raise UnavailableError(f"cannot reach the Dask scheduler {named}: {error}") from None
        suspects: list[WorkItem] = []
        for item, outcome in _outcomes(client, items):
            if outcome is None:
                suspects.append(item)
            else:
                yield outcome
        # A worker holds more than the item that killed it, and Dask blames all of them: each is retried alone
        for suspect in suspects:
            for item, outcome in _outcomes(client, [suspect]):
                yield outcome or fail_item(item, "its workers died, one after the other", item.retries + 1)


def _outcomes(client: Any, items: Sequence[WorkItem]) -> Generator[tuple[WorkItem, Outcome | None], None, None]:
    """Items with their outcomes, as they complete; None if workers died with the item."""
    from distributed import KilledWorker, as_completed

    run = uuid4().hex  # results of an earlier run under the same scheduler are not this run's
    futures = {f"stgraph-{run}-{item.result}": item for item in items}
    submitted = client.map(run_item, list(futures.values()), key=list(futures), pure=False, batch_size=1000)
    try:
        completed = as_completed(submitted)
        for future in completed:
            if future.status in ("lost", "pending"):  # a worker died with the result in memory; it is computed again
                completed.add(future)
                continue
            item = futures.pop(future.key)
            outcome: Outcome | None = None
            try:
                outcome = future.result()
            except KilledWorker:
                pass  # the caller decides whose fault it was
            except Exception as error:
                outcome = fail_item(item, f"{type(error).__name__}: {error}", 1)
            yield item, outcome
    finally:
        client.cancel(submitted)
