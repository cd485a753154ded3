"""End-to-end time with and without compression: a random model as deep as a 7B one, on the same video."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from stgraph.errors import missing_dependency
from stgraph.selection.base import selector
from stgraph.vlm.compress import compress
from stgraph.vlm.families import parts_of
from stgraph.vlm.phase_times import PhaseTimes

Row = dict[str, Any]
_VIDEO, _TEXT = 5, 40  # token id of the placeholder, text tokens around it
_WRITTEN = 8  # tokens, whose median time is that of decoding


@dataclass(frozen=True)
class PrefillCase:
    """A random LLaVA-OneVision-like model and a video with ``side`` squared tokens per frame."""

    n_frames: int = 12
    side: int = 13
    n_layers: int = 28
    width: int = 512
    retain_ratio: float = 0.3

    @property
    def n_tokens(self) -> int:
        """Patch tokens of the video."""
        return self.n_frames * self.side**2


def measure_prefill(
    case: PrefillCase | None = None, n_rounds: int = 3, tell: Callable[[str], None] = lambda label: None
) -> list[Row]:
    """Seconds of one prompt by phases: the full prompt; pruned before the LLM; reduced by attention in two passes.

    Rows hold medians over ``n_rounds`` of the prompt's pass (``seconds``), of its phases, which add up to it
    (:meth:`stgraph.vlm.phase_times.PhaseTimes.prompt`), of one further token (``decode_s``), and of decoding the same
    frames from an MPEG-4 file (``prepare_s``; None without the extra video), which is not part of the pass; ``speedup``
    is the full pass's time over the row's.

    Raises
    ------
    MissingDependencyError
        torch or transformers is not installed
    """
    case = case or PrefillCase()
    try:
        import torch
        import transformers  # noqa: F401  (the error names both)
    except ImportError:
        raise missing_dependency("the prefill benchmark", "transformers", "hf") from None
    tell("prefill: decoding the video")
    prepare_s = _decoding(case, n_rounds)
    tell("prefill: building a random model")
    model, inputs = _model_and_prompt(case)
    parts = parts_of(model)
    r = case.retain_ratio
    ways: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        "full": nullcontext,
        "evs": lambda: compress(model, selector("evs", retain_ratio=r)),
        "st-simdiff, one pass": lambda: compress(
            model, selector("st-simdiff", retain_ratio=r, importance="centrality")
        ),
        "st-simdiff, two passes": lambda: compress(
            model, selector("st-simdiff", retain_ratio=r, importance="attention")
        ),
    }
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    stats: dict[str, Any] = {}
    for i in range(n_rounds + 1):  # the first round compiles and does not count
        for name, way in ways.items():
            tell(f"prefill: {name}")
            with PhaseTimes(parts) as phases, way() as stats[name], torch.inference_mode():
                model.generate(**inputs, do_sample=False, max_new_tokens=1 + _WRITTEN, min_new_tokens=1 + _WRITTEN)
            if i:
                whole, *further = phases.forward_s
                taken[name].append({"seconds": whole, **phases.prompt(stats[name]), "decode_s": median(further)})
    medians = {name: {key: median(one[key] for one in found) for key in found[0]} for name, found in taken.items()}
    full = medians["full"]["seconds"]
    return [
        {**_row(case, name, stats[name]), "prepare_s": prepare_s, **found, "speedup": full / found["seconds"]}
        for name, found in medians.items()
    ]


def _row(case: PrefillCase, name: str, stats: Any) -> Row:
    video = stats.videos[-1] if stats is not None else None
    return {
        "case": f"{case.n_layers} layers of {case.width}, {case.n_frames}x{case.side}x{case.side}",
        "stage": "prefill",
        "by": name,
        "n_tokens": case.n_tokens,
        "retain_ratio": None if video is None else case.retain_ratio,
        "n_kept": case.n_tokens if video is None else video.n_kept,
        "n_candidates": None if video is None else video.n_candidates,
    }


def _decoding(case: PrefillCase, n_rounds: int) -> float | None:
    """Median seconds to decode the video's frames."""
    if find_spec("av") is None:
        return None
    import av

    from stgraph.video.frames import read_frames

    frames = np.clip(127.5 + 64 * _moving_picture(case.n_frames, 16 * case.side)[0], 0, 255).astype(np.uint8)
    with TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        with av.open(str(path), "w") as out:
            stream = out.add_stream("mpeg4", rate=2)
            stream.width = stream.height = 16 * case.side
            for frame in frames.transpose(0, 2, 3, 1):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
            out.mux(stream.encode(None))
        taken = []
        for _ in range(n_rounds):
            start = perf_counter()
            read_frames(path, n_frames=case.n_frames)
            taken.append(perf_counter() - start)
    return median(taken)


def _model_and_prompt(case: PrefillCase) -> tuple[Any, dict[str, Any]]:
    import torch
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        Qwen2Config,
        SiglipVisionConfig,
    )

    vision = SiglipVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=16 * case.side,
        patch_size=8,
    )
    heads = max(1, case.width // 64)
    text = Qwen2Config(
        vocab_size=256,
        hidden_size=case.width,
        intermediate_size=case.width * 11 // 2,  # the proportions of Qwen2-7B
        num_hidden_layers=case.n_layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 4),
        max_position_embeddings=1 << 15,
    )
    config = LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=_VIDEO - 1,
        video_token_index=_VIDEO,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    torch.manual_seed(0)
    model = LlavaOnevisionForConditionalGeneration(config).eval()
    ids = np.random.default_rng(0).integers(10, 200, _TEXT + case.n_tokens + 1)  # one newline ends the video
    ids[_TEXT // 2 : _TEXT // 2 + case.n_tokens + 1] = _VIDEO
    pixels = torch.from_numpy(_moving_picture(case.n_frames, 16 * case.side))
    input_ids = torch.from_numpy(ids)[None]
    inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "pixel_values_videos": pixels}
    return model, inputs


def _moving_picture(n_frames: int, size: int) -> np.ndarray[Any, Any]:
    """[1, F, 3, size, size] float32: a still picture, a patch of noise moving across it, and a cut half-way."""
    rng = np.random.default_rng(1)
    picture = rng.normal(0, 1, (2, 3, size, size)).astype(np.float32)
    frames = np.repeat(picture, [n_frames - n_frames // 2, n_frames // 2], axis=0)
    side = size // 4
    for t, frame in enumerate(frames):
        at = t * (size - side) // max(1, n_frames - 1)
        frame[:, at : at + side, at : at + side] = rng.normal(0, 1, (3, side, side))
    return frames[None]
