"""Detection of compiled models: code compiled without hooks bypasses hooks added later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stgraph.errors import UnavailableError


def check_not_compiled(modules: Mapping[str, Any]) -> None:
    """Raise if one of these modules, by the name a user would write, was compiled by torch.

    Raises
    ------
    UnavailableError
        names it, and the way it was compiled
    """
    for name, module in modules.items():
        how = _how(module)
        if how is not None:
            raise UnavailableError(
                f"{name} was compiled ({how}): compiled code runs past the hooks of compress(), so that nothing would "
                "be dropped. Compress the model as it was before; torch.compile has to be left out, and generate() "
                "with a static cache needs disable_compile=True"
            )


def _how(module: Any) -> str | None:
    """The way a module was compiled; None if it was not."""
    if getattr(module, "_orig_mod", None) is not None:
        return "torch.compile(module)"
    if getattr(module, "_compiled_call_impl", None) is not None:
        return "module.compile()"
    forward = getattr(module, "forward", None)
    original = getattr(forward, "_torchdynamo_orig_callable", None)
    if original is not None and not getattr(forward, "_torchdynamo_disable", False):
        return "module.forward = torch.compile(...)"
    return None
