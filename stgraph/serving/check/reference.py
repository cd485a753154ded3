"""Hugging Face with ``stgraph.compress``: ``python -m stgraph.serving.check.reference plan.json out.json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from stgraph.grid import TokenGrid
from stgraph.selection.budget import Budget
from stgraph.serving.check.families import FAMILIES, Family
from stgraph.serving.check.prompts import Prompt, from_plain
from stgraph.serving.settings import Settings
from stgraph.vlm.compress import compress


def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Tokens and log probabilities of each case of ``plan``.

    Parameters
    ----------
    plan : "checkpoint" (a folder), "n_tokens", "family", and "cases": a list of [name, prompt, settings, rate]; rate 0
        leaves the model alone
    """
    import torch
    import transformers

    model = transformers.AutoModelForImageTextToText.from_pretrained(plan["checkpoint"], dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    processor = transformers.AutoProcessor.from_pretrained(plan["checkpoint"])
    rows, family = {}, FAMILIES[plan["family"]]
    for name, prompt, settings, rate in plan["cases"]:
        asked = from_plain(prompt)
        inputs = _inputs(processor, asked, family)
        grids = [TokenGrid(*family.grid(video)) for video in asked.media("video")]
        rows[name] = _answer(model, inputs, grids, Settings.of(settings), rate, plan["n_tokens"])
    return {"transformers": transformers.__version__, "rows": rows}


def _inputs(processor: Any, prompt: Prompt, family: Family) -> Any:
    videos = prompt.media("video")
    metadata = [{k: v for k, v in video.metadata().items() if k != "do_sample_frames"} for video in videos]
    return processor(
        text=[prompt.text(family.marked)],
        videos=[video.frames() for video in videos],
        video_metadata=metadata,
        do_sample_frames=False,
        return_tensors="pt",
    )


def _answer(model: Any, inputs: Any, grids: Sequence[TokenGrid], settings: Settings, rate: float, n_tokens: int) -> Any:
    import torch

    wanted = {"max_new_tokens": n_tokens, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    kept = []
    if rate:
        counts = {Fraction(settings.n_keep(grid, rate), grid.n_nodes) for grid in grids}
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
