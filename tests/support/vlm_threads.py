"""Prompts that one model answers on several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from vlm_models import Case, noise, torch, transformers


def skip_shared_state(family: str, generates: bool = False) -> None:
    """What 4.57 shares between threads by itself: forwards that are patched while hidden states are read, and the
    offset of positions in decoding."""
    if transformers.__version__ < "5" and (generates or family == "llava_onevision"):
        pytest.skip("transformers 4.57 gives wrong answers in threads here, compressed or not")


def other_video(case: Case, seed: int) -> dict[str, Any]:
    """The same prompt about another video."""
    pixels = case.inputs["pixel_values_videos"]
    return case.inputs | {"pixel_values_videos": noise(*pixels.shape, seed=seed)}


@torch.no_grad()
def last_logits(case: Case, inputs: dict[str, Any]) -> Any:
    """Logits of the last token, from which an answer starts."""
    return case.model(**inputs).logits[:, -1]


def together(tasks: list[Callable[[], Any]]) -> list[Any]:
    """What tasks give that run at once, each on a thread; exceptions are results."""
    results: list[Any] = [None] * len(tasks)
    start = threading.Barrier(len(tasks))

    def work(i: int) -> None:
        start.wait()
        try:
            results[i] = tasks[i]()
        except Exception as error:
            results[i] = error

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
