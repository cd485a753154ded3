"""``stgraph batch compare-selectors``: several selectors over many dumps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import stgraph
from stgraph.bench.batch.job_select import TOKEN_COLUMNS, token_row
from stgraph.bench.batch.jobs import Job, Row, spread
from stgraph.bench.compare_selectors import compare_selectors
from stgraph.bench.tables.experiments import COMPARED_SELECTORS
from stgraph.community.base import usable_backend
from stgraph.errors import InputError
from stgraph.selection.prefill_flops import DEFAULT_LLM, shape_named
from stgraph.selection.settings import Setting, check_parameters, check_settings, selector_settings
from stgraph.video.dump import ANIMATIONS
from stgraph.video.dump import SUFFIXES as VIDEOS


@dataclass(frozen=True, kw_only=True)
class CompareSelectorsJob(Job):
    """Rows of ``stgraph compare -s`` for every dump, without the overlap of pairs.

    Attributes
    ----------
    selectors : names; an input fails if its dump lacks a signal that one of them needs
    retain_ratios, seeds, backends : axes, see :func:`stgraph.selection.settings.selector_settings`
    measured, newlines, llm, fidelity : see :func:`stgraph.bench.compare_selectors.compare_selectors`; fidelity is off
        by default, since its time grows with the square of the tokens
    options : further parameters; each goes to the selectors that have it

    Raises
    ------
    UnknownNameError, BackendUnavailableError, InputError
        a name or parameter is wrong
    """

    selectors: tuple[str, ...] = ()
    retain_ratios: tuple[float, ...] = (0.1, 0.3, 0.5)
    measured: str = "kept"
    newlines: str | None = None
    llm: str = DEFAULT_LLM
    seeds: tuple[int, ...] = (0,)
    backends: tuple[str, ...] = ()
    fidelity: bool = False
    encoder: str | None = None
    frames: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    name: ClassVar[str] = "compare-selectors"
    suffixes: ClassVar[tuple[str, ...]] = (".safetensors",)
    otherwise: ClassVar[tuple[str, ...]] = VIDEOS
    by_name: ClassVar[tuple[str, ...]] = ANIMATIONS
    output: ClassVar[None] = None
    columns: ClassVar[Mapping[str, type]] = {**TOKEN_COLUMNS, **COMPARED_SELECTORS.without("dump").columns}

    def __post_init__(self) -> None:
        spread(self, "selectors", "retain_ratios", "seeds", "backends")
        if not self.selectors:
            raise InputError("batch compare-selectors lacks selectors; give it names, such as selectors=evs,sttm")
        check_parameters(self.selectors, [*self.options, *(["backend"] if self.backends else [])])
        check_settings(self._settings(), self.retain_ratios, self.measured, self.newlines)
        shape_named(self.llm)
        for backend in self.backends:
            usable_backend(backend)

    def run(self, path: Path, target: Path | None) -> list[Row]:
        """One row per selector, backend, seed and ratio."""
        tokens = stgraph.load(path, encoder=self.encoder, frames=self.frames)
        facts = token_row(tokens)
        rows = []
        found = compare_selectors(
            tokens,
            self._settings(),
            self.retain_ratios,
            measured=self.measured,
            newlines=self.newlines,
            llm=self.llm,
            fidelity=self.fidelity,
            tau_diff=self.options.get("tau_diff", Setting().get("tau_diff")),
        )
        for row in found.rows:
            del row["dump"]
            rows.append({**facts, **row})
        return rows

    def _settings(self) -> list[Setting]:
        options = {"n_layers": shape_named(self.llm).n_layers, **self.options}
        return selector_settings(self.selectors, self.backends, self.seeds, options)
