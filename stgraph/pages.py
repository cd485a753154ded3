"""Pages: kept tokens and comparisons as objects that render in a notebook and can be saved."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgraph import container
from stgraph.aliases import Progress
from stgraph.bench.compare import RATIOS, Comparison, compare_backends
from stgraph.bench.compare_selectors import compare_selectors
from stgraph.bench.tables.writing import FORMATS, write
from stgraph.files import atomic_path, check_suffix
from stgraph.selection.base import SELECTORS, parameters_of
from stgraph.selection.keeping import Kept, as_ratios, as_settings, keep
from stgraph.selection.result import Selection
from stgraph.selection.selection_file import FRAMES
from stgraph.selection.settings import Setting, backend_settings, check_axis, check_parameters, settings_of
from stgraph.tokens import VideoTokens, check_tokens
from stgraph.viz.pages.report import Compared, report_page
from stgraph.viz.pages.view import view_page

USUAL_SPLITS = ("tree", "raster", "redetect")
USUAL_RATIOS = (0.1, 0.2, 0.3, 0.5, 0.7)
PAGE_SUFFIXES = (".html", ".htm")
_HEIGHT = 860  # height of a page in a notebook, in pixels


@dataclass(frozen=True, eq=False)
class View:
    """The interactive page of kept tokens; it renders in a notebook.

    Attributes
    ----------
    tokens : the tokens of the video
    kept : the tokens each setting keeps at each ratio
    name : used in the title
    """

    tokens: VideoTokens
    kept: Sequence[Kept]
    name: str = ""

    def html(self) -> str:
        """The page as one self-contained HTML file."""
        return view_page(self.tokens, self.kept, name=self.name)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page.

        Raises
        ------
        InputError
            the path does not end in .html, or cannot be written
        """
        check_suffix(path, PAGE_SUFFIXES, "a page")
        write_page(path, self.html())

    def _repr_html_(self) -> str:
        return framed(self.html())

    def __repr__(self) -> str:
        settings = {str(one.setting) for one in self.kept}
        ratios = ", ".join(f"{r:g}" for r in dict.fromkeys(one.ratio for one in self.kept))
        word = "setting" if len(settings) == 1 else "settings"
        return f"View({len(settings)} {word} at r = {ratios}, of {self.tokens.grid} tokens)"


def view(
    tokens: VideoTokens,
    settings: Setting | str | Sequence[Setting | str] | None = None,
    ratios: float | Sequence[float] = USUAL_RATIOS,
    *,
    name: str = "",
    device: str = "cpu",
    progress: Progress | None = None,
) -> View:
    """The interactive page: frames, communities, kept tokens and why, for each setting and ratio.

    Parameters
    ----------
    tokens : VideoTokens, features [T, H, W, d]; frame thumbnails are optional
    settings : names of selectors, or :class:`stgraph.Setting`; those that find communities must share tau_sim,
        tau_diff and edge families. None for the usual community backends under three splitters
    ratios : r in (0, 1]
    name : used in the title if the tokens carry none
    device : where to compute, "cpu" or "cuda"
    progress : called with a label and the share of work done, 0 to 1

    Returns
    -------
    View
        a notebook shows it; ``save(path)`` writes it

    Raises
    ------
    UnknownNameError, InputError, MissingSignalError
        see :func:`stgraph.keep`; or the settings do not belong on one page

    Examples
    --------
    >>> import stgraph
    >>> stgraph.view(stgraph.sample(), ["st-simdiff", "evs"], [0.1, 0.3])
    View(2 settings at r = 0.1, 0.3, of 40x16x16 tokens)
    """
    check_tokens(tokens, "view")
    chosen = usual_settings() if settings is None else settings
    return View(tokens, list(keep(tokens, chosen, ratios, device=device, progress=progress)), name)


def view_selection(path: str | os.PathLike[str]) -> View:
    """The interactive page of a saved selection: kept tokens and why, on the frames where the file holds them.

    The file has no features of dropped tokens, so similarities are unknown.

    Raises
    ------
    DumpFormatError
        the file is not a selection
    """
    kept = Selection.load(path)
    tensors, metadata = container.read(path, "selection")
    signals = {name: np.array(tensors[name]) for name in FRAMES if name in tensors}
    tokens = VideoTokens(
        np.zeros((kept.grid.n_tokens, 1), np.float32), kept.grid, signals, dict(metadata.get("source") or {})
    )
    provenance = dict(kept.provenance)
    one = Kept(
        setting=Setting(str(provenance.get("selector", "selection"))),
        ratio=round(len(kept) / kept.account.n_visual, 4),
        selection=kept,
        analysis=None,
        seconds=0.0,
    )
    return View(tokens, [one], Path(path).stem)


