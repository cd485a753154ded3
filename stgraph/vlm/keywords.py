"""Keyword arguments of a text model: batch and prompt axes, inferred from shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stgraph.errors import InputError

CACHE_NAMES = ("cache", "past_key_values")

# Keywords cut by rules of their own, in sequence.py and masks.py, or without values per token.
_OWN_RULES = frozenset(
    {*CACHE_NAMES, "position_ids", "attention_mask", "cache_position", "visual_pos_masks", "deepstack_visual_embeds"}
)
# Packed sequences as FlashAttention takes them: lengths of the whole prompt, over all rows.
PACKING = ("cu_seq_lens_q", "cu_seq_lens_k", "cu_seqlens", "max_length_q", "max_length_k", "max_seqlen")


# [B, S, ...] whatever the other axes measure; a width may happen to be the length of the prompt.
_BY_TOKEN = ("inputs_embeds", "per_layer_inputs")


@dataclass(frozen=True)
class Axes:
    """The batch and prompt axes of a tensor (None: absent), and whether they are ambiguous."""

    batch: int | None
    prompt: int | None
    unclear: bool = False


def axes_of(name: str, shape: tuple[int, ...], B: int, S: int) -> Axes:
    """The axes of one tensor of a prompt of ``S`` tokens in ``B`` rows.

    ``[B, S, ...]``, ``[3, B, S]``, ``[B, layers, S, d]`` and ``[S, B, d]`` have both, like ``[1, S, ...]``, which
    applies to every row. ``[S, ...]`` is shared by the rows, ``[B, ...]`` has one value per row; anything else is
    shared. Several axes of length S, or one of length B S, are ambiguous.
    """
    if name in _BY_TOKEN:
        return Axes(0, 1)
    long = [axis for axis, size in enumerate(shape) if size == S]
    prompt = long[0] if long else None
    # In this order: the axis before the prompt's, the first, one row before the prompt's that stands for all, the next.
    tried = [(0, B)] if prompt is None else [(prompt - 1, B), (0, B), (prompt - 1, 1), (prompt + 1, B)]
    fitting = (axis for axis, size in tried if 0 <= axis < len(shape) and axis != prompt and shape[axis] == size)
    batch = next(fitting, None)
    return Axes(batch, prompt, len(long) > 1 or (B > 1 and not long and B * S in shape))


def mapped(name: str, value: Any, change: Callable[[str, Any], Any]) -> Any:
    """``value`` with ``change(name, array)`` in place of each tensor or array, also inside tuples, lists and mappings;
    objects without changes are passed on unchanged."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return change(name, value)
    if isinstance(value, Mapping):
        made: Any = {key: mapped(f"{name}[{key!r}]", entry, change) for key, entry in value.items()}
        same = all(made[key] is entry for key, entry in value.items())
    elif isinstance(value, (tuple, list)):
        entries = [mapped(f"{name}[{i}]", entry, change) for i, entry in enumerate(value)]
        same = all(entry is before for entry, before in zip(entries, value, strict=True))
        made = type(value)(*entries) if hasattr(value, "_fields") else type(value)(entries)
    else:
        return value
    return value if same else made


def cut_keywords(inputs: Mapping[str, Any], rows: Any, columns: Any, B: int, S: int) -> dict[str, Any]:
    """All keyword arguments without rules of their own, cut to these columns.

    Parameters
    ----------
    rows : [R] int64, of the batch
    columns : [R, L] int64, of the prompt

    Raises
    ------
    InputError
        an argument cannot be cut; the message names it
    """
    import torch

    def cut(name: str, value: Any) -> Any:
        axes = axes_of(name, tuple(value.shape), B, S)
        if axes.unclear:
            raise InputError(
                f"the text model is given {name} of shape {list(value.shape)} for a batch of {B} rows of {S:,} tokens: "
                "compress() cannot tell which entries belong to the tokens it drops. Leave it out, or use "
                "retain_ratio=1"
            )
        if not isinstance(value, torch.Tensor):
            if axes.prompt is None:
                return value
            raise _no_tensor(name, value)
        at = columns.to(value.device)
        if axes.prompt is None:
            return value if axes.batch is None else value.index_select(axes.batch, rows.to(value.device))
        if axes.batch is None:
            if not bool((at == at[:1]).all()):
                raise InputError(
                    f"the text model is given {name} of shape {list(value.shape)}, shared by all rows of the batch, "
                    f"but the rows keep different tokens: expand it to [{B}, {S}, ...]"
                )
            return value.index_select(axes.prompt, at[0])
        order = (axes.batch, axes.prompt)
        by_row = value.movedim(order, (0, 1))
        by_row = by_row.expand(B, *by_row.shape[1:])
        return by_row[rows.to(value.device)[:, None], at].movedim((0, 1), order)

    for name in PACKING:
        if inputs.get(name) is not None:
            raise InputError(
                f"the text model is given {name}, the lengths of packed sequences in the whole prompt, of which tokens "
                "are dropped here: pass the sequences as rows of a padded batch, or use retain_ratio=1"
            )
    for name, value in inputs.items():
        if isinstance(value, (list, tuple)) and _by_token(value, B, S):
            raise _no_tensor(name, value)
    return {name: value if name in _OWN_RULES else mapped(name, value, cut) for name, value in inputs.items()}


def _no_tensor(name: str, value: Any) -> InputError:
    return InputError(
        f"the text model is given {name}, a {type(value).__name__} with an entry for each token, which cannot be cut: "
        "pass a tensor"
    )


def _by_token(value: Any, B: int, S: int) -> bool:
    """Whether a list of plain values has one value per token: S values, or B lists of S."""
    rows = value if len(value) == B and all(isinstance(row, (list, tuple)) for row in value) else [value]
    return all(len(row) == S and not any(hasattr(entry, "shape") for entry in row) for row in rows)


def cache_of(named: Any) -> Any:
    """The cache among keyword arguments or outputs, or None; transformers 5.24 renamed it."""
    if not isinstance(named, Mapping):  # return_dict=False
        return next((value for value in named if hasattr(value, "get_seq_length")), None)
    return next((named[name] for name in CACHE_NAMES if named.get(name) is not None), None)


def visual_of(inputs: Mapping[str, Any]) -> Any:
    """[B, S] bool: tokens with visual features for deeper layers, or None; some models repeat it by channel."""
    visual = inputs.get("visual_pos_masks")
    return visual[..., 0] if visual is not None and visual.ndim == 3 else visual


def tensors_in(inputs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(name, tensor) of all keyword arguments except the cache."""
    import torch

    found: list[tuple[str, Any]] = []

    def note(name: str, array: Any) -> Any:
        found.append((name, torch.as_tensor(array)))
        return array

    for name, value in inputs.items():
        if name not in CACHE_NAMES:
            mapped(name, value, note)
    return iter(found)
