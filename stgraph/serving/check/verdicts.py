"""Verdicts on the engines' answers: one row per promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stgraph.serving.check.families import Family
from stgraph.serving.check.plans import MERGING, RATE, SELECTORS
from stgraph.serving.check.prompts import PARITY, PROMPTS, RATES, Medium, Prompt

TOLERANCE = 1e-5
Answers = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Verdict:
    """Whether a promise holds here.

    Attributes
    ----------
    holds : whether it holds; None if not tried
    seen : figures, or the first fault
    """

    promise: str
    holds: bool | None
    seen: str


def expected_runs(prompt: Prompt, rate: float, family: Family) -> list[int]:
    """Lengths of the runs of placeholders in a prompt: images whole, videos by vLLM's rule.

    Without marks, videos side by side are one run.
    """
    found: list[int] = []
    before: Medium | str | None = None
    for part in prompt.parts:
        if isinstance(part, Medium):
            beside = not family.marked and isinstance(before, Medium) and before.kind == part.kind
            found.append(_count(part, rate, family) + (found.pop() if beside else 0))
        before = part
    return found


def _count(medium: Medium, rate: float, family: Family) -> int:
    if medium.kind == "image":
        return family.n_image
    T, H, W = family.grid(medium)
    return max(H * W, int(T * H * W * (1 - rate))) + family.n_extra


def verdicts(answers: Answers, family: Family) -> list[Verdict]:
    """One row per promise, in the order of the documentation.

    Parameters
    ----------
    answers : of :func:`stgraph.serving.check.run.run_all`
    family : of the checkpoint they are answers of
    """
    judges: list[tuple[str, Callable[[Answers], str], tuple[str, ...]]] = [
        ("rate 0 changes nothing, to the bit", _rate_zero, ("stock", "rate 0")),
        ("counts are exact", lambda a: _counts(a, family), ("pruned",)),
        ("a request may have its own rate", lambda a: _own_rates(a, family), ("pruned",)),
        ("requests at once answer as alone", _together, ("pruned",)),
        ("unpruned: equal to Hugging Face", lambda a: _parity(a, "stock", "unpruned", family), ("stock", "reference")),
    ]
    for name in {**SELECTORS, **MERGING}:
        engine = "pruned" if name == "st-simdiff" else name

        def parity(found: Answers, engine: str = engine, name: str = name) -> str:
            return _parity(found, engine, name, family)

        judges.append((f"{name}: equal to stgraph.compress", parity, (engine, "reference")))
    judges += [
        ("a prefix-cache hit changes nothing", _prefix_cache, ("pruned", "prefix cache")),
        ("a cache that ends inside a video changes nothing", _inside, ("pruned", "prefix cache")),
        ("chunked prefill changes nothing", lambda a: _same(a, "chunked prefill"), ("pruned", "chunked prefill")),
        ("an engine in its own process is the same", lambda a: _same(a, "two processes"), ("pruned", "two processes")),
        ("bfloat16: same counts", _bfloat16, ("pruned", "bfloat16")),
        ("server: two clients at once answer as one", _server, ("server",)),
        ("server: a bad rate is refused, and it serves on", _bad_request, ("server",)),
    ]
    return [_judged(promise, judge, needs, answers) for promise, judge, needs in judges]


class _Broken(Exception):
    """A broken promise; the text states the observation."""


def _judged(promise: str, judge: Callable[[Answers], str], needs: tuple[str, ...], answers: Answers) -> Verdict:
    if any(name not in answers for name in needs):
        return Verdict(promise, None, "not run")
    for name in needs:
        if error := answers[name].get("error"):
            return Verdict(promise, False, f"{name}: {error}")
    try:
        return Verdict(promise, True, judge(answers))
    except _Broken as broken:
        return Verdict(promise, False, str(broken))


def _rows(answers: Answers, engine: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = answers[engine]["rows"]
    return found


def _check(right: bool, text: str) -> None:
    if not right:
        raise _Broken(text)


def _rate_zero(answers: Answers) -> str:
    plain, ours = _rows(answers, "stock"), _rows(answers, "rate 0")
    for name, row in plain.items():
        _check(ours[name]["tokens"] == row["tokens"], f"{name}: other tokens")
        _check(ours[name]["logprobs"] == row["logprobs"], f"{name}: other log probabilities")
    return f"{len(plain)} prompts, tokens and log probabilities"


def _counts(answers: Answers, family: Family) -> str:
    rows = _rows(answers, "pruned")
    for name, prompt in {**PROMPTS, **PARITY}.items():
        wanted, found = expected_runs(prompt, RATE, family), rows[name]["runs"]
        _check(wanted == found, f"{name}: {found} placeholders, not {wanted}")
    return ", ".join(f"{name} {rows[name]['runs']}" for name in ("64 frames", "1 frame", "2 frames", "three videos"))


def _own_rates(answers: Answers, family: Family) -> str:
    rows = _rows(answers, "pruned")
    for name, prompt in RATES.items():
        wanted, found = expected_runs(prompt, prompt.rate or 0.0, family), rows[name]["runs"]
        _check(wanted == found, f"{name}: {found} placeholders, not {wanted}")
    return ", ".join(f"{name} {rows[name]['runs'][0]}" for name in RATES)


def _together(answers: Answers) -> str:
    rows = _rows(answers, "pruned")
    alone = [name for name in rows if not name.endswith(", together")]
    for name in alone:
        _check(rows[name]["tokens"] == rows[f"{name}, together"]["tokens"], f"{name}: other tokens")
    return f"{len(alone)} prompts"


def _parity(answers: Answers, engine: str, selector: str, family: Family) -> str:
    found, reference = _rows(answers, engine), _rows(answers, "reference")
    if f"{selector}, {next(iter(PARITY))}" not in reference:
        raise _Broken("Hugging Face was not asked")
    worst = 0.0
    for name in PARITY:
        ours, theirs = found[name], reference[f"{selector}, {name}"]
        kept = [n + family.n_extra for n in theirs["kept"]]
        _check(not kept or kept == ours["runs"], f"{name}: {ours['runs']}, not {kept}")
        _check(ours["tokens"] == theirs["tokens"], f"{name}: tokens {ours['tokens']}, not {theirs['tokens']}")
        for step, there in zip(ours["logprobs"], theirs["logprobs"], strict=True):
            worst = max([worst, *(abs(value - there[int(token)]) for token, value in step.items())])
    _check(worst < TOLERANCE, f"log probabilities differ by {worst:.1e}")
    return f"same tokens; log probabilities to {worst:.1e}"


def _prefix_cache(answers: Answers) -> str:
    plain, cached = _rows(answers, "pruned"), _rows(answers, "prefix cache")
    for name, row in cached.items():
        _check(row["tokens"] == plain[name.removesuffix(", again")]["tokens"], f"{name}: other tokens")
    hits = [row["cached"] for name, row in cached.items() if name.endswith(", again")]
    _check(sum(hit > 0 for hit in hits) > len(hits) // 2, "there was hardly a hit")
    return f"{sum(hit > 0 for hit in hits)} hits of {min(hit for hit in hits if hit)} to {max(hits)} tokens"


def _inside(answers: Answers) -> str:
    row = _rows(answers, "prefix cache")["80 frames, another question"]
    first, last = row["video"]
    _check(first < row["cached"] < last, f"{row['cached']} tokens cached, the video at {first} to {last}")
    _check(row["tokens"] == _rows(answers, "pruned")["80 frames, another question"]["tokens"], "other tokens")
    return f"{row['cached']} tokens cached, the video at {first} to {last}"


def _same(answers: Answers, engine: str) -> str:
    plain, other = _rows(answers, "pruned"), _rows(answers, engine)
    for name, row in other.items():
        _check(row["tokens"] == plain[name]["tokens"], f"{name}: other tokens")
    return f"{len(other)} prompts"


def _bfloat16(answers: Answers) -> str:
    plain, other = _rows(answers, "pruned"), _rows(answers, "bfloat16")
    for name, row in other.items():
        _check(row["runs"] == plain[name]["runs"], f"{name}: other counts")
    same = sum(row["tokens"][0] == plain[name]["tokens"][0] for name, row in other.items())
    return f"{len(other)} prompts; the first token as in float32 in {same}"


def _server(answers: Answers) -> str:
    found = answers["server"]
    alone = found["alone"]
    for i, answer in enumerate(found["together"]):
        one = alone["ab"[i % 2]]
        _check(answer == one, f"{answer} together, {one} alone")
    return (
        f"{len(found['together'])} requests; prompts of {alone['a']['n_prompt']} and {alone['both']['n_prompt']} tokens"
    )


def _bad_request(answers: Answers) -> str:
    found = answers["server"]
    _check(400 <= found["bad"].get("status", 0) < 500, f"answered {found['bad']}")
    _check(found["after"] == found["alone"]["a"], f"after it: {found['after']}")
    return f"status {found['bad']['status']}"
