"""``stgraph batch select``: any selector over many dumps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import stgraph
from stgraph.bench.batch.jobs import Job, Row, writing
from stgraph.bench.tables.table import Table
from stgraph.bench.warm_up import warm_up
from stgraph.selection.base import Selector
from stgraph.video.dump import ANIMATIONS
from stgraph.video.dump import SUFFIXES as VIDEOS

TOKEN_COLUMNS = Table.of(("T", "H", "W", "d", "dtype")).columns
_REASONS = ("representative", "event", "both")


@dataclass(frozen=True, kw_only=True)
class SelectJob(Job):
    """Selections from every dump.

    Attributes
    ----------
    selector : name of the selector
    retain_ratio, n_keep, measured, newlines : the budget; by default 0.3 of the tokens
    write : whether to write kept tokens as a dump, in the folder ``kept``
    encoder, frames : for inputs that are videos, see :func:`stgraph.load`
    options : any other parameter of the selector

    Raises
    ------
    UnknownNameError, InputError
        a name or parameter is wrong
    """

    selector: str = "st-simdiff"
    retain_ratio: float | None = None
    n_keep: int | None = None
    measured: str = "kept"
    newlines: str | None = None
    write: bool = True
    encoder: str | None = None
    frames: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    name: ClassVar[str] = "select"
    suffixes: ClassVar[tuple[str, ...]] = (".safetensors",)
    otherwise: ClassVar[tuple[str, ...]] = VIDEOS
    by_name: ClassVar[tuple[str, ...]] = ANIMATIONS
    columns: ClassVar[Mapping[str, type]] = Table.of(
        (
            *(*TOKEN_COLUMNS, "selector", "retain_ratio", "kind", "exactness", "n_visual", "n_input", "n_kept"),
            *("mean_layer_tokens", "mean_layer_ratio", "newlines", "n_representative", "n_event", "n_both"),
            *("reasons", "report", "select_s"),
        ),
        retain_ratio=str,  # the exact decimal; empty if a number of tokens was requested
    ).columns

    def __post_init__(self) -> None:
        if self.retain_ratio is None and self.n_keep is None:
            object.__setattr__(self, "retain_ratio", 0.3)
        self._built()

    @property
    def output(self) -> tuple[str, str] | None:
        """Folder and suffix of the kept tokens; None if they are not written."""
        return ("kept", ".safetensors") if self.write else None

    def run(self, path: Path, target: Path | None) -> list[Row]:
        """One row for the dump."""
        tokens = stgraph.load(path, encoder=self.encoder, frames=self.frames)
        selector = self._built()
        warm_up([selector], tokens.features.dtype, signals=tokens.signals)
        start = perf_counter()
        kept = selector.select(tokens)
        seconds = perf_counter() - start
        if target is not None:
            with writing():
                kept.save(target, tokens)
        account, reasons = kept.account.to_dict(), kept.reasons()
        report = {name: value for name, value in kept.report.items() if name != "seconds"}
        row = {
            **token_row(tokens),
            "selector": self.selector,
            "retain_ratio": kept.provenance["retain_ratio"],
            "kind": kept.kind,
            "exactness": kept.exactness,
            "n_kept": len(kept),
            **{name: account[name] for name in ("n_visual", "n_input", "mean_layer_tokens", "mean_layer_ratio")},
            "newlines": account["newlines"],
            **{f"n_{reason}": reasons.get(reason, 0) for reason in _REASONS},
            "reasons": json.dumps(reasons, sort_keys=True),
            "report": json.dumps(report, sort_keys=True),
            "select_s": seconds,
        }
        return [row]

    def _built(self) -> Selector:
        return stgraph.selector(
            self.selector,
            retain_ratio=self.retain_ratio,
            n_keep=self.n_keep,
            measured=self.measured,
            newlines=self.newlines,
            **self.options,
        )


def token_row(tokens: stgraph.VideoTokens) -> Row:
    """:data:`TOKEN_COLUMNS` of some tokens."""
    T, H, W = tokens.grid.shape
    return {"T": T, "H": H, "W": W, "d": tokens.dimension, "dtype": tokens.dtype}
