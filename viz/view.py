"""The interactive page: what a backend did to a video, token by token."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stgraph import colours
from stgraph.errors import InputError
from stgraph.files import atomic_path
from stgraph.selection.result import Selection
from stgraph.tokens import VideoTokens
from stgraph.viz.colouring import community_colours
from stgraph.viz.frames import first_frames_of_shots, frame_pictures, frame_times
from stgraph.viz.inline_page import ArrayPool, inline_page
from stgraph.viz.setting import Setting

Array = np.ndarray[Any, Any]

STYLES = ("base.css", "view.css")
SCRIPTS = (
    *("dom.js", "chart.js", "view_state.js", "view_draw.js", "view_token.js", "view_charts.js", "view_controls.js"),
    "view_start.js",
)
KEPT = 4  # beside the bits 1 (representative) and 2 (event) of a token's code


def save_view(
    path: str | os.PathLike[str], tokens: VideoTokens, settings: Sequence[Setting], *, name: str = ""
) -> None:
    """Write the page; see :func:`view_page`."""
    text = view_page(tokens, settings, name=name)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def view_page(tokens: VideoTokens, settings: Sequence[Setting], *, name: str = "") -> str:
    """One self-contained HTML file.

    Parameters
    ----------
    tokens : VideoTokens, with or without frame thumbnails
    settings : of these tokens, under the same thresholds and with the same retain ratios; at least one
    name : of the dump, for the title

    Raises
    ------
    InputError
        no setting, or settings that do not belong together
    """
    _check(tokens, settings)
    title = str(tokens.metadata.get("title") or name or "Video tokens")
    data = view_data(tokens, settings, title)
    return inline_page(f"{title}: stgraph view", STYLES, SCRIPTS, "view.html", data)


def view_data(tokens: VideoTokens, settings: Sequence[Setting], title: str) -> dict[str, Any]:
    """What the page holds, as plain values; arrays are places in ``arrays``."""
    pool = ArrayPool()
    first = settings[0].analysis
    pictures, graph = frame_pictures(tokens), first.graph
    reference = first.partition.uncapped_labels, community_colours(tokens.grid, first.partition.uncapped_labels)
    backends = list(dict.fromkeys(s.backend for s in settings))
    splits = list(dict.fromkeys(s.split for s in settings))
    return {
        "title": title,
        "about": {str(key): _text(value) for key, value in tokens.metadata.items()},
        "grid": list(tokens.grid.shape),
        "rows": None if tokens.grid.kind is None else pool.add(tokens.grid.rows),
        "times": frame_times(tokens),
        "shots": first_frames_of_shots(tokens),
        "pictures": None if pictures is None else [base64.b64encode(p).decode() for p in pictures],
        "similarity": pool.add(graph.similarity.reshape(-1)),
        "families": list(graph.families),
        "tau_sim": graph.tau_sim,
        "event_threshold": first.event_threshold,
        "backends": backends,
        "splits": splits,
        "ratios": list(settings[0].kept),
        "settings": [_setting(pool, s, reference, tokens) for s in settings],
        "palette": {
            "community": colours.COMMUNITY,
            "alone": colours.ALONE,
            "representative": colours.REPRESENTATIVE,
            "event": colours.EVENT,
            "heat": colours.HEAT,
        },
        "arrays": pool.entries,
    }


def _setting(pool: ArrayPool, s: Setting, reference: tuple[Array, Array], tokens: VideoTokens) -> dict[str, Any]:
    partition, provenance = s.analysis.partition, s.analysis.partition.provenance
    before = community_colours(tokens.grid, partition.uncapped_labels, reference)
    after = community_colours(tokens.grid, partition.labels, (partition.uncapped_labels, before))
    codes = {ratio: _codes(kept, s.candidates.get(ratio)) for ratio, kept in s.kept.items()}
    return {
        "backend": s.backend,
        "split": s.split,
        "library": f"{provenance.library} {provenance.library_version}",
        "cap": s.cap,
        "in_search": partition.capped_in_search,
        "finding": s.finding(),
        "labels": pool.add(partition.labels),
        "colours": pool.add(after),
        "uncapped": pool.add(partition.uncapped_labels),
        "uncapped_colours": pool.add(before),
        "centrality": pool.add(s.analysis.centrality),
        "codes": [pool.add(code) for code in codes.values()],
        "kept": [s.kept_sentence(ratio) for ratio in s.kept],
    }


def _codes(kept: Selection, candidates: Selection | None) -> Array:
    """[N] uint8: why each token is a candidate (1 representative, 2 event, 3 both; 0 none), plus 4 where it is kept."""
    codes = np.zeros(kept.grid.n_nodes, np.uint8)
    for selection, bit in ((candidates, 0), (kept, KEPT)):
        if selection is not None:
            patch = np.isin(selection.indices, selection.grid.rows)  # kept newlines lie nowhere in a frame
            codes[selection.nodes] = selection.reason[patch] | bit
    return codes


def _check(tokens: VideoTokens, settings: Sequence[Setting]) -> None:
    if not settings:
        raise InputError("a page needs at least one setting; pass Setting(analysis, {0.3: selection})")
    first = settings[0]
    names = [(s.backend, s.split) for s in settings]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two settings are {twice[0]} with splitter {twice[1]}; a page tells them apart by these")
    for s in settings:
        graph = s.analysis.graph
        if graph.grid != tokens.grid:
            raise InputError(f"a setting is of a {graph.grid} video, but these tokens are {tokens.grid}")
        if not s.kept or list(s.kept) != list(first.kept):
            raise InputError(
                f"{s.backend} / {s.split} has the retain ratios {list(s.kept)}; all settings of a page need the same, "
                f"at least one (the first has {list(first.kept)})"
            )
        same = (graph.tau_sim, graph.families, s.analysis.event_threshold)
        if same != (first.analysis.graph.tau_sim, first.analysis.graph.families, first.analysis.event_threshold):
            raise InputError(
                "the settings of a page must share tau_sim, tau_diff and edge families; make one page each"
            )


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_text(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return str(value)
