"""Passes through a vision tower, and queries, keys and hidden states of one of its blocks.

While the tower runs, the attention module of one block uses an attention function registered through transformers'
public ``AttentionInterface``. It receives queries and keys after their norms, fused projections and rotation, in every
tower, on any attention backend; it reads them and calls the tower's own function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from stgraph.errors import MissingSignalError
from stgraph.video.tower import attention_of
from stgraph.vlm.attention_switch import models_own, register, switched
from stgraph.vlm.calls import is_running
from stgraph.vlm.encoder_signals import ATTENTION_SIGNALS, attention_signals

ATTENTION = "stgraph_encoder"


@dataclass(eq=False)
class TowerPass:
    """A call of a tower.

    Attributes
    ----------
    frame : of the code that runs it; the pass ends when the frame has left the thread's stack
    signals : signals that are read
    given : keyword arguments of the call
    parts : for each attention signal, one tensor per call of the attention function, see
        :func:`stgraph.vlm.encoder_signals.attention_signals`
    hidden : the block's output or input
    output : of the tower, once finished
    """

    frame: FrameType
    signals: Collection[str]
    given: Mapping[str, Any]
    parts: dict[str, list[Any]] = field(default_factory=dict)
    hidden: Any = None
    output: Any = None
    paused: bool = False


# Read it only after checking that its frame still runs, since a KeyboardInterrupt ends a pass without notice.
_current: ContextVar[TowerPass | None] = ContextVar("pass through a vision tower under way", default=None)


def _under_way() -> TowerPass | None:
    found = _current.get()
    return found if found is not None and not found.paused and is_running(found.frame) else None


@contextmanager
def watching(
    called: Any,
    blocks: Any,
    block: int,
    signals: Collection[str],
    done: Callable[[TowerPass], None],
    *,
    hidden: bool = False,
) -> Iterator[None]:
    """While open, every pass through a tower is passed to ``done`` when it ends, except failing ones.

    Parameters
    ----------
    called : module whose calls are passes
    blocks, block : the tower's blocks, and the index of the watched one; -1 for the input of the first
    signals : those in :data:`stgraph.vlm.encoder_signals.ATTENTION_SIGNALS` are read in its attention
    hidden : whether its output state is recorded

    Raises
    ------
    MissingSignalError
        attention is requested, and the block's cannot be watched
    """
    asked = [name for name in signals if name in ATTENTION_SIGNALS]

    def before(module: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        if module is called:  # not a copy of it
            given = {"grid_thw": args[1], **kwargs} if len(args) > 1 else kwargs
            _current.set(TowerPass(sys._getframe(1), asked, given))

    def after(module: Any, args: Any, output: Any) -> None:
        found, running = _current.get(), _under_way()
        if module is called and found is not None:
            _current.set(None)
            if running is not None and output is not None:
                running.output = output
                done(running)

    with ExitStack() as stack:
        if asked:
            attention = attention_of(blocks[block]) if block >= 0 else None
            if attention is None:
                where = f"block {block}" if block >= 0 else "what goes into the first block"
                raise MissingSignalError(
                    f"{asked[0]} cannot be read from {type(called).__name__}: {where} has no attention that goes "
                    "through transformers' attention interface"
                )
            register(ATTENTION, _read, "reading the attention of a vision encoder")
            stack.enter_context(switched(attention, ATTENTION, lambda: _under_way() is not None))
        handles = [
            called.register_forward_pre_hook(before, with_kwargs=True),
            called.register_forward_hook(after, always_call=True),
        ]
        if hidden and block < 0:
            handles.append(blocks[0].register_forward_pre_hook(_note_input, with_kwargs=True))
        elif hidden:
            handles.append(blocks[block].register_forward_hook(_note_output))
        for handle in handles:
            stack.callback(handle.remove)
        yield


def _read(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
    """An attention function of transformers: query [B, heads, L, c], key [B, kv_heads, L, c]."""
    import torch

    found = _under_way()
    assert found is not None
    scaling = options.get("scaling")
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    mask = attention_mask if getattr(attention_mask, "ndim", 0) == 4 else None
    with torch.no_grad():
        for name, part in attention_signals(found.signals, query.detach(), key.detach(), scale, mask).items():
            found.parts.setdefault(name, []).append(part)
    found.paused = True  # the function below may read its own name from the configuration
    try:
        return models_own(module)(module, query, key, value, attention_mask, **options)
    finally:
        found.paused = False


def _note_output(module: Any, args: Any, output: Any) -> None:
    found = _under_way()
    if found is not None:
        found.hidden = (output[0] if isinstance(output, tuple) else output).detach()


def _note_input(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    found = _under_way()
    if found is not None:
        found.hidden = (args[0] if args else kwargs["hidden_states"]).detach()
