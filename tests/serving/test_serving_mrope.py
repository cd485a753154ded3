"""Positions of pruned prompts against those of the whole prompt, counted the slow way."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: positions are tensors")

from stgraph.serving.mrope import (  # noqa: E402 (torch first)
    counted,
    is_counted,
    own_positions,
    placed,
    positions_in,
    prompt_positions,
    starts_of_runs,
    with_channels,
)


def whole(media: list[tuple[int, int, int, int, float]], after: int) -> tuple[np.ndarray, list[list[int]]]:
    """[3, S] positions of the unpruned prompt, token by token, and the columns of each medium; M-RoPE as published."""
    columns: list[list[int]] = []
    out: list[tuple[int, int, int]] = []
    start = 0
    for text, T, H, W, factor in media:
        out += [(start + i,) * 3 for i in range(text)]
        start += text
        own = [(start + int(t * factor), start + h, start + w) for t in range(T) for h in range(H) for w in range(W)]
        columns.append(list(range(len(out), len(out) + len(own))))
        out += own
        start = max(map(max, own)) + 1
    out += [(start + i,) * 3 for i in range(after)]
    return np.array(out).T, columns


@pytest.mark.parametrize("seed", range(40))
def test_kept_tokens_and_text_have_the_positions_of_the_whole_prompt(seed: int) -> None:
    random = Random(seed)
    media = [
        (
            random.randint(min(i, 1), 5),  # a prompt may begin with a video; between two there is text
            random.randint(1, 5),
            random.randint(1, 4),
            random.randint(1, 4),
            random.choice([1.0, 2.0, 8 / 3, 0.5]),
        )
        for i in range(random.randint(1, 3))
    ]
    after = random.randint(1, 4)
    full, columns = whole(media, after)
    kept = [sorted(random.sample(range(len(c)), random.randint(1, len(c)))) for c in columns]
    dropped = {c[i] for c, k in zip(columns, kept, strict=True) for i in set(range(len(c))) - set(k)}
    left = [i for i in range(full.shape[1]) if i not in dropped]
    is_medium = torch.tensor([any(i in c for c in columns) for i in left])
    placeholders, at = [], 0
    for (text, T, H, W, factor), k in zip(media, kept, strict=True):
        placeholders.append((at + text, len(k), T, H, W, factor))
        at += text + len(k)
    positions, delta = prompt_positions(len(left), placeholders)
    expected = torch.from_numpy(full[:, left])
    assert torch.equal(positions[:, ~is_medium], expected[:, ~is_medium])  # before any medium is seen
    assert delta == int(expected.max()) + 1 - len(left)
    assert not is_counted(positions) or full.shape[1] == len(left)

    own = [own_positions(T, H, W, f)[k] for (_, T, H, W, f), k in zip(media, kept, strict=True)]
    assert torch.equal(placed(positions, is_medium, starts_of_runs(positions, is_medium), own, 0), expected)
    # In chunks, as chunked prefill does: each time the rows of the placeholders in [begin, end) are at hand.
    begin, flat = 0, torch.cat(own)
    while begin < len(left):
        end = random.randint(begin + 1, len(left))
        first, last = int(is_medium[:begin].sum()), int(is_medium[:end].sum())
        if last > first:
            positions = placed(positions, is_medium, starts_of_runs(positions, is_medium), [flat[first:last]], begin)
        begin = end
    assert torch.equal(positions, expected)


@pytest.mark.parametrize("seed", range(20))
def test_media_side_by_side_are_placed_by_where_each_begins(seed: int) -> None:
    """One position per token: the first axis counts, the second holds the starts, whatever part of them is at hand."""
    random = Random(seed)
    media = [(random.randint(0, 2), random.randint(1, 9)) for _ in range(random.randint(1, 4))]  # text before, length
    kept = [sorted(random.sample(range(n), random.randint(1, n))) for _, n in media]
    expected: list[int] = []
    is_medium: list[bool] = []
    placeholders, start = [], 0
    for (text, n), k in zip(media, kept, strict=True):
        placeholders.append((len(expected) + text, len(k), n, 1, 1, 1.0))
        expected += [*range(start, start + text), *(start + text + i for i in k)]
        is_medium += [False] * text + [True] * len(k)
        start += text + n
    expected += [start, start + 1]
    mask = torch.tensor([*is_medium, False, False])
    positions, delta = prompt_positions(len(expected), placeholders)
    assert delta == expected[-1] + 1 - len(expected)
    flat = torch.cat([own_positions(n, 1, 1, 1.0)[k] for (_, n), k in zip(media, kept, strict=True)])
    begin = 0
    while begin < len(expected):
        end = random.randint(begin + 1, len(expected))
        first, last = int(mask[:begin].sum()), int(mask[:end].sum())
        for _ in range(random.randint(1, 2)):  # a step may be taken again, after a preemption
            if last > first:
                starts = positions[1, mask].expand(3, -1)
                positions = placed(positions, mask, starts, [flat[first:last]], begin)
        begin = end
    assert positions[0].tolist() == expected


def test_time_is_truncated_as_in_double_precision() -> None:
    for factor in (2 / 3, 8 / 3, 1.1, 0.3, 4.000000001):
        at = own_positions(3000, 1, 1, factor)[:, 0]
        assert at.tolist() == (np.arange(3000) * factor).astype(np.int64).tolist()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_positions_pass_through_the_embeddings_dtype(dtype: str) -> None:
    at = torch.stack([torch.arange(65_536), torch.arange(65_536).flip(0), torch.full((65_536,), 257)], 1)
    rows = torch.randn(65_536, 3, generator=torch.Generator().manual_seed(0)).to(getattr(torch, dtype))
    wide = with_channels(rows, at)
    assert wide.dtype == rows.dtype and torch.equal(wide[:, :3], rows)
    assert torch.equal(positions_in(wide, 3), at)


def test_positions_of_a_prompt_are_made_in_host_memory() -> None:
    """Also where another device is the default one, as it is while vLLM loads a model."""
    with torch.device("meta"):
        assert own_positions(2, 2, 2, 1.0).device.type == "cpu"
        assert prompt_positions(7, [(2, 3, 2, 2, 2, 1.0)])[0].device.type == "cpu"
        assert counted(3).device.type == "cpu"


def test_counted_positions_are_recognised() -> None:
    assert is_counted(counted(7)) and counted(7).tolist() == [list(range(7))] * 3
    assert not is_counted(prompt_positions(7, [(2, 3, 2, 2, 2, 1.0)])[0])
