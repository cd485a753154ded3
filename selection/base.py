"""Interface of selectors, and the table of those we ship."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload, runtime_checkable

from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.registry import Registry, told
from stgraph.selection.budget import Budget
from stgraph.selection.checked import checked
from stgraph.selection.result import Selection
from stgraph.selection.stages import Stage, Waiting
from stgraph.tokens import VideoTokens

if TYPE_CHECKING:
    from stgraph.selection.st_simdiff.paper import StSimDiff


@runtime_checkable
class MinimalSelector(Protocol):
    """Minimal protocol of a selector; :func:`stgraph.selection.checked.checked` turns it into a :class:`Selector`."""

    # Properties, so that class variables and properties of an implementation satisfy a type checker too.
    @property
    def name(self) -> str:
        """The selector's name in the table and in results."""
        ...

    @property
    def requires(self) -> frozenset[str]:
        """The signals this configuration requires."""
        ...

    def count(self, grid: TokenGrid, budget: Budget | None = None) -> int | None:
        """The number of tokens that will be kept; None if it depends on the features."""
        ...

    def select(self, tokens: VideoTokens, budget: Budget | None = None) -> Selection:
        """The selection; ``budget`` replaces the selector's own for this call."""
        ...


@runtime_checkable
class Selector(MinimalSelector, Protocol):
    """The full protocol of a selector: from tokens to a selection, at once or in the stages of a running model.

    A third party's selector may omit everything beyond :class:`MinimalSelector`.
    """

    @property
    def on_gpu(self) -> bool:
        """Whether it computes on a GPU; by default, features are copied to host memory first."""
        ...

    def check_signals(self, tokens: VideoTokens) -> None:
        """Raise MissingSignalError if ``tokens`` lack a signal and any substitute for it; by default, one of
        ``requires``."""
        ...

    def stages(self) -> tuple[Stage, ...]:
        """The cuts inside a running model, in order, each with the attention it reads; by default a single one, by
        attention if ``requires`` names an attention signal."""
        ...

    def begin(self, tokens: VideoTokens, layer: int) -> Selection | Waiting:
        """Select as far as possible without attention, inside a running model.

        By default the attention is handed to :meth:`select` as signals of the tokens.

        Parameters
        ----------
        tokens : as the language model receives them, without signals
        layer : decoder layer whose attention will be read, if any
        """
        ...


def check_selector_class(found: Any) -> None:
    """Raise InputError unless ``found(budget=...)`` makes a :class:`Selector`; one is made to check."""
    if not callable(found):
        raise InputError(f"{type(found).__name__} cannot be called; register the class, not an instance of it")
    made = found(budget=Budget(retain_ratio=0.5))
    name = getattr(made, "name", None)
    if not isinstance(name, str) or not name:
        raise InputError(f"name of {type(made).__name__} is {name!r}; it must be a non-empty string")
    signals = getattr(made, "requires", None)
    if not isinstance(signals, (frozenset, set)) or not all(isinstance(one, str) for one in signals):
        raise InputError(f"requires of {type(made).__name__} is {signals!r}; it must be a frozenset of signal names")
    for method in ("count", "select"):
        if not callable(getattr(made, method, None)):
            raise InputError(f"{type(made).__name__} has no method {method}(), which a selector needs")


