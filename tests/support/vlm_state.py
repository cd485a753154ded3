"""What a block of compress() must leave as it was: hooks, configurations and attributes of every module."""

from __future__ import annotations

from typing import Any

from vlm_models import CASES, Case, torch

# Transformers itself notes the last prompt's here.
_NOTED_BY_TRANSFORMERS = ("rope_deltas",)


def warm(family: str, batch: int = 1) -> Case:
    """A case whose model has run: transformers adds hooks and notes of its own the first time."""
    case = CASES[family](batch)
    with torch.no_grad():
        case.model(**case.inputs)
    return case


def state_of(model: Any) -> dict[str, Any]:
    """All attributes of all modules by name: tables (of parameters, hooks, modules) by their entries, the rest by
    identity; configurations also by their values and the attention they name."""
    state: dict[str, Any] = {}
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute in _NOTED_BY_TRANSFORMERS:
                continue
            at = f"{name}.{attribute}"
            state[at] = {key: id(entry) for key, entry in value.items()} if isinstance(value, dict) else id(value)
            if attribute == "config":
                state[f"{at} (values)"] = (type(value), repr(value.to_dict()), value._attn_implementation)
    return state
