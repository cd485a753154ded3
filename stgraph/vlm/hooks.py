"""The hooks on one model, which read its inputs and cut the prompt."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any

from stgraph.errors import InputError, UnavailableError
from stgraph.selection.base import Selector
from stgraph.selection.recordings import Recordings
from stgraph.vlm.attention_probe import probed, probing
from stgraph.vlm.caches import is_paged, is_static, tokens_in
from stgraph.vlm.calls import Asked, Call, Calls, asked_of, handed_on
from stgraph.vlm.compiled import check_not_compiled
from stgraph.vlm.continuation import Continuation, cut_inside, new_video
from stgraph.vlm.encoded_grids import GRIDS, grids_of_call, merged_grids
from stgraph.vlm.encoded_signals import EncodedSignals
from stgraph.vlm.families import Parts
from stgraph.vlm.grids import Grids, find_videos, none_found, placeholders
from stgraph.vlm.images import find_pictures
from stgraph.vlm.keywords import cache_of
from stgraph.vlm.layer_hooks import LayerHooks, NewTokens
from stgraph.vlm.model_tower import EncoderReader
from stgraph.vlm.pruning import Pruner
from stgraph.vlm.stages import layer_before, layers_inside
from stgraph.vlm.stats import LeftAlone, Stats
from stgraph.vlm.turns import new_tokens_alone

# State is stored on the object it describes, so that it is copied, passed on and freed with it: the cut on a cache, or
# before that on the embeddings that were cut; the encoded video on an encoder's output.
_CUT = "_stgraph_continuation"

_attaching = threading.Lock()


class Hooks:
    """Forward hooks on the modules of one model instance, and a switch at the probed attention."""

    def __init__(
        self,
        parts: Parts,
        selector: Selector,
        probe_layer: int,
        positions: str,
        grids: Grids | None,
        where: str,
        stats: Stats,
        encoder: EncoderReader | None = None,
        images: bool = False,
        recordings: Recordings | None = None,
    ) -> None:
        self.parts = parts
        self.grids = grids
        self.images = images
        self.pruner = Pruner(parts, selector, probe_layer, positions, where, stats, recordings)
        self._probe_layer = layer_before(selector, probe_layer, where)
        inside = layers_inside(selector, len(parts.text.layers), probe_layer, where)
        self._layers = None if inside is None else LayerHooks(parts.text, *inside)
        self._calls = Calls()
        self._encoded_signals = None if encoder is None else EncodedSignals(encoder, parts, self._calls)
        self._open = ExitStack()

    def __deepcopy__(self, memo: Any) -> Hooks:
        """Copies of the model share the hooks, which act only on the modules they were made for."""
        return self

    def attach(self) -> None:
        """Register the hooks.

        Raises
        ------
        InputError
            the model is already being compressed
        UnavailableError
            the model is compiled
        """
        parts = self.parts
        with _attaching, ExitStack() as stack:
            present = [getattr(hook, "__self__", None) for hook in parts.text._forward_pre_hooks.values()]
            if any(isinstance(hooks, Hooks) and hooks.parts.text is parts.text for hooks in present):
                raise InputError(
                    f"this {type(parts.model).__name__} is being compressed already; leave the first compress() before "
                    "entering another, or load the model twice"
                )
            self._check_not_compiled()
            if self._probe_layer is not None:
                stack.enter_context(probed(parts.text, self._probe_layer))
            if self._encoded_signals is not None:
                stack.enter_context(self._encoded_signals.open())
                stack.callback(self._encoded_signals.clear)
            if self._layers is not None:
                self._layers.attach(stack)
            for handle in self._handles():
                stack.callback(handle.remove)
            self._open = stack.pop_all()

    def _handles(self) -> list[Any]:
        parts = self.parts
        handles = [
            parts.model.register_forward_pre_hook(self._before_model, with_kwargs=True),
            parts.model.register_forward_hook(self._after_call, always_call=True),
            parts.base.register_forward_pre_hook(self._before_base, with_kwargs=True),
            parts.base.register_forward_hook(self._after_call, always_call=True),
            parts.text.register_forward_pre_hook(self._before_text, with_kwargs=True),
            parts.text.register_forward_hook(self._after_text, with_kwargs=True, always_call=True),
        ]
        if self._reads_encoder:
            handles.append(parts.vision.register_forward_hook(self._after_vision, with_kwargs=True))
        return handles

    def detach(self) -> None:
        """Remove the hooks and their state. Running prompts of other threads are left alone."""
        shapes = [call.ids.shape for call in self._calls.elsewhere() if not call.reached and call.shows(self._video)]
        if self._layers is not None:
            shapes += self._layers.uncut_elsewhere()
        for n_rows, length in shapes:
            reason = "compress() was left while this prompt was on its way in another thread"
            self.pruner.stats.left_alone.append(LeftAlone(n_rows, length, reason))
        self._open.close()
        self._calls.clear()

    @property
    def _reads_encoder(self) -> bool:
        return self.grids is None and self.parts.family.side is None and self.parts.vision is not None

    def _video(self, ids: Any) -> Any:
        """[B, S] bool: placeholders of possible videos, and of images if these are compressed."""
        found = placeholders(ids, self.parts)
        return found | (ids == self.parts.image_id) if self.images else found

    def _check_not_compiled(self) -> None:
        parts = self.parts
        modules = {"the model": parts.model, "model.model": parts.base, "the text model": parts.text}
        if self._reads_encoder:
            modules["the vision tower"] = parts.vision
        if self._encoded_signals is not None:
            modules |= self._encoded_signals.reader.modules()
        if self._probe_layer is not None:
            probed_layer = parts.text.layers[self._probe_layer]
            modules[f"decoder layer {self._probe_layer}"] = probed_layer
            modules[f"the attention of decoder layer {self._probe_layer}"] = probed_layer.self_attn
        if self._layers is not None:
            modules |= self._layers.modules
        check_not_compiled(modules)

    def _before_model(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._check_not_compiled()  # it may have been since
        new = self._in_later_turn(module, sys._getframe(1), kwargs)
        self._begin(module, sys._getframe(1), args, kwargs if new is None else new, asked_of(kwargs))
        return None if new is None else (args, new)

    def _in_later_turn(self, module: Any, frame: FrameType, kwargs: dict[str, Any]) -> dict[str, Any] | None:
        """Keyword arguments without tokens already in a compressed cache; None if there are none."""
        cache = cache_of(kwargs)
        state: Continuation | None = getattr(cache, _CUT, None)
        if state is None or not (past := tokens_in(cache)):
            return None
        new = new_tokens_alone(module, frame, kwargs, state, past, self.parts.image_id)
        if new is not None:
            setattr(cache, _CUT, replace(state, counted=True))
        return new

    def _before_base(self, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        asked, kwargs = handed_on(self._calls.current(), self.parts.model, kwargs)
        self._begin(module, sys._getframe(1), args, kwargs, asked)

    def _begin(self, module: Any, frame: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], asked: Asked) -> None:
        _check_not_compiling()
        if module is not self.parts.model and module is not self.parts.base:  # a copy made inside the block
            if getattr(module, "_is_replica", False):
                raise UnavailableError("compress() cannot cut in replicas of a model: leave out DataParallel")
            return
        self._calls.begin(Call(module, frame, {"input_ids": args[0], **kwargs} if args else dict(kwargs), asked))

    def _after_call(self, module: Any, args: tuple[Any, ...], output: Any) -> None:
        """The end of a call, without output after an exception. The prompt must have reached the text model."""
        call = None if _compiling() else self._calls.end(module)
        if call is None or output is None:
            return
        if not call.reached and call.shows(self._video):
            raise UnavailableError(
                f"{type(module).__name__} ran a prompt with video past the hooks of compress() (a part of it is "
                "compiled, or does not call its text model as a module), so that nothing was dropped"
            )

    def _after_vision(self, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Attach the grids (after spatial merging) to the encoded output, which generate() passes on without them."""
        thw = kwargs.get("grid_thw", args[1] if len(args) > 1 else None)
        if thw is not None and isinstance(output, Mapping):
            merge = kwargs.get("merge_sizes", args[2] if len(args) > 2 else None)
            setattr(output, GRIDS, merged_grids(module, thw, merge))

    def _before_text(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if probing() or module is not self.parts.text:
            return None
        _check_not_compiling()
        call = self._calls.current()
        if call is not None and call.reached:  # a second pass inside one call
            call = None
        self._calls.reach()
        cache = cache_of(kwargs)
        state: Continuation | None = getattr(cache, _CUT, None)
        video = call is not None and call.shows(self._video)
        if video and kwargs.get("inputs_embeds") is None:
            raise UnavailableError(
                f"{type(self.parts.base).__name__} hands its text model no inputs_embeds=, where compress() could cut"
            )
        if kwargs.get("inputs_embeds") is None:
            return None
        if call is not None and call.ids is None and not tokens_in(cache):
            raise InputError("compress() finds the video by its token ids: pass input_ids, not inputs_embeds")
        if call is not None and call.ids is not None and not video and call.carries_video:
            raise none_found(self.parts, "a video comes with the prompt")
        told = self.grids is not None and call is not None  # that a prompt has video: none is passed over in silence
        if not video and state is None and (not told or is_paged(cache)):
            return None
        past = tokens_in(cache)
        if past:
            new = self._continue(kwargs, state, past, call, video) if video or state is not None else None
            if state is not None and state.levels:
                if self._layers is None:
                    raise cut_inside(self.pruner.selector.name)
                self._layers.begin(sys._getframe(1), NewTokens(state.levels, past, kwargs["inputs_embeds"].shape[1]))
            return new
        if state is not None:
            delattr(cache, _CUT)  # a cache that was reset
        return self._start(kwargs, cache, call, sys._getframe(1)) if call is not None and (video or told) else None

    def _start(self, kwargs: dict[str, Any], cache: Any, call: Call, frame: FrameType) -> Any:
        """The inputs of a prompt with fewer video tokens; None if none are dropped, so that the inputs stay
        untouched."""
        ids = call.ids.cpu().numpy()
        if ids.shape != kwargs["inputs_embeds"].shape[:2]:
            raise UnavailableError(
                f"{type(self.parts.base).__name__} got token ids {list(ids.shape)}, but its text model embeddings "
                f"{list(kwargs['inputs_embeds'].shape[:2])}: compress() cannot tell which of them are video"
            )
        encoded = partial(grids_of_call, call, self.parts) if self._reads_encoder else None
        if self.images:
            videos = find_pictures(ids, self.parts, kwargs["inputs_embeds"], encoded)
        else:
            videos = find_videos(ids, self.parts, None if encoded is None else encoded(), self.grids)
        if not videos:
            if bool(self._video(ids).any()):
                reason = "grids= leaves all its placeholders alone"
                self.pruner.stats.left_alone.append(LeftAlone(len(ids), ids.shape[1], reason))
            return None
        # generate() keeps the step it compiled for static caches, and the code of it runs past hooks.
        compiled = is_static(cache) and hasattr(self.parts.model, "_compiled_call")
        signals = {} if self._encoded_signals is None else self._encoded_signals.of_videos(call, videos)
        cut = self.pruner.prune(kwargs, ids, videos, replace(call.asked, compiled=compiled), signals)
        if cut is None:
            return None
        if cut.layers is not None:
            assert self._layers is not None
            self._layers.begin(frame, cut.layers)
        setattr(cut.inputs["inputs_embeds"], _CUT, cut.continuation)
        return (), cut.inputs

    def _continue(
        self, kwargs: dict[str, Any], state: Continuation | None, past: int, call: Call | None, video: bool
    ) -> Any:
        """Handle new tokens after a prompt in the cache."""
        if state is None:
            raise InputError(
                f"video tokens arrive when the cache already holds {past:,} tokens: compress() needs the whole prompt "
                "in one forward pass. Leave out prefill_chunk_size, and start without past_key_values"
            )
        if video:
            raise new_video(past)
        return (), state.apply(kwargs, past, call is not None and call.positions_given)

    def _after_text(self, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Once the prompt is in a cache, attach the cut to it; the text model may have made the cache itself."""
        if self._layers is not None:
            self._layers.end()
        made = getattr(kwargs.get("inputs_embeds"), _CUT, None)
        if made is not None and output is not None:
            given = cache_of(kwargs)
            cache = cache_of(output) if given is None else given
            if cache is not None:
                setattr(cache, _CUT, made)


def _compiling() -> bool:
    """Whether this code is being compiled rather than run."""
    import torch

    return bool(torch.compiler.is_compiling())


def _check_not_compiling() -> None:
    if _compiling():
        raise UnavailableError("compress() cannot cut inside a compiled model: generate(..., disable_compile=True)")
