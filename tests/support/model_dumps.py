"""Dumps of tiny models, and plain passes to hold beside them."""

from __future__ import annotations

from typing import Any

from vlm_models import Case, torch

from stgraph.video.dump import Extracted
from stgraph.vlm.model_tokens import model_tokens


def run(case: Case, *signals: str, **options: Any) -> Extracted:
    """What a dump of the case's prompt holds."""

    return model_tokens(case.model, case.inputs, signals, **options)


def seen_inputs(case: Case) -> Any:
    """The input embeddings of the text model in a plain pass."""
    seen: dict[str, Any] = {}
    hook = case.text.register_forward_pre_hook(lambda module, args, kwargs: seen.update(kwargs), with_kwargs=True)
    with torch.no_grad():
        case.model(**case.inputs)
    hook.remove()
    return seen["inputs_embeds"][0]


def eager(case: Case, **options: Any) -> Any:
    """A plain pass with eager attention."""
    before = case.model.config._attn_implementation
    case.model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            return case.model(**case.inputs, output_attentions=True, **options)
    finally:
        case.model.set_attn_implementation(before)
