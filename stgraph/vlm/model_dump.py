"""Token dumps of a video in a whole VLM: projector output, and signals of encoder and language model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError
from stgraph.video.dump import Extracted
from stgraph.video.file import VideoInfo
from stgraph.vlm.checkpoint import load as load_checkpoint
from stgraph.vlm.llm_signals import LLM_SIGNALS
from stgraph.vlm.model_tokens import PROMPT_SIGNALS, check_signals, model_tokens
from stgraph.vlm.prompt_video import chat_text, prompt_inputs, video_metadata


@dataclass(frozen=True, eq=False)
class ModelSource:
    """A VLM and its processor.

    Attributes
    ----------
    model, processor, name : of the checkpoint
    prompt : the question; None for the chat template around the video alone
    signals, llm_layers, pool_head : see :func:`stgraph.vlm.model_tokens.model_tokens`
    dtype, device : of the model
    """

    model: Any
    processor: Any
    name: str
    prompt: str | None
    signals: tuple[str, ...]
    llm_layers: tuple[int, ...] | None
    dtype: str
    device: str
    pool_head: str | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """The values that determine tokens and signals."""
        return {
            "model": self.name,
            "prompt": self.prompt,
            "signals": list(self.signals),
            "llm_layers": None if self.llm_layers is None else list(self.llm_layers),
            "dtype": self.dtype,
            **({} if self.pool_head is None else {"pool_head": self.pool_head}),
            "query": any(name in (*LLM_SIGNALS, *PROMPT_SIGNALS) for name in self.signals),
        }

    def extract(self, frames: Iterable[Array], times: Array, info: VideoInfo) -> Extracted:
        """See :class:`stgraph.video.dump.TokenSource`."""
        rgb = list(frames)
        inputs = self._inputs(np.stack(rgb), times, info)
        found = model_tokens(self.model, inputs, self.signals, self.llm_layers, self.pool_head)
        projector = {"pooling": "model", "projector": "model", **found.metadata}
        facts = {
            "model": self.name,
            "architecture": type(self.model).__name__,
            "model_type": self.model.config.model_type,
            "dtype": self.dtype,
            "prompt": self.prompt,
        }
        return found._replace(metadata={**projector, **facts})

    def _inputs(self, rgb: Array, times: Array, info: VideoInfo) -> dict[str, Any]:
        """The processor's output for the frames and the prompt, on the model's device."""
        import torch

        content = [{"type": "video"}, *([{"type": "text", "text": self.prompt}] if self.prompt else [])]
        text = chat_text(self.processor, [{"role": "user", "content": content}])
        video = (rgb, video_metadata(info, times, (rgb.shape[1], rgb.shape[2])))
        made = prompt_inputs(self.processor, [text], [video], device=self.device, dtype=getattr(torch, self.dtype))
        inputs: dict[str, Any] = dict(made)
        return inputs


def load_model_source(
    checkpoint: str,
    *,
    prompt: str | None = None,
    signals: Sequence[str] = (),
    llm_layers: tuple[int, ...] | None = None,
    dtype: str | None = None,
    device: str | None = None,
    pool_head: str | None = None,
) -> ModelSource:
    """A VLM and its processor from disk or the hub.

    Raises
    ------
    InputError
        LLM signals, or the prompt's text, are requested without a prompt
    MissingSignalError
        a signal is unknown
    StgraphError
        the checkpoint cannot be used, see :func:`stgraph.vlm.load`
    """
    check_signals(signals)
    needing = next((name for name in signals if name in (*LLM_SIGNALS, *PROMPT_SIGNALS)), None)
    if needing is not None and not prompt:
        raise InputError(f"{needing} depends on the prompt; give the question as prompt (--prompt)")
    loaded = load_checkpoint(checkpoint, dtype=dtype, device=device)
    return ModelSource(
        loaded.model,
        loaded.processor,
        checkpoint,
        prompt,
        tuple(signals),
        llm_layers,
        loaded.dtype,
        loaded.device,
        pool_head,
    )
