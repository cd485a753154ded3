"""Registering a family: its processor is made here, and the names the mixins stand on are checked."""

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
    """Register a model class with a processor that is ``mixin`` on the engine's ``processor``.

    Parameters
    ----------
    info, dummy_inputs : the engine's classes that go with ``processor``
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
