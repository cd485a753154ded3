"""Batches without processes, for tests of all that is not the runners' business."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from stgraph.bench.batch.run import BatchReport
from stgraph.bench.batch.work import Outcome, WorkItem, run_item


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run one after the other, in this process."""

    def one_by_one(items: Sequence[WorkItem], n_workers: int) -> Iterator[Outcome]:
        yield from map(run_item, items)

    monkeypatch.setattr("stgraph.bench.batch.run.run_local", one_by_one)


def summary(report: BatchReport) -> tuple[int, int, int]:
    """Done, there already, failed."""
    return report.n_done, report.n_present, len(report.failed)