@dataclass(frozen=True, eq=False)
class ComparisonPage:
    """A comparison and its report, which renders in a notebook.

    Attributes
    ----------
    tokens : the tokens of the video
    found : the comparison: ``rows``, ``overlap``, ``skipped`` and ``kept``
    name : the video's name, in rows and title
    """

    tokens: VideoTokens
    found: Comparison
    name: str = ""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One mapping per setting and ratio, ready for pandas."""
        return self.found.rows

    @property
    def overlap(self) -> list[dict[str, Any]]:
        """One mapping per pair of settings and ratio."""
        return self.found.overlap

    @property
    def kept(self) -> list[Kept]:
        """The kept tokens of each row, in order."""
        return self.found.kept

    def html(self) -> str:
        """The report as one self-contained HTML file."""
        one = self.found
        return report_page([Compared.of(self.name, self.tokens, one.rows, one.overlap, one.skipped, one.kept)])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report (.html), or the tables (.json, .csv, .parquet; see ``stgraph compare -o``).

        Raises
        ------
        InputError
            the suffix is unknown, or the path cannot be written
        """
        suffix = Path(path).suffix.lower()
        if suffix in PAGE_SUFFIXES:
            write_page(path, self.html())
            return
        check_suffix(path, (*PAGE_SUFFIXES, *(f".{fmt}" for fmt in FORMATS)), "a report or tables")
        write(path, self.found.tables, suffix.removeprefix("."))

    def _repr_html_(self) -> str:
        return framed(self.html())

    def __repr__(self) -> str:
        return f"ComparisonPage({len(self.rows)} rows, of {self.tokens.grid} tokens)"


def compare(
    tokens: VideoTokens,
    settings: Setting | str | Sequence[Setting | str] | None = None,
    ratios: float | Sequence[float] = RATIOS,
    *,
    measured: str = "kept",
    newlines: str | None = None,
    fidelity: bool = True,
    name: str = "video",
    device: str = "cpu",
    progress: Progress | None = None,
) -> ComparisonPage:
    """Compare settings on the same tokens: what each keeps, costs and loses.

    Parameters
    ----------
    tokens : VideoTokens, features [T, H, W, d]
    settings : names of selectors, or :class:`stgraph.Setting`. Settings of st-simdiff only are compared by their
        communities, any others by the tokens they keep; None for st-simdiff with one community backend per objective
    ratios : r in (0, 1]
    measured, newlines : see :class:`stgraph.Budget`; for selectors
    fidelity : whether to compute the nearest-kept-token figures, whose time grows with N squared
    name : of the video
    device : where to compute, "cpu" or "cuda"; figures are computed on the CPU
    progress : called with a label and the share of the work done, 0 to 1

    Returns
    -------
    ComparisonPage
        a notebook shows it; ``rows`` and ``overlap`` are tidy tables (docs/compare.md), ``save(path)`` writes a report
        or tables

    Raises
    ------
    UnknownNameError, InputError, MissingSignalError, UnavailableError
        see :func:`stgraph.keep`

    Examples
    --------
    >>> import stgraph
    >>> found = stgraph.compare(stgraph.sample(), ["st-simdiff", "uniform"], 0.3, fidelity=False)
    >>> [(row["selector"], row["n_kept"], row["n_events_kept"]) for row in found.rows]
    [('st-simdiff', 3072, 607), ('uniform', 3072, 184)]
    """
    check_tokens(tokens, "compare")
    chosen = None if settings is None else as_settings(settings)
    at = as_ratios(ratios)
    given: dict[str, Any] = {"fidelity": fidelity, "dump": name, "device": device, "progress": progress}
    of_backends = chosen is None or all(one.selector == "st-simdiff" for one in chosen)
    if of_backends and measured == "kept" and newlines is None:
        return ComparisonPage(tokens, compare_backends(tokens, chosen, at, **given), name)
    chosen = backend_settings() if chosen is None else chosen
    given |= {"measured": measured, "newlines": newlines}
    return ComparisonPage(tokens, compare_selectors(tokens, chosen, at, **given), name)


def usual_settings(
    selectors: Iterable[str] = ("st-simdiff",),
    backends: Iterable[str] = (),
    splits: Iterable[str] = USUAL_SPLITS,
    parameters: Mapping[str, Any] | None = None,
) -> list[Setting]:
    """Settings for a page: st-simdiff with each backend and splitter, and one for each other selector.

    Parameters
    ----------
    selectors : names, or "all" for every one that can be used
    backends : names, or "all"; empty for one per objective
    splits : splitters
    parameters : others; each goes to the selectors that accept it

    Raises
    ------
    UnknownNameError, BackendUnavailableError, InputError
        a name or parameter is wrong, or none of the selectors takes a parameter
    """
    common, named, asked = dict(parameters or {}), tuple(backends), tuple(dict.fromkeys(selectors))
    names = SELECTORS.usable() if "all" in asked else asked
    made: list[Setting] = []
    given = {**common, "backend": named[0]} if named else common
    check_axis("selectors", names)
    check_parameters(names, (parameter for parameter in given if parameter != "seed"))
    for name in names:
        if name == "st-simdiff":
            own = {parameter: value for parameter, value in common.items() if parameter in parameters_of(name)}
            made += backend_settings(named, splits, [own.get("seed", 0)], own)
        else:
            made += settings_of([name], {parameter: (value,) for parameter, value in given.items()})
    return made


def framed(page: str) -> str:
    """A page embedded in another document, such as a notebook cell."""
    return f'<iframe srcdoc="{html.escape(page)}" style="width: 100%; height: {_HEIGHT}px; border: 0"></iframe>'


def write_page(path: str | os.PathLike[str], page: str) -> None:
    """Write a page in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
