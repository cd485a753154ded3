"""Presets of ST-SimDiff: the paper's ablation, and selectors with one half of the method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from stgraph.errors import UnknownNameError
from stgraph.selection.st_simdiff.paper import StSimDiff

# The rows of the paper's tables 3 and 5. Without edges every token is its own community, hence a representative, and
# only the reduction by attention decides.
ABLATION: Mapping[str, Mapping[str, Any]] = {
    "attention-only": {"spatial": False, "temporal": False, "events": False},
    "spatial": {"spatial": True, "temporal": False, "events": False},
    "temporal": {"spatial": False, "temporal": True, "events": False},
    "spatial-temporal": {"spatial": True, "temporal": True, "events": False},
    "full": {"spatial": True, "temporal": True, "events": True},
}


# Named configurations of st-simdiff. "paper" is its default; "robust" is what docs/objectives.md recommends.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": {},
    "robust": {"backend": "lattice-leiden", "importance": "auto-coverage"},
}


def preset(name: str) -> dict[str, Any]:
    """Parameters of ``st-simdiff`` by preset name: "paper", "robust", or a row of the paper's ablation.

    Raises
    ------
    UnknownNameError
        no preset has that name

    Examples
    --------
    >>> preset("robust")
    {'backend': 'lattice-leiden', 'importance': 'auto-coverage'}
    """
    if name in PRESETS:
        return dict(PRESETS[name])
    if name in ABLATION:
        return ablation(name)
    raise UnknownNameError(f"no preset {name!r}. Known: {', '.join((*PRESETS, *ABLATION))}")


def ablation(name: str) -> dict[str, Any]:
    """Parameters of ``st-simdiff`` for a row of the paper's tables 3 and 5; importance is attention, as in the paper.

    Raises
    ------
    UnknownNameError
        no row has that name

    Examples
    --------
    >>> ablation("temporal")
    {'spatial': False, 'temporal': True, 'events': False, 'importance': 'attention'}
    """
    if name not in ABLATION:
        raise UnknownNameError(f"no preset {name!r}. Known: {', '.join(ABLATION)}")
    return {**ABLATION[name], "importance": "attention"}


@dataclass(frozen=True, kw_only=True)
class StSimDiffAttention(StSimDiff):
    """ST-SimDiff reduced by the LLM's shallow attention, as in the paper; never by another importance."""

    importance: Any = field(default="attention", init=False)

    name: ClassVar[str] = "st-simdiff-attention"


@dataclass(frozen=True, kw_only=True)
class Srts(StSimDiff):
    """The similarity half of ST-SimDiff (section 4.3): representatives only, reduced by centrality."""

    importance: Any = field(default="centrality", init=False)
    events: bool = field(default=False, init=False)

    name: ClassVar[str] = "srts"
