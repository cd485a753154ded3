"""Hugging Face with ``stgraph.compress``: ``python -m stgraph.serving.check.reference plan.json out.json``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any

from stgraph.grid import TokenGrid
from stgraph.selection.budget import Budget
from stgraph.serving.check.prompts import Prompt, from_plain
from stgraph.serving.settings import Settings
from stgraph.vlm.compress import compress


def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Tokens and log probabilities of each case of ``plan``.

    Parameters
    ----------
    plan : "checkpoint" (a folder), "n_tokens", and "cases": a list of [name, prompt, settings, rate]; rate 0 leaves the
        model alone
    """
    import torch
    import transformers

    model = transformers.AutoModelForImageTextToText.from_pretrained(plan["checkpoint"], dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    processor = transformers.AutoProcessor.from_pretrained(plan["checkpoint"])
    rows = {}
    for name, prompt, settings, rate in plan["cases"]:
        rows[name] = _answer(model, processor, from_plain(prompt), Settings.of(settings), rate, plan["n_tokens"])
    return {"transformers": transformers.__version__, "rows": rows}


def _answer(model: Any, processor: Any, prompt: Prompt, settings: Settings, rate: float, n_tokens: int) -> Any:
    import torch

    videos = prompt.media("video")
    metadata = [{k: v for k, v in video.metadata().items() if k != "do_sample_frames"} for video in videos]
    inputs = processor(
        text=[prompt.text()],
        videos=[video.frames() for video in videos],
        video_metadata=metadata,
        do_sample_frames=False,
        return_tensors="pt",
    )
    wanted = {"max_new_tokens": n_tokens, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    kept = []
    if rate:
        counts = {Fraction(settings.n_keep(TokenGrid(*v.grid), rate), prod(v.grid)) for v in videos}
        (share,) = counts  # compress() has one budget for all videos of a prompt
        selector = replace(settings.selector, budget=Budget(retain_ratio=share))  # type: ignore[type-var]
        with compress(model, selector) as stats:
            out = model.generate(**inputs, **wanted, pad_token_id=256)
        kept = [video.n_kept for video in stats.videos]
    else:
        out = model.generate(**inputs, **wanted, pad_token_id=256)
    values = torch.stack(out.logits, 1)[0].log_softmax(-1)
    tokens = out.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    return {"kept": kept, "tokens": tokens, "logprobs": values.tolist()}


if __name__ == "__main__":
    found = run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
