"""Settings on a page: kept tokens at each ratio, label, and description."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stgraph.aliases import Array
from stgraph.community.partition import Partition
from stgraph.selection.keeping import Kept
from stgraph.selection.result import Selection
from stgraph.selection.st_simdiff.analysis import Analysis

KEPT, REASON = 4, 8  # in a token's code, beside the bits 1 (representative) and 2 (event) of a candidate
_WORDS = {"representative": "representatives", "event": "events"}


@dataclass(frozen=True, eq=False)
class Shown:
    """One setting of a page.

    Attributes
    ----------
    kept : retain ratio -> its kept tokens; at least one
    """

    kept: Mapping[float, Kept]

    @property
    def first(self) -> Kept:
        """The first ratio's kept tokens, which hold everything the ratios share."""
        return next(iter(self.kept.values()))

    @property
    def analysis(self) -> Analysis | None:
        """Graph and communities; None for a selector without communities."""
        return self.first.analysis

    @property
    def selections(self) -> dict[float, Selection]:
        """Retain ratio -> the selection."""
        return {ratio: one.selection for ratio, one in self.kept.items()}

    @cached_property
    def name(self) -> str:
        """The backend of st-simdiff; for other selectors the selector with its given parameters."""
        setting, analysis = self.first.setting, self.analysis
        if analysis is None:
            return str(setting)
        backend = analysis.partition.provenance.backend
        return backend if setting.selector == "st-simdiff" else f"{setting.selector} / {backend}"

    @property
    def split(self) -> str:
        """Name of the splitter; empty without communities."""
        return "" if self.analysis is None else self.analysis.partition.provenance.split

    def finding(self) -> str:
        """The setting's finding, in one sentence."""
        if self.analysis is not None:
            return communities_sentence(self.analysis.partition)
        found = self.first.selection
        what = "merges tokens" if found.kind == "merge" else "keeps tokens as they are"
        return f"{what}, without communities." + ("" if found.exactness == "exact" else f" It is {found.exactness}.")

    def kept_sentence(self, ratio: float) -> str:
        """The effect of the cap, and the tokens kept at a retain ratio by reason."""
        kept = self.kept[ratio].selection
        cut = "" if self.analysis is None else _cap_sentence(self.analysis.partition)
        parts = ", ".join(f"{count:,} {_WORDS.get(name, name)}" for name, count in kept.reasons().items())
        return f"{cut}r = {ratio:g} keeps {len(kept):,} of {kept.account.n_visual:,} tokens: {parts}."

    def codes(self, ratio: float) -> Array:
        """[N] uint8: why each token is a candidate (1 representative, 2 event, 3 both; 0 none), plus 4 if it is kept,
        plus 8 times the reason if it is kept for a different one."""
        one = self.kept[ratio]
        found = one.selection
        patch = np.isin(found.indices, found.grid.rows)  # kept newlines have no place in a frame
        reason = found.reason[patch]
        codes = np.zeros(found.grid.n_nodes, np.uint8)
        if one.candidates is not None and one.candidates.size == codes.size:
            codes |= one.candidates
        codes[found.nodes] = KEPT | np.where(reason < KEPT, reason, REASON * np.minimum(reason, 31))
        return codes


def shown(kept: Iterable[Kept]) -> list[Shown]:
    """The settings of a page, in order of appearance; ratios ascend."""
    groups: list[tuple[Kept, dict[float, Kept]]] = []
    for one in kept:
        group = next((group for first, group in groups if first.setting == one.setting), None)
        if group is None:
            groups.append((one, group := {}))
        group[one.ratio] = one
    return [Shown(dict(sorted(group.items()))) for _, group in groups]


def communities_sentence(partition: Partition) -> str:
    """The backend's communities without the cap."""
    sizes, cap = partition.uncapped_sizes, partition.provenance.max_size
    n_tokens = int(sizes.sum())
    if cap is None:
        return (
            f"{sizes.size:,} communities; the largest holds {100 * int(sizes.max()) / n_tokens:.0f} % of all "
            "tokens. There is no size cap."
        )
    above = sizes[sizes > cap]
    root = "√N" if cap == math.isqrt(n_tokens) else "the cap"
    if above.size == 0:
        return f"{sizes.size:,} communities, none larger than {root} = {cap:,} tokens."
    are, hold = ("is", "holds") if above.size == 1 else ("are", "hold")
    return (
        f"{above.size:,} of {sizes.size:,} communities {are} larger than {root} = {cap:,} and {hold} "
        f"{100 * int(above.sum()) / n_tokens:.0f} % of all tokens."
    )


def _cap_sentence(partition: Partition) -> str:
    n_after = partition.n_communities
    if partition.capped_in_search:
        return f"With the cap inside its search the backend finds {n_after:,}. "
    return "" if n_after == partition.uncapped_sizes.size else f"The cap cuts these into pieces, {n_after:,} in all. "
