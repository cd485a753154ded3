"""Signals of a language model's decoder layers, read while a prompt runs, in the form stored in dumps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.arrays import to_numpy
from stgraph.errors import InputError
from stgraph.selection.signals.attention import SHALLOW_LAYER
from stgraph.vlm.attention_probe import check_layer
from stgraph.vlm.attention_row import last_row, rotation_of, summed_maximum, text_maximum, text_mean
from stgraph.vlm.llm_attention import recording

BY_LAYER = ("llm_attn_last", "llm_attn_text", "llm_attn_text_even", "llm_attn_text_sum", "llm_attn_visual_mean")
"""Signals with a row, or a block, for each of the layers in ``llm_attn_layers``."""

OF_ONE_LAYER = ("llm_attn_textmax", "llm_keys", "llm_hidden")
"""Signals that do not say of which layer they are: a dump takes them from one that is named."""

LLM_SIGNALS = (*BY_LAYER, *OF_ONE_LAYER, "importance")


class LlmReader:
    """Reader of the requested signals from decoder layers.

    Parameters
    ----------
    text : the text model
    signals : names; those not in :data:`LLM_SIGNALS` are ignored
    layers : decoder layers for all of them except ``importance``; None for all

    Raises
    ------
    InputError
        layers that the signals do not read or the model lacks; a signal of one layer without exactly one layer named;
        or hidden states after the last layer
    UnavailableError
        a layer whose attention cannot be read
    """

    def __init__(self, text: Any, signals: Sequence[str], layers: Sequence[int] | None) -> None:
        self._text, self._signals = text, [name for name in LLM_SIGNALS if name in signals]
        asked = [name for name in self._signals if name != "importance"]
        if layers is not None and not asked:
            raise InputError(
                "llm_layers belongs to signals of the language model's layers, and none was requested: "
                f"{', '.join((*BY_LAYER, *OF_ONE_LAYER))}"
            )
        single = next((name for name in asked if name in OF_ONE_LAYER), None)
        if single is not None and (layers is None or len(layers) != 1):
            raise InputError(
                f"{single} belongs to one decoder layer: name exactly one as llm_layers (--layers), such as 10 for "
                "prunevid-attention or 1 for dart"
            )
        n_layers = len(text.layers)
        self._chosen = [] if not asked else list(range(n_layers)) if layers is None else list(layers)
        self.layers = sorted({*self._chosen, *([SHALLOW_LAYER] if "importance" in self._signals else [])})
        for layer in self.layers:
            check_layer(text, layer)
        if "llm_hidden" in asked and self._chosen[0] + 1 >= n_layers:
            raise InputError(
                f"llm_hidden is the input of the layer after {self._chosen[0]}, but the text model has {n_layers} "
                "layers: name a lower layer"
            )
        self._found: dict[tuple[str, int], Array] = {}
        self._behind, self._patches, self._raters = (np.empty(0, np.int64),) * 3

    def open(self, stack: ExitStack) -> None:
        """Read from the pass that follows, until ``stack`` is closed."""
        if "llm_hidden" in self._signals:
            layer = self._text.layers[self._chosen[0] + 1]
            stack.callback(layer.register_forward_pre_hook(self._read_states, with_kwargs=True).remove)
        stack.enter_context(recording(self._text, self.layers, self._read))

    def place(self, behind: Array, patches: Array, raters: Array) -> None:
        """Say where the tokens are before the layers run.

        Parameters
        ----------
        behind, patches : columns of the prompt ([...] int64): text after the video, visual tokens except newlines
        raters : indices into ``behind`` of text that rates the patches (SparseVLM); for ``llm_attn_text_even``

        Raises
        ------
        InputError
            attention of the text is requested, but no text follows the video
        """
        of_text = next((name for name in self._signals if name.startswith("llm_attn_text")), None)
        if of_text is not None and not len(behind):
            raise InputError(f"{of_text} is attention from the text after the video, and this prompt has none there")
        self._behind, self._patches, self._raters = behind, patches, raters

    def query(self) -> dict[str, Array]:
        """Signals of the completed pass, except ``importance``."""
        found = {
            name: np.stack([self._found[name, layer] for layer in self._chosen])
            for name in (*BY_LAYER, "llm_keys", "llm_hidden")
            if name in self._signals
        }
        if "llm_attn_textmax" in self._signals:
            found["llm_attn_textmax"] = self._found["llm_attn_textmax", self._chosen[0]]
        if not found.keys().isdisjoint(BY_LAYER):
            found["llm_attn_layers"] = np.array(self._chosen, np.int32)
        return found

    def importance(self) -> Array:
        """[seq] float32: attention of the last prompt token in the shallow layer."""
        return self._found["importance", SHALLOW_LAYER]

    def fixed(self) -> dict[str, Array]:
        """Weights of the final norm, which go with hidden states and do not depend on the prompt."""
        weight = getattr(getattr(self._text, "norm", None), "weight", None)
        return {} if weight is None or "llm_hidden" not in self._signals else {"llm_norm_weight": _held(weight)}

    def _read(self, layer: int, query: Any, key: Any, turned: Any, options: Mapping[str, Any]) -> None:
        import torch

        def at(columns: Array) -> Any:
            return torch.from_numpy(columns).to(query.device)

        seen = torch.ones(1, query.shape[2], dtype=torch.bool, device=query.device)
        given = (query, key, None, seen, options)
        ways = {
            "importance": lambda: last_row(*given)[0],
            "llm_attn_last": lambda: last_row(*given)[0],
            "llm_attn_text": lambda: text_mean(*given, at(self._behind)),
            "llm_attn_text_even": lambda: text_mean(
                *given,
                at(self._behind),
                rotation_of(self._text, turned, 0),
                at(self._behind[self._raters]),
                at(self._patches),
            ),
            "llm_attn_text_sum": lambda: summed_maximum(*given, at(self._behind)),
            "llm_attn_visual_mean": lambda: summed_maximum(*given, at(self._patches)) / len(self._patches),
            "llm_attn_textmax": lambda: text_maximum(*given, at(self._behind))[0],
            "llm_keys": lambda: key[0],
        }
        for name in self._signals:
            of_layer = (layer == SHALLOW_LAYER) if name == "importance" else (layer in self._chosen)
            if of_layer and name in ways:
                self._found[name, layer] = _held(ways[name]())

    def _read_states(self, module: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        self._found["llm_hidden", self._chosen[0]] = _held(hidden[0])


def _held(tensor: Any) -> Array:
    """The array in host memory, in its own dtype."""
    return to_numpy(tensor.detach().contiguous().cpu()).copy()
