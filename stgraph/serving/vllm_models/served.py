"""Registration of a family: makes its processor, and checks the names the mixins rely on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vllm import __version__
from vllm.multimodal import MULTIMODAL_REGISTRY

from stgraph.serving.releases import check_names
from stgraph.serving.vllm_models.cpu_runner import tell_cpu_runner
from stgraph.serving.vllm_models.processor import PROCESSOR_HOOKS, PruningProcessor


def served(
    mixin: type[PruningProcessor], processor: type, info: type, dummy_inputs: type, hooks: Sequence[str]
) -> Callable[[type], type]:
    """Register a model class with a processor that combines ``mixin`` and the engine's ``processor``.

    Parameters
    ----------
    info, dummy_inputs : the engine's classes that belong to ``processor``
    hooks : the methods the model's mixin replaces or calls in the class after it

    Raises
    ------
    UnavailableError
        this release of vLLM lacks one of them
    """
    check_names(processor, PROCESSOR_HOOKS, __version__)

    def register(model: type) -> type:
        check_names(model.__bases__[-1], hooks, __version__)
        pruning: Any = type(f"Stgraph{processor.__name__}", (mixin, processor), {})
        MULTIMODAL_REGISTRY.register_processor(pruning, info=info, dummy_inputs=dummy_inputs)(model)
        tell_cpu_runner(model)
        return model

    return register
