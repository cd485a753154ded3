"""The model ``stgraph_hf`` of lmms-eval: any Hugging Face video VLM, its video tokens selected by stgraph.

lmms-eval finds :func:`manifest` through the entry-point group ``lmms_eval.models``, and nothing else here imports it:
stgraph does not depend on it. Written for the chat models of lmms-eval 0.7.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from functools import cache
from time import perf_counter
from typing import Any

from stgraph.errors import InputError, UnavailableError
from stgraph.selection.base import selector as build_selector
from stgraph.vlm.checkpoint import load_model, load_processor
from stgraph.vlm.compress import compress
from stgraph.vlm.lmms_eval.requests import (
    RequestCounts,
    batches,
    cut,
    generation_arguments,
    means,
    records_of,
    selection_row,
)
from stgraph.vlm.prompt_video import PromptVideo, chat_text, prompt_inputs, prompt_video
from stgraph.vlm.stages import check_selector

MODEL, CLASS = "stgraph_hf", "StgraphHf"


def manifest() -> Any:
    """The ``ModelManifest`` for lmms-eval's registry."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id=MODEL, chat_class_path=f"{__name__}.{CLASS}")


def __getattr__(name: str) -> Any:
    if name != CLASS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _model_class()


@cache
def _model_class() -> type:
    """The class for lmms-eval, derived from its base class, which cannot be imported without it."""
    from lmms_eval.api.model import lmms

    return type(CLASS, (VideoChat, lmms), {"__doc__": VideoChat.__doc__, "__module__": __name__})


