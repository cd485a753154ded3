"""The interactive page: the effect of each setting on a video, per token."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from stgraph import colours
from stgraph.aliases import Array
from stgraph.errors import InputError
from stgraph.graph import TokenGraph, build_graph
from stgraph.selection.keeping import Kept
from stgraph.selection.reasons import REASON_NAMES
from stgraph.selection.st_simdiff.analysis import Analysis
from stgraph.tokens import VideoTokens
from stgraph.viz.facts import flat_facts
from stgraph.viz.pages.colouring import community_colours
from stgraph.viz.pages.frames import first_frames_of_shots, frame_pictures, frame_times
from stgraph.viz.pages.inline_page import ArrayPool, inline_page
from stgraph.viz.pages.shown import Shown, shown

STYLES = ("base.css", "view.css")
SCRIPTS = (
    *("dom.js", "chart.js", "view_state.js", "view_draw.js", "view_token.js", "view_charts.js", "view_controls.js"),
    "view_start.js",
)


def view_page(tokens: VideoTokens, kept: Iterable[Kept], *, name: str = "") -> str:
    """One self-contained HTML file.

    Parameters
    ----------
    tokens : VideoTokens, with or without frame thumbnails
    kept : of :func:`stgraph.keep`: settings of these tokens at the same retain ratios; those that find communities
        under the same thresholds
    name : of the dump, for the title

    Raises
    ------
    InputError
        there are no settings, or they do not belong together
    """
    settings = shown(kept)
    _check(tokens, settings)
    title = str(tokens.metadata.get("title") or name or "Video tokens")
    data = view_data(tokens, settings, title)
    return inline_page(f"{title}: stgraph view", STYLES, SCRIPTS, "view.html", data)


def view_data(tokens: VideoTokens, settings: Sequence[Shown], title: str) -> dict[str, Any]:
    """Contents of the page as plain values; arrays are indices into ``arrays``."""
    pool = ArrayPool()
    first = next((s.analysis for s in settings if s.analysis is not None), None)
    pictures, graph = frame_pictures(tokens), build_graph(tokens) if first is None else first.graph
    shots = first_frames_of_shots(tokens)
    events = [s.analysis.event_threshold for s in settings if s.analysis is not None]
    reference = None
    if first is not None:
        labels = first.partition.uncapped_labels
        reference = labels, community_colours(tokens.grid, labels)
    return {
        "title": title,
        "about": flat_facts(tokens.metadata),
        "grid": list(tokens.grid.shape),
        "rows": None if tokens.grid.kind is None else pool.add(tokens.grid.rows),
        "times": frame_times(tokens),
        "shots": shots,
        "first_frame": _telling_frame(graph, first, shots),
        "pictures": None if pictures is None else [base64.b64encode(p).decode() for p in pictures],
        "similarity": pool.add(_known(graph).reshape(-1)),
        "families": list(graph.families),
        "tau_sim": None if first is None else graph.tau_sim,
        "event_threshold": next((e for e in events if e is not None), None),
        "backends": list(dict.fromkeys(s.name for s in settings)),
        "splits": list(dict.fromkeys(s.split for s in settings if s.split)),
        "ratios": list(settings[0].kept),
        "settings": [_setting(pool, s, reference, tokens) for s in settings],
        "reasons": REASON_NAMES,
        "palette": {
            "community": colours.COMMUNITY,
            "alone": colours.ALONE,
            "representative": colours.REPRESENTATIVE,
            "event": colours.EVENT,
            "other": colours.OTHER_REASON,
            "heat": colours.HEAT,
        },
        "arrays": pool.entries,
    }


def _known(graph: TokenGraph) -> Array:
    """The similarities; NaN if features are unknown, as in a saved selection, where all are zero."""
    return np.asarray(graph.similarity) if np.any(graph.norms) else np.full_like(graph.similarity, np.nan)


def _telling_frame(graph: TokenGraph, found: Analysis | None, shots: Sequence[int] | None) -> int:
    """The frame with the most events, or, if no method finds events, the one that differs most from the frame
    before; the first one after a cut if features are unknown."""
    T, H, W = graph.grid.shape
    if found is not None and found.events.any():
        return int(found.events.reshape(T, -1).sum(axis=1).argmax())
    if not np.any(graph.norms):
        return next((frame for frame in shots or () if frame > 0), 0)
    if T == 1:
        return 0
    similarity = np.nan_to_num(np.asarray(graph.similarity).reshape(3, T, H * W)[2, :-1], nan=1.0)
    return int(similarity.mean(axis=1).argmin()) + 1


def _setting(pool: ArrayPool, s: Shown, reference: tuple[Array, Array] | None, tokens: VideoTokens) -> dict[str, Any]:
    data: dict[str, Any] = {
        "backend": s.name,
        "split": s.split,
        "finding": s.finding(),
        "codes": [pool.add(s.codes(ratio)) for ratio in s.kept],
        "kept": [s.kept_sentence(ratio) for ratio in s.kept],
        "communities": None,
    }
    if s.analysis is not None:
        data["communities"] = _communities(pool, s.analysis, reference, tokens)
    return data


def _communities(
    pool: ArrayPool, analysis: Analysis, reference: tuple[Array, Array] | None, tokens: VideoTokens
) -> dict[str, Any]:
    partition, provenance = analysis.partition, analysis.partition.provenance
    before = community_colours(tokens.grid, partition.uncapped_labels, reference)
    after = community_colours(tokens.grid, partition.labels, (partition.uncapped_labels, before))
    return {
        "library": f"{provenance.library} {provenance.library_version}",
        "cap": provenance.max_size,
        "in_search": partition.capped_in_search,
        "labels": pool.add(partition.labels),
        "colours": pool.add(after),
        "uncapped": pool.add(partition.uncapped_labels),
        "uncapped_colours": pool.add(before),
        "centrality": pool.add(analysis.centrality),
    }


def _check(tokens: VideoTokens, settings: Sequence[Shown]) -> None:
    if not settings:
        raise InputError("a page needs at least one setting; pass what stgraph.keep(tokens, ...) gives")
    names = [(s.name, s.split) for s in settings]
    if len(set(names)) < len(names):
        name, split = next(name for name in names if names.count(name) > 1)
        of = f"{name} with splitter {split}" if split else name
        raise InputError(f"two settings are {of}; a page tells them apart by these")
    ratios = list(settings[0].kept)
    found = [s.analysis for s in settings if s.analysis is not None]
    for s in settings:
        grid = s.first.selection.grid
        if grid != tokens.grid:
            raise InputError(f"a setting is of a {grid} video, but these tokens are {tokens.grid}")
        if list(s.kept) != ratios:
            raise InputError(
                f"{s.name}{s.split and ' / '}{s.split} has the retain ratios {list(s.kept)}; all settings of a page "
                f"need the same (the first has {ratios})"
            )
    shared = [(a.graph.tau_sim, a.graph.families) for a in found]
    thresholds = {a.event_threshold for a in found} - {None}  # some selectors know no events
    if len(set(shared)) > 1 or len(thresholds) > 1:
        raise InputError("the settings of a page must share tau_sim, tau_diff and edge families; make one page each")
    if any(a.graph.grid != tokens.grid for a in found):
        raise InputError("communities in which newlines count do not fit the frames; pass newlines='out'")
