"""Further questions on a cache that holds a prompt with video."""

from __future__ import annotations

from typing import Any

from vlm_models import CACHE, END, IMAGE, START, VIDEO, Case, torch

GREEDY = dict(max_new_tokens=3, do_sample=False, output_logits=True, return_dict_in_generate=True)
GREEDY |= dict(suppress_tokens=[IMAGE, VIDEO, START, END])  # a generated marker would begin another video


def question(case: Case, sequences: Any, seed: int) -> dict[str, Any]:
    """The whole conversation with another question of six tokens."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.cat([sequences, torch.randint(2, 100, (len(sequences), 6), generator=g)], 1)
    inputs = {"input_ids": ids}
    for name in ("attention_mask", "mm_token_type_ids"):
        if name in case.inputs:
            n = ids.shape[1] - case.inputs[name].shape[1]
            inputs[name] = torch.nn.functional.pad(case.inputs[name], (0, n), value=int(name == "attention_mask"))
    return inputs


def turns(case: Case, count: int, **more: Any) -> list[Any]:
    """What each of several turns generated, on one cache."""
    outs = [case.model.generate(**case.inputs, **GREEDY | more)]
    for seed in range(1, count):
        cache = outs[-1].get(CACHE, outs[-1].get("past_key_values"))
        inputs = question(case, outs[-1].sequences, seed)
        outs.append(case.model.generate(**inputs, **{CACHE: cache}, **GREEDY))
    return outs