SELECTORS = Registry(
    "selector",
    {
        "st-simdiff": "stgraph.selection.st_simdiff.paper:StSimDiff",
        "st-simdiff-attention": "stgraph.selection.st_simdiff.presets:StSimDiffAttention",
        "st-simdiff-released": "stgraph.selection.st_simdiff.released:StSimDiffReleased",
        "srts": "stgraph.selection.st_simdiff.presets:Srts",
        "dets": "stgraph.selection.st_simdiff.dets:Dets",
        "random": "stgraph.selection.rivals.random_tokens:Random",
        "random-per-frame": "stgraph.selection.rivals.random_tokens:RandomPerFrame",
        "uniform": "stgraph.selection.rivals.uniform:Uniform",
        "evs": "stgraph.selection.rivals.evs:Evs",
        "dtd": "stgraph.selection.rivals.evs:Dtd",
        "divprune": "stgraph.selection.rivals.divprune:DivPrune",
        "vcast": "stgraph.selection.rivals.vcast:VCast",
        "gprune": "stgraph.selection.rivals.gprune:GPrune",
        "pool": "stgraph.selection.rivals.pool:Pool",
        "tome": "stgraph.selection.rivals.tome:ToMe",
        "framefusion": "stgraph.selection.rivals.framefusion:FrameFusion",
        "framefusion-attention": "stgraph.selection.rivals.framefusion_attention:FrameFusionAttention",
        "vidcom2": "stgraph.selection.rivals.vidcom2:VidCom2",
        "dycoke-ttm": "stgraph.selection.rivals.dycoke:DyCokeTtm",
        "llava-scissor": "stgraph.selection.rivals.scissor:LlavaScissor",
        "sttm": "stgraph.selection.rivals.sttm:Sttm",
        "fastervlm": "stgraph.selection.rivals.fastervlm:FasterVlm",
        "vispruner": "stgraph.selection.rivals.vispruner:VisPruner",
        "visionzip": "stgraph.selection.rivals.visionzip:VisionZip",
        "prumerge": "stgraph.selection.rivals.prumerge:PruMerge",
        "prumerge+": "stgraph.selection.rivals.prumerge:PruMergePlus",
        "holitom": "stgraph.selection.rivals.holitom:HoliTom",
        "holitom-attention": "stgraph.selection.rivals.holitom_attention:HoliTomAttention",
        "fastvid": "stgraph.selection.rivals.fastvid:FastVid",
        "flashvid": "stgraph.selection.rivals.flashvid:FlashVid",
        "flashvid-attention": "stgraph.selection.rivals.flashvid_attention:FlashVidAttention",
        "prunevid": "stgraph.selection.rivals.prunevid:PruneVid",
        "prunevid-attention": "stgraph.selection.rivals.prunevid_attention:PruneVidAttention",
        "fastv": "stgraph.selection.rivals.fastv:FastV",
        "fitprune": "stgraph.selection.rivals.fitprune:FitPrune",
        "cdpruner": "stgraph.selection.rivals.cdpruner:CdPruner",
        "dart-embedding": "stgraph.selection.rivals.dart:DartEmbedding",
        "dart": "stgraph.selection.rivals.dart:Dart",
        "sparsevlm": "stgraph.selection.rivals.sparsevlm:SparseVlm",
        "pyramiddrop": "stgraph.selection.rivals.pyramiddrop:PyramidDrop",
    },
    group="stgraph.selectors",
    check=check_selector_class,
)


def selectors() -> dict[str, frozenset[str] | str]:
    """Every selector's name with the signals it needs, or the reason a third party's cannot be used.

    Examples
    --------
    >>> sorted(selectors()["vispruner"])
    ['enc_cls_attn', 'enc_features']
    """
    return {name: _signals_of(name) for name in SELECTORS.names()} | SELECTORS.refused()


def _signals_of(name: str) -> frozenset[str] | str:
    if fault := SELECTORS.fault(name):
        return fault
    try:
        return frozenset(SELECTORS.get(name)(budget=Budget(retain_ratio=0.5)).requires)
    except (Exception, SystemExit) as error:
        return told(error)


@overload
def selector(
    name: Literal["st-simdiff", "st-simdiff-attention", "srts"],
    *,
    retain_ratio: float | None = None,
    n_keep: int | None = None,
    measured: str = "kept",
    newlines: str | None = None,
    **parameters: Any,
) -> StSimDiff: ...
@overload
def selector(
    name: str,
    *,
    retain_ratio: float | None = None,
    n_keep: int | None = None,
    measured: str = "kept",
    newlines: str | None = None,
    **parameters: Any,
) -> Selector: ...
def selector(
    name: str,
    *,
    retain_ratio: float | None = None,
    n_keep: int | None = None,
    measured: str = "kept",
    newlines: str | None = None,
    **parameters: Any,
) -> Selector:
    """A selector with its budget and parameters.

    Parameters
    ----------
    name : see ``SELECTORS.names()``
    retain_ratio, n_keep, measured, newlines : the budget (:class:`Budget`); exactly one of the first two
    **parameters : the selector's own; ``preset="robust"`` (or "paper", or a row of the paper's ablation) sets several
        parameters of st-simdiff at once; others given with it take precedence

    Raises
    ------
    UnknownNameError
        no selector has that name
    UnavailableError
        it is a third party's and broken; the message says how
    InputError
        an unknown parameter, or one out of range

    Examples
    --------
    >>> import stgraph
    >>> stgraph.selector("st-simdiff", retain_ratio=0.3).select(stgraph.sample())
    Selection(3,072 of 10,240 tokens: 2,465 representative, 362 event, 245 both; by st-simdiff, lattice-components)
    """
    cls, known = SELECTORS.get(name), parameters_of(name)
    if "preset" in parameters and "backend" in known:
        from stgraph.selection.st_simdiff.presets import preset

        parameters = {**preset(parameters.pop("preset")), **parameters}
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise InputError(f"selector {name!r} has no parameter {unknown[0]!r}; it has: {', '.join(known) or 'none'}")
    built: Selector = checked(cls(budget=Budget(retain_ratio, n_keep, measured, newlines), **parameters))
    return built


def parameters_of(name: str) -> tuple[str, ...]:
    """The parameters of a selector beyond its budget.

    Raises
    ------
    UnknownNameError
        no selector has that name
    """
    made_by = SELECTORS.get(name)
    return _parameters(made_by) if isinstance(made_by, type) else _parameters.__wrapped__(made_by)


@cache
def _parameters(made_by: Any) -> tuple[str, ...]:
    import inspect

    return tuple(parameter for parameter in inspect.signature(made_by).parameters if parameter != "budget")
