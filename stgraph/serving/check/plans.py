"""The engines of the check, one process each, and their prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stgraph.serving.check.families import FAMILIES
from stgraph.serving.check.prompts import PARITY, PROMPTS, RATES, Prompt

RATE = 0.7
N_TOKENS = 6
SELECTORS = {"st-simdiff": RATE, "evs": RATE, "dets": 0.85}  # those whose parity is checked, and at which rate
MERGING = {"framefusion": RATE, "sttm": RATE}  # merge tokens; the second renumbers positions, too
CHUNK, BLOCK = 40, 32  # tokens of a prefill step, and of a block of the prefix cache: a multiple of 32 on a CPU
FEW = {name: PROMPTS[name] for name in ("one video", "two videos", "image, video", "text")}

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class EnginePlan:
    """One engine and its prompts.

    Attributes
    ----------
    selector, rate : None leaves the engine unchanged
    arguments : of ``vllm.LLM``, beyond those common to all engines
    rounds : number of times each prompt is sent
    together : send all prompts once more, at the same time
    """

    prompts: Mapping[str, Prompt]
    selector: str | None = None
    rate: float | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 1
    together: bool = False
    multiprocess: bool = False

    def written(self, checkpoint: str, family: str) -> dict[str, Any]:
        """The plan in the form read by :mod:`stgraph.serving.check.engine`."""
        llm = {
            "model": checkpoint,
            "dtype": "float32",
            "enforce_eager": True,
            "max_model_len": 4096,
            "max_num_seqs": 4,
            "seed": 0,
            "limit_mm_per_prompt": {"image": 1, "video": 3},
            "enable_prefix_caching": False,
            **overrides(family, self.selector, self.rate),
            **self.arguments,
        }
        return {
            "llm": llm,
            "prompts": [[name, prompt.plain()] for name, prompt in self.prompts.items()],
            "n_tokens": N_TOKENS,
            "family": family,
            "rounds": self.rounds,
            "together": self.together,
        }


def overrides(family: str, selector: str | None, rate: float | None) -> dict[str, Any]:
    """The overrides that select the plugin; empty without a selector."""
    if selector is None:
        return {}
    settings = {"architectures": [FAMILIES[family].architecture], "stgraph": {"selector": selector}}
    return {"video_pruning_rate": rate, "hf_overrides": settings}


def plans(family: str, quick: bool = False) -> dict[str, EnginePlan]:
    """The engines by name; ``quick`` omits those that repeat a promise with another setting of the engine."""
    unpruned, short = {**PROMPTS, **PARITY}, {**PROMPTS, **RATES}
    lengths = {name: {video.T for video in p.media("video")} for name, p in {**unpruned, **short}.items()}
    if not FAMILIES[family].mixes_lengths:
        unpruned = {name: p for name, p in unpruned.items() if len(lengths[name]) < 2}
    short = {name: p for name, p in short.items() if max(lengths[name], default=0) <= FAMILIES[family].most_frames}
    ours: dict[str, Any] = {"selector": "st-simdiff", "rate": RATE}
    found = {
        "stock": EnginePlan(unpruned),
        "rate 0": EnginePlan(unpruned, "st-simdiff", 0.0),
        "pruned": EnginePlan({**PROMPTS, **PARITY, **RATES}, **ours, together=True),
        "prefix cache": EnginePlan(
            {**PROMPTS, **RATES}, **ours, arguments={"enable_prefix_caching": True, "block_size": BLOCK}, rounds=2
        ),
    }
    if quick:
        return found
    chunked = {"max_num_batched_tokens": CHUNK, "enable_chunked_prefill": True}
    found |= {
        "chunked prefill": EnginePlan(short, **ours, arguments=chunked),
        "bfloat16": EnginePlan(PROMPTS, **ours, arguments={"dtype": "bfloat16"}),
        "two processes": EnginePlan(FEW, **ours, multiprocess=True),
    }
    others = {name: rate for name, rate in {**SELECTORS, **MERGING}.items() if name != "st-simdiff"}
    return found | {name: EnginePlan(PARITY, name, rate) for name, rate in others.items()}


def reference_cases(names: Mapping[str, float]) -> list[list[Any]]:
    """Cases for Hugging Face: the prompts of ``PARITY``, unpruned and with each of these selectors at its rate."""
    wanted = {"unpruned": ({"selector": "evs"}, 0.0)} | {name: ({"selector": name}, r) for name, r in names.items()}
    return [
        [f"{name}, {label}", prompt.plain(), settings, rate]
        for name, (settings, rate) in wanted.items()
        for label, prompt in PARITY.items()
    ]
