"""A switch at one attention module: in chosen contexts it calls a registered function, in all others the model's
own."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stgraph.errors import missing_dependency


@contextmanager
def switched(attention: Any, name: str, on: Callable[[], bool]) -> Iterator[None]:
    """While open, this attention module calls the function registered as ``name`` whenever ``on()`` is true.

    The module gets its own configuration, which shares every value with the model's except one. Because ``on`` reads a
    context variable, other threads are unaffected; nothing is exchanged during a pass.
    """
    shared = attention.config
    own = _configuration(shared, name, on)
    attention.config = own
    try:
        yield
    finally:
        if attention.config is own:
            attention.config = shared


def register(name: str, function: Callable[..., Any], purpose: str) -> None:
    """Register an attention function with transformers; registering it again changes nothing.

    Raises
    ------
    MissingDependencyError
        transformers is not installed
    """
    try:
        from transformers import AttentionInterface
    except ImportError:
        raise missing_dependency(purpose, "transformers", "hf") from None
    AttentionInterface.register(name, function)


def models_own(module: Any) -> Callable[..., Any]:
    """The attention function the module would call without its switch, which is off at this moment."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    name = module.config._attn_implementation
    if name == "eager":  # not in the table: each model's file has its own
        eager: Callable[..., Any] = sys.modules[type(module).__module__].eager_attention_forward
        return eager
    function: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS[name]
    return function


def _itself(shared: Any) -> Any:
    return shared


def _configuration(shared: Any, name: str, on: Callable[[], bool]) -> Any:
    """A view of a configuration: the same values, now and later, except ``_attn_implementation`` while ``on()``."""
    kind = type(shared)

    def implementation(self: Any) -> Any:
        return name if on() else shared._attn_implementation

    def set_implementation(self: Any, value: Any) -> None:
        shared._attn_implementation = value

    # A copied or pickled model has one configuration again, shared by this module and all others.
    members = {
        "_attn_implementation": property(implementation, set_implementation),
        "__copy__": lambda self: copy.copy(shared),
        "__deepcopy__": lambda self, memo: copy.deepcopy(shared, memo),
        "__reduce_ex__": lambda self, protocol: (_itself, (shared,)),
    }
    own: Any = object.__new__(type(kind.__name__, (kind,), members))
    object.__setattr__(own, "__dict__", shared.__dict__)
    return own
