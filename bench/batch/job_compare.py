"""``stgraph batch compare``: every community backend over many dumps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import stgraph
from stgraph.bench.batch.job_select import TOKEN_COLUMNS, token_row
from stgraph.bench.batch.jobs import Job, Row, spread
from stgraph.bench.compare import compare_backends
from stgraph.bench.sweep_plan import tau_diff_text
from stgraph.bench.tables.experiments import COMPARED_BACKENDS
from stgraph.community.default_backend import compared_backends
from stgraph.selection.settings import Setting, backend_settings, check_settings
from stgraph.video.dump import ANIMATIONS
from stgraph.video.dump import SUFFIXES as VIDEOS


@dataclass(frozen=True, kw_only=True)
class CompareJob(Job):
    """Rows of ``stgraph compare`` for every dump, without the overlap of pairs.

    Attributes
    ----------
    backends : names; if empty, one per objective of those available where the batch is started
    retain_ratios, seeds, splits : axes, see :func:`stgraph.selection.settings.backend_settings`
    fidelity : see :func:`stgraph.bench.compare.compare_backends`; False by default, since its time grows with the
        square of the tokens
    encoder, frames : for inputs that are videos, see :func:`stgraph.load`
    options : any other parameter of st-simdiff

    Raises
    ------
    UnknownNameError, InputError
        a name or parameter is wrong
    """

    backends: tuple[str, ...] = ()
    retain_ratios: tuple[float, ...] = (0.1, 0.3, 0.5)
    seeds: tuple[int, ...] = (0,)
    splits: tuple[str, ...] = ("tree",)
    fidelity: bool = False
    encoder: str | None = None
    frames: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    name: ClassVar[str] = "compare"
    suffixes: ClassVar[tuple[str, ...]] = (".safetensors",)
    otherwise: ClassVar[tuple[str, ...]] = VIDEOS
    by_name: ClassVar[tuple[str, ...]] = ANIMATIONS
    output: ClassVar[None] = None
    columns: ClassVar[Mapping[str, type]] = {**TOKEN_COLUMNS, **COMPARED_BACKENDS.without("dump").columns}

    def __post_init__(self) -> None:
        spread(self, "backends", "retain_ratios", "seeds", "splits")
        if not self.backends:
            object.__setattr__(self, "backends", tuple(compared_backends()))
        check_settings(self._settings(), self.retain_ratios)

    def run(self, path: Path, target: Path | None) -> list[Row]:
        """One row per backend, splitter, seed and ratio."""
        tokens = stgraph.load(path, encoder=self.encoder, frames=self.frames)
        facts = token_row(tokens)
        rows = []
        for row in compare_backends(tokens, self._settings(), self.retain_ratios, fidelity=self.fidelity).rows:
            del row["dump"]
            rows.append({**facts, **row, "tau_diff": tau_diff_text(row["tau_diff"])})
        return rows

    def _settings(self) -> list[Setting]:
        return backend_settings(self.backends, self.splits, self.seeds, self.options)
