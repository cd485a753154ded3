"""Named plans of the probe: the default, and the paper's ablation and threshold sweeps with its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stgraph.bench.probe.plan import ProbeSetting
from stgraph.errors import UnknownNameError
from stgraph.selection.st_simdiff.presets import ABLATION, ablation

# Ten methods: the baselines, the rivals that need no signal of a vision encoder, st-simdiff by backend.
DEFAULT_SELECTORS = ("random", "uniform", "fastv", "framefusion", "vidcom2", "dycoke-ttm", "sttm", "st-simdiff")
DEFAULT_BACKENDS = ("lattice-components", "igraph-louvain", "igraph-leiden")
DEFAULT_RATIOS = (0.05, 0.1, 0.2, 0.3, 0.5)
_RATIOS = (0.1, 0.3, 0.5)
_TAU_SIMS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_TAU_DIFFS = (0.1, 0.2, 0.3, 0.4)


@dataclass(frozen=True)
class Preset:
    """Settings and ratios, with the paper's figures for them.

    Attributes
    ----------
    names : the paper's names for the settings
    settings, retain_ratios : of a :class:`stgraph.bench.probe.plan.ProbePlan`
    paper : (number of the setting, ratio) -> benchmark -> accuracy of the paper's model in percent
    source : the place in the paper
    """

    names: tuple[str, ...]
    settings: tuple[ProbeSetting, ...]
    retain_ratios: tuple[float, ...]
    paper: Mapping[tuple[int, float], Mapping[str, float]]
    source: str


def preset(name: str) -> Preset:
    """A preset by name: :data:`PRESETS`.

    Raises
    ------
    UnknownNameError
        no preset has that name
    """
    if name not in PRESETS:
        raise UnknownNameError(f"no preset {name!r}. Known: {', '.join(PRESETS)}")
    return PRESETS[name]


def _ablation(source: str, printed: Mapping[float, tuple[tuple[float, float], ...]]) -> Preset:
    settings = tuple(ProbeSetting("st-simdiff", ablation(row)) for row in ABLATION)
    paper = {
        (i, ratio): {"VideoMME": video_mme, "LongVideoBench": long_video_bench}
        for ratio, rows in printed.items()
        for i, (video_mme, long_video_bench) in enumerate(rows)
    }
    return Preset(tuple(ABLATION), settings, _RATIOS, paper, source)


def _sweep(parameter: str, values: tuple[float, ...], source: str, paper: Mapping[int, Mapping[str, float]]) -> Preset:
    attention: dict[str, Any] = {"importance": "attention"}
    settings = tuple(ProbeSetting("st-simdiff", {**attention, parameter: value}) for value in values)
    names = tuple(f"{parameter} {value:g}" for value in values)
    return Preset(names, settings, _RATIOS, {(i, 0.3): figures for i, figures in paper.items()}, source)


_BEST_NVILA = {"VideoMME": 60.2, "LongVideoBench": 55.2}
_BEST_LLAVA = {"VideoMME": 63.2, "LongVideoBench": 57.5}

# The paper prints its figures 5 and 6 as curves; of these, the text gives the optimum alone (figure 6), which for
# figure 5 is the main result at the same thresholds (table 1).
PRESETS: Mapping[str, Preset] = {
    "table-3": _ablation(
        "table 3, LLaVA-Video-7B, 64 frames",
        {
            0.3: ((60.3, 56.2), (61.5, 56.5), (61.7, 56.8), (62.6, 57.0), (63.2, 57.5)),
            0.5: ((63.2, 56.7), (63.3, 57.0), (63.7, 57.2), (63.7, 57.8), (63.8, 57.9)),
        },
    ),
    "table-5": _ablation(
        "table 5, NVILA-8B-Video, 64 frames",
        {
            0.3: ((59.3, 53.8), (59.5, 54.5), (59.6, 54.3), (59.9, 54.6), (60.2, 55.2)),
            0.5: ((60.9, 55.3), (61.1, 55.7), (61.3, 55.6), (61.4, 56.0), (61.7, 56.5)),
        },
    ),
    "figure-5-tau-sim": _sweep("tau_sim", _TAU_SIMS, "figure 5, LLaVA-Video-7B", {4: _BEST_LLAVA}),
    "figure-5-tau-diff": _sweep("tau_diff", _TAU_DIFFS, "figure 5, LLaVA-Video-7B", {1: _BEST_LLAVA}),
    "figure-6-tau-sim": _sweep("tau_sim", _TAU_SIMS, "figure 6, NVILA-8B-Video", {4: _BEST_NVILA}),
    "figure-6-tau-diff": _sweep("tau_diff", _TAU_DIFFS, "figure 6, NVILA-8B-Video", {1: _BEST_NVILA}),
}