class VideoChat:
    """A Hugging Face video VLM that answers lmms-eval's chat requests with compressed video tokens.

    Parameters
    ----------
    pretrained : name or folder of the checkpoint
    selector, **parameters : :func:`stgraph.selector`'s; the selector "none" runs the unchanged model
    frames, fps : see :func:`stgraph.vlm.prompt_video.prompt_video`; the word none means None, here and in parameters,
        where lists and objects are JSON
    time_instruction : state length, number and times of the frames before the question, as LLaVA-Video does
    dtype, device, device_map, attn_implementation, trust_remote_code : of ``from_pretrained``; under accelerate, each
        process uses its own device
    pooling : bilinear, average or max, of LLaVA-Video's frames; None for that of its config.json
    probe_layer, positions, images : of :func:`stgraph.compress`
    batch_size, max_batch_size : lmms-eval's; the former must be a number

    Raises
    ------
    InputError
        a parameter is out of range, or unknown to the selector
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        selector: str = "st-simdiff",
        frames: int | str | None = 64,
        fps: float | str | None = None,
        time_instruction: bool = False,
        dtype: str = "auto",
        device: str | None = None,
        device_map: str | None = None,
        attn_implementation: str | None = None,
        trust_remote_code: bool = False,
        pooling: str | None = None,
        probe_layer: int = 1,
        positions: str = "original",
        images: bool = False,
        batch_size: int | str = 1,
        max_batch_size: int | str | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__()
        self.selector = _selector(selector, _values(parameters))
        self.sampling = _values({"frames": frames, "fps": fps})
        self.time_instruction = time_instruction
        self.hooks: dict[str, Any] = {"probe_layer": probe_layer, "positions": positions, "images": images}
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise InputError(f"batch_size is {batch_size!r}; {MODEL} needs a number of at least 1")
        self.batch_size = int(batch_size)
        from accelerate import Accelerator

        self.accelerator = Accelerator()
        self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        if self._world_size > 1 and device_map is not None:
            raise InputError(f"device_map is {device_map!r} in {self._world_size} processes; leave it out, or use one")
        options: dict[str, Any] = {"device_map": device_map, "attn_implementation": attn_implementation}
        layout: dict[str, Any] = {} if pooling in (None, "none") else {"pooling": pooling}
        self.model = load_model(
            pretrained,
            dtype=None if dtype == "auto" else dtype,
            trust_remote_code=trust_remote_code,
            **layout,
            **{name: value for name, value in options.items() if value is not None},
        )
        if device_map is None:
            self.model.to(self.accelerator.device if self._world_size > 1 or device is None else device)
        if self.selector is not None:
            compress(self.model, self.selector, **self.hooks)  # what the model lacks is said before any question
        self.device = self.model.device
        self.processor = load_processor(pretrained, trust_remote_code=trust_remote_code, **layout)
        self.processor.tokenizer.padding_side = "left"

    def generate_until(self, requests: list[Any]) -> list[Any]:
        """A ``GenerationResult`` for each request, in order."""
        from lmms_eval.api.instance import GenerationResult
        from lmms_eval.models.model_utils.gen_metrics import log_metrics
        from tqdm import tqdm

        results: list[Any] = [None] * len(requests)
        start = perf_counter()
        with tqdm(total=len(requests), desc=MODEL, disable=self._rank != 0) as progress:
            for places in batches([request.args[2] for request in requests], self.batch_size):
                for place, (text, counts) in zip(places, self._answer([requests[p].args for p in places]), strict=True):
                    results[place] = GenerationResult(text, counts)
                progress.update(len(places))
        logged: list[RequestCounts] = [result.token_counts for result in results]
        seconds, tokens = perf_counter() - start, sum(counts.output_tokens for counts in logged)
        log_metrics(seconds, tokens, tokens / seconds, means([counts.selection for counts in logged]))
        return results

    def _answer(self, batch: list[Any]) -> list[tuple[str, RequestCounts]]:
        """Text and counts for requests that share their generation arguments."""
        chats, generation = [self._chat(*args) for args in batch], dict(batch[0][2])
        until = generation.pop("until", [])
        images = [image for chat in chats for image in chat[1]]
        videos = [video for chat in chats for video in chat[2]]
        texts = [chat[0] for chat in chats]
        frames = [(video.rgb, video.metadata) for video in videos]
        inputs = prompt_inputs(self.processor, texts, frames, images, device=self.device, dtype=self.model.dtype)
        pad = self.processor.tokenizer.pad_token_id
        hooks = nullcontext() if self.selector is None else compress(self.model, self.selector, **self.hooks)
        with hooks as stats:
            start = perf_counter()
            ids = self.model.generate(**inputs, pad_token_id=pad, **generation_arguments(generation))
            seconds = {"generate_s": (perf_counter() - start) / len(batch), **_peak_memory(self.device)}
        if stats is not None:
            seconds["probe_s"] = sum(prompt.probe_s for prompt in stats.prompts) / len(batch)
        new = ids[:, inputs["input_ids"].shape[1] :]
        answers = self.processor.batch_decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        entered, written = inputs["attention_mask"].sum(1).tolist(), (new != pad).sum(1).tolist()
        rows = []
        for sample, text in enumerate(answers):
            videos, left = ([], None) if stats is None else records_of(stats, sample, len(batch))
            selection = selection_row(videos, seconds)
            n_input = entered[sample] if left is None else left
            counts = RequestCounts(n_input, written[sample], selection=selection)
            rows.append((cut(text, [until] if isinstance(until, str) else until), counts))
        return rows

    def _chat(self, context: str, messages: Any, generation: Any, doc_id: Any, task: str, split: str) -> Any:
        """(prompt, images, videos) of one request."""
        from lmms_eval.protocol import ChatMessages

        chat = ChatMessages(messages=messages(self.task_dict[task][split][doc_id]))  # type: ignore[attr-defined]
        images, paths, audios = chat.extract_media()
        if audios:
            raise InputError(f"task {task}, document {doc_id} holds audio, which {MODEL} cannot pass on")
        videos: list[PromptVideo] = [prompt_video(path, **self.sampling) for path in paths]
        content = chat.to_hf_messages()
        if self.time_instruction:
            turn = next(message["content"] for message in content if message["role"] == "user")
            at = 1 + max((i for i, part in enumerate(turn) if part["type"] == "video"), default=-1)
            turn[at:at] = [{"type": "text", "text": video.instruction} for video in videos]
        return chat_text(self.processor, content), images, videos

    def loglikelihood(self, requests: list[Any]) -> Any:
        """Not supported: the paper's benchmarks generate."""
        raise UnavailableError(f"{MODEL} generates only; take the task without '_mcppl'")

    def generate_until_multi_round(self, requests: list[Any]) -> Any:
        """Not supported: a compressed cache cannot be continued."""
        raise UnavailableError(f"{MODEL} answers one round; a cache with dropped tokens cannot be continued")


def _peak_memory(device: Any) -> dict[str, float]:
    """Peak bytes allocated by torch on a GPU so far; empty on a CPU."""
    import torch

    return {"peak_gpu_bytes": torch.cuda.max_memory_allocated(device)} if device.type == "cuda" else {}


def _values(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with values ``--model_args`` cannot express otherwise: the word none means None, and lists and
    objects are JSON, in which numerals are numbers, also as keys.

    Raises
    ------
    InputError
        JSON that cannot be read
    """
    return {name: _value(name, value) for name, value in arguments.items()}


def _value(name: str, value: Any) -> Any:
    if value in ("none", "None"):
        return None
    if not isinstance(value, str) or not value.startswith(("[", "{")):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        raise InputError(f"{name} is {value!r}; write a list or an object as JSON, such as [8,16,24]") from None
    if isinstance(found, dict):
        return {int(key) if key.isdecimal() else key: item for key, item in found.items()}
    return found


def _selector(name: str, parameters: dict[str, Any]) -> Any:
    """The selector with that name, checked to work in a running model; None for "none"."""
    if name != "none":
        return check_selector(build_selector(name, **parameters))
    if parameters:
        raise InputError(f"selector=none takes no {next(iter(parameters))!r}; leave it out, or name a selector")
    return None
