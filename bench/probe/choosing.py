"""Selectors on the videos of an exam, with shared work computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stgraph.bench.probe.exam import Exam
from stgraph.bench.probe.plan import PROMPT_SIGNALS, VISION_SIGNALS, ProbeSetting
from stgraph.bench.probe.rows import COMMUNITIES
from stgraph.selection.budget import Budget
from stgraph.selection.keeping import Keeping, Kept
from stgraph.selection.result import Selection
from stgraph.selection.st_simdiff.analysis import Analysis

_VIDEOS_A_SEED = 10_000


@dataclass(frozen=True, eq=False)
class Chosen:
    """The tokens one setting keeps of each video."""

    kept: Sequence[Kept]

    @property
    def selections(self) -> list[Selection]:
        """One for each video."""
        return [one.selection for one in self.kept]

    @property
    def library(self) -> str | None:
        """Library that found the communities, with its version; None for selectors without communities."""
        analysis = self.kept[0].analysis
        if analysis is None:
            return None
        provenance = analysis.partition.provenance
        return f"{provenance.library} {provenance.library_version}"

    @property
    def exactness(self) -> str:
        """How closely the selections follow the published method; a departure on one video counts for all."""
        return next((s.exactness for s in self.selections if s.exactness != "exact"), "exact")

    def communities(self) -> dict[str, float | None]:
        """Means over the videos; None for selectors without communities."""
        figures = [_communities(one.analysis) for one in self.kept if one.analysis is not None]
        if not figures:
            return dict.fromkeys(COMMUNITIES)
        return {name: float(np.mean([figure[name] for figure in figures])) for name in COMMUNITIES}


class Chooser:
    """Settings on one exam; call it with settings that share communities one after the other."""

    def __init__(self, exam: Exam) -> None:
        self._exam = exam
        self._videos: dict[tuple[str, frozenset[str]], list[Keeping]] = {}

    def choose(self, setting: ProbeSetting, ratio: float) -> Chosen:
        """The tokens ``setting`` keeps of each video. Random selectors draw anew for each video."""
        names = (PROMPT_SIGNALS | VISION_SIGNALS) & setting.build(Budget(retain_ratio=ratio)).requires
        given = setting.features, names
        if given not in self._videos:
            self._videos[given] = [Keeping(x) for x in self._exam.tokens(*given)]
        settings = [_of_video(setting, i) for i in range(self._exam.clips.n_videos)]
        return Chosen([x.at(one, ratio) for x, one in zip(self._videos[given], settings, strict=True)])


def _of_video(setting: ProbeSetting, i: int) -> ProbeSetting:
    """The setting for the i-th video."""
    if setting.seed is None or setting.get("backend") is not None:
        return setting
    return replace(setting, parameters={**setting.parameters, "seed": setting.seed * _VIDEOS_A_SEED + i})


def _communities(analysis: Analysis) -> dict[str, float]:
    partition = analysis.partition
    sizes, before = partition.sizes, partition.uncapped_sizes
    figures = (sizes.size, sizes.max(), before.size, before.max(), partition.oversized_ratio)
    return dict(zip(COMMUNITIES, (*figures, np.count_nonzero(analysis.events)), strict=True))
