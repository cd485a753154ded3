"""One way to come to kept tokens: what a page or a figure shows of a backend and a splitter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from stgraph.selection.analysis import Analysis
from stgraph.selection.result import Selection


@dataclass(frozen=True, eq=False)
class Setting:
    """An analysis, and what was kept of it at each retain ratio.

    Attributes
    ----------
    analysis : of ``StSimDiff.analyse``
    kept : retain ratio -> the selection
    candidates : retain ratio -> the same without the reduction to the budget (``reduce=False``); may be left out
    """

    analysis: Analysis
    kept: Mapping[float, Selection]
    candidates: Mapping[float, Selection] = field(default_factory=dict)

    @property
    def backend(self) -> str:
        """Name of the community backend."""
        return self.analysis.partition.provenance.backend

    @property
    def split(self) -> str:
        """Name of the splitter."""
        return self.analysis.partition.provenance.split

    @property
    def cap(self) -> int | None:
        """The largest community allowed."""
        return self.analysis.partition.provenance.max_size

    def finding(self) -> str:
        """What the backend finds without the cap, in a sentence."""
        sizes = self.analysis.partition.uncapped_sizes
        n_tokens = int(sizes.sum())
        if self.cap is None:
            return (
                f"{sizes.size:,} communities; the largest holds {100 * int(sizes.max()) / n_tokens:.0f} % of all "
                "tokens. There is no size cap."
            )
        above = sizes[sizes > self.cap]
        root = "√N" if self.cap == math.isqrt(n_tokens) else "the cap"
        if above.size == 0:
            return f"{sizes.size:,} communities, none larger than {root} = {self.cap:,} tokens."
        are, hold = ("is", "holds") if above.size == 1 else ("are", "hold")
        return (
            f"{above.size:,} of {sizes.size:,} communities {are} larger than {root} = {self.cap:,} and {hold} "
            f"{100 * int(above.sum()) / n_tokens:.0f} % of all tokens."
        )

    def kept_sentence(self, ratio: float) -> str:
        """What the cap makes of it, and what is kept at a retain ratio, and why."""
        partition = self.analysis.partition
        n_after = partition.n_communities
        if partition.capped_in_search:
            cut = f"With the cap inside its search the backend finds {n_after:,}. "
        elif n_after == partition.uncapped_sizes.size:
            cut = ""
        else:
            cut = f"The cap cuts these into pieces, {n_after:,} in all. "
        kept = self.kept[ratio]
        words = {"representative": "representatives", "event": "events"}
        parts = ", ".join(f"{count:,} {words.get(name, name)}" for name, count in kept.reasons().items())
        return f"{cut}r = {ratio:g} keeps {len(kept):,} of {kept.account.n_visual:,} tokens: {parts}."
