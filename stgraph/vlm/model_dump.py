"""Token dumps of what a whole VLM makes of a video: projector output, and signals of its encoder and language model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.errors import InputError, UnavailableError, missing_dependency
from stgraph.vlm.dump_video import Extracted
from stgraph.vlm.encoders import check_dtype, on_device
from stgraph.vlm.families import parts_of
from stgraph.vlm.model_tokens import LLM_SIGNALS, check_signals, model_tokens
from stgraph.vlm.prompt_video import video_metadata
from stgraph.vlm.video_file import VideoInfo

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class ModelSource:
    """A VLM and its processor.

    Attributes
    ----------
    model, processor, name : of the checkpoint
    prompt : the question; None: the chat template around the video alone
    signals, llm_layers : see :func:`stgraph.vlm.model_tokens.model_tokens`
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

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides the tokens and signals."""
        return {
            "model": self.name,
            "prompt": self.prompt,
            "signals": list(self.signals),
            "llm_layers": None if self.llm_layers is None else list(self.llm_layers),
            "dtype": self.dtype,
            "query": any(name in LLM_SIGNALS for name in self.signals),
        }

    def extract(self, frames: Iterable[Array], times: Array, info: VideoInfo) -> Extracted:
        """See :class:`stgraph.vlm.dump_video.TokenSource`."""
        rgb = list(frames)
        found = model_tokens(self.model, self._inputs(np.stack(rgb), times, info), self.signals, self.llm_layers)
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
        """What the processor makes of the frames and the prompt, on the model's device."""
        import torch

        content = [{"type": "video"}, *([{"type": "text", "text": self.prompt}] if self.prompt else [])]
        text = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        metadata = video_metadata(info, times, (rgb.shape[1], rgb.shape[2]))
        made = self.processor(
            text=[text], videos=[rgb], video_metadata=[metadata], do_sample_frames=False, return_tensors="pt"
        )
        inputs: dict[str, Any] = dict(made.to(device=self.device, dtype=getattr(torch, self.dtype)))
        return inputs


def load_model_source(
    checkpoint: str,
    *,
    prompt: str | None = None,
    signals: Sequence[str] = (),
    llm_layers: tuple[int, ...] | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> ModelSource:
    """A VLM and its processor from disk or the hub.

    Raises
    ------
    MissingDependencyError
        torch, transformers, or torchvision, which the video processors of transformers need, is not installed
    InputError
        the checkpoint cannot be read; LLM signals without a prompt
    UnknownNameError, MissingSignalError
        a model type or signal that is not known
    """
    check_signals(signals)
    check_dtype(dtype)
    needing = next((name for name in signals if name in LLM_SIGNALS), None)
    if needing is not None and not prompt:
        raise InputError(f"{needing} is attention of the last prompt token; give the question it answers as prompt")
    try:
        from transformers import AutoModelForImageTextToText, AutoProcessor
    except ImportError:
        raise missing_dependency("reading a VLM", "transformers", "hf") from None
    processor = _processor(AutoProcessor, checkpoint)
    try:
        model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=dtype or "auto").eval()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"cannot load {checkpoint}: {str(error).splitlines()[0]}") from None
    parts_of(model)  # a type that is not known is said before a video is read
    if getattr(processor.video_processor, "use_token_compression", False):
        processor.video_processor.use_token_compression = False  # VideoLLaMA3 drops tokens on its own
    place = on_device(model, device)
    used = str(model.dtype).removeprefix("torch.")
    return ModelSource(model, processor, checkpoint, prompt, tuple(signals), llm_layers, used, place)


def _processor(loader: Any, checkpoint: str) -> Any:
    """The processor of a checkpoint, which has to take videos."""
    try:
        processor = loader.from_pretrained(checkpoint)
    except ImportError as error:
        if "torchvision" in str(error).lower():
            raise missing_dependency(f"the processor of {checkpoint}", "torchvision") from error
        raise
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"cannot load the processor of {checkpoint}: {str(error).splitlines()[0]}") from None
    if getattr(processor, "video_processor", None) is None:
        raise UnavailableError(
            f"the processor of {checkpoint} ({type(processor).__name__}) takes no videos; name a video VLM, "
            "or take a vision backbone with --encoder hf:NAME_OR_PATH"
        )
    return processor
