"""HoliTom in full: its stages before the LLM, and inside it the less-attended tokens merged into the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import beside, largest_of_rows
from stgraph.frame_work import joined
from stgraph.selection.algorithms.inner_cut import InnerCut
from stgraph.selection.budget import exact_ratio
from stgraph.selection.rivals.holitom import HoliTom
from stgraph.selection.rivals.unit_features import wide_units

_CHUNK = 1024  # rows of the similarities that are held at a time


@dataclass(frozen=True, kw_only=True)
class HoliTomAttention(InnerCut, HoliTom):
    """HoliTom in full (``holitom/llava_arch.py``, ``holitom/modeling_qwen2.py``): merged as in :class:`HoliTom`; before
    decoder layer ``layer`` the most-attended share is kept, and every other token is averaged in turn into the kept one
    with the most similar hidden state.

    Attributes
    ----------
    layer, share, n_layers : see :class:`InnerCut`
    exact_count : False merges by the authors' rule, then keeps round(``share``) of all
    """

    layer: int = 18
    share: float = 0.5

    name: ClassVar[str] = "holitom-attention"
    requires: ClassVar[frozenset[str]] = HoliTom.requires | InnerCut.needs
    states: ClassVar[str | None] = "input"
    departure: ClassVar[str | None] = "merging by hidden states needs the running LLM"

    def their_count(self, n: int) -> int:
        """The share, rounded to the nearest, half to even."""
        return max(1, round(n * exact_ratio(self.share)))

    def joined(self, states: Any, kept: Array) -> Any:
        """Each dropped token is averaged with its most similar kept token, in ascending order; ties to the smaller
        index."""
        from scipy.sparse import csr_array

        units = wide_units(states)
        stays, goes = np.flatnonzero(kept), np.flatnonzero(~kept)
        targets = units[beside(stays, units)]
        chunks = [beside(goes[i : i + _CHUNK], units) for i in range(0, goes.size, _CHUNK)]
        into = joined([largest_of_rows(units[rows] @ targets.T)[0] for rows in chunks])
        order = np.argsort(into, kind="stable")
        members = np.bincount(into, minlength=stays.size)
        starts = np.cumsum(members) - members
        later = members[into[order]] - (np.arange(goes.size) - starts[into[order]])  # halvings from its own on
        rows = np.append(np.arange(stays.size), into[order])
        columns = np.append(stays, goes[order])
        weights = np.append(0.5 ** members.astype(np.float64), 0.5 ** later.astype(np.float64)).astype(np.float32)
        return csr_array((weights, (rows, columns)), shape=(stays.size, kept.size))
