"""One engine in a separate process: ``python -m stgraph.serving.check.engine plan.json out.json``.

A selection before the engine starts would stop vLLM's CPU platform (it walks every loaded module, including numba's),
so this process makes none, and for the same reason holds only one engine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from stgraph.serving.check.checkpoint import IMAGE_TOKEN, VIDEO_TOKEN
from stgraph.serving.check.families import FAMILIES
from stgraph.serving.check.prompts import from_plain


def runs_of(ids: list[int]) -> list[int]:
    """Lengths of the runs of image or video placeholders in a prompt."""
    found, before = [], None
    for token in ids:
        if token in (IMAGE_TOKEN, VIDEO_TOKEN):
            if token == before:
                found[-1] += 1
            else:
                found.append(1)
        before = token
    return found


def row_of(output: Any) -> dict[str, Any]:
    """The recorded part of one answer."""
    ids = list(output.prompt_token_ids)
    answer = output.outputs[0]
    steps = [{str(k): v.logprob for k, v in step.items()} for step in answer.logprobs or []]
    is_video = [i for i, token in enumerate(ids) if token == VIDEO_TOKEN]
    return {
        "n_prompt": len(ids),
        "runs": runs_of(ids),
        "video": [is_video[0], is_video[-1]] if is_video else None,
        "cached": output.num_cached_tokens,
        "tokens": list(answer.token_ids),
        "logprobs": steps,
    }


def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Start the engine of ``plan`` and answer its prompts, sequentially or all at once.

    Parameters
    ----------
    plan : "llm" (arguments of ``vllm.LLM``), "prompts" (a list of [name, prompt]), "n_tokens", "family", "rounds" and
        "together", see :class:`stgraph.serving.check.plans.EnginePlan`
    """
    start = perf_counter()
    import vllm

    llm = vllm.LLM(**plan["llm"])
    loaded = perf_counter()
    sampling = vllm.SamplingParams(temperature=0, max_tokens=plan["n_tokens"], ignore_eos=True, logprobs=5)
    family = FAMILIES[plan["family"]]
    prompts = {name: from_plain(values).for_engine(family.marked, family.metadata) for name, values in plan["prompts"]}
    rows: dict[str, Any] = {}
    for again in range(plan["rounds"]):
        for name, prompt in prompts.items():
            (output,) = llm.generate([prompt], sampling, use_tqdm=False)
            rows[name if not again else f"{name}, again"] = row_of(output)
    if plan["together"]:
        for name, output in zip(prompts, llm.generate(list(prompts.values()), sampling, use_tqdm=False), strict=True):
            rows[f"{name}, together"] = row_of(output)
    seconds = {"load": loaded - start, "generate": perf_counter() - loaded}
    return {"vllm": vllm.__version__, "seconds": seconds, "rows": rows}


if __name__ == "__main__":
    found = run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
