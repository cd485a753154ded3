"""vLLM releases: tested ones, ones whose sources were read, and remarks on others."""

from __future__ import annotations

from collections.abc import Iterable

from stgraph.errors import UnavailableError

TESTED = ("0.32.0",)
READ = ("0.33.0",)  # the files this plugin derives from are the same; nothing was run


def standing(version: str) -> str | None:
    """Remark on a release; None for one that stgraph's tests run with.

    Examples
    --------
    >>> standing("0.32.0+cpu") is None
    True
    >>> standing("0.33.0")
    'vLLM 0.33.0 was read, not tested (tested: 0.32.0); run: stgraph serve-check'
    """
    release = version.partition("+")[0]
    if release in TESTED:
        return None
    state = "was read, not tested" if release in READ else "was not tested"
    return f"vLLM {version} {state} (tested: {', '.join(TESTED)}); run: stgraph serve-check"


def check_names(owner: type, names: Iterable[str], version: str) -> None:
    """Raise UnavailableError unless a class of the engine has the methods the plugin replaces or calls."""
    missing = [name for name in names if not callable(getattr(owner, name, None))]
    if missing:
        raise UnavailableError(
            f"vLLM {version}: {owner.__name__} has no {missing[0]}(), which stgraph's plugin stands on; it was written "
            f"for vLLM {', '.join(TESTED)}. Install that release, or serve without the plugin"
        )
