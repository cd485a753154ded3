"""The vision tower of a model, and what happens in one of its layers, read by hooks on the modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgraph.errors import InputError, MissingSignalError

Array = np.ndarray[Any, Any]

ATTENTION_SIGNALS = ("enc_cls_attn", "enc_recv_attn", "enc_keys_mean")
TOWERS = ("vision_model", "vision_tower", "visual")


@dataclass(frozen=True, eq=False)
class Tower:
    """A vision transformer.

    Attributes
    ----------
    module : the tower
    layers : its blocks, in order
    patch : (height, width) of a patch in pixels
    """

    module: Any
    layers: Sequence[Any]
    patch: tuple[int, int]

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """(H, W) in patches of a picture of this size."""
        return height // self.patch[0], width // self.patch[1]

    def block(self, layer: int | None) -> int:
        """The index of the block that makes hidden state ``layer`` (0 embeddings, -1 and None the last).

        Raises
        ------
        InputError
            out of range
        """
        n = len(self.layers)
        if layer is None:
            return n - 1
        if not -n - 1 <= layer <= n:
            raise InputError(f"layer is {layer}; {type(self.module).__name__} has hidden states {-n - 1} to {n}")
        return (layer if layer >= 0 else n + 1 + layer) - 1

    def has_rotary(self) -> bool:
        """Whether attention depends on positions that are turned into queries and keys after their projections."""
        names = (type(module).__name__.lower() for module in self.module.modules())
        return any("rope" in name or "rotary" in name for name in names)


def tower_of(model: Any, name: str) -> Tower:
    """The vision tower inside ``model``, or ``model`` itself.

    Raises
    ------
    InputError
        it is no plain vision transformer: no pixels of whole pictures go in, or no blocks can be found
    """
    module = model
    while (inner := next((getattr(module, a, None) for a in TOWERS if hasattr(module, a)), None)) is not None:
        module = inner
    config = getattr(module, "config", None)
    patch = getattr(config, "patch_size", None)
    if patch is None or not hasattr(config, "image_size"):  # those of Qwen take patches, not pictures
        raise InputError(
            f"{name} is a {type(model).__name__}, in which no vision transformer for whole pictures was found; give a "
            "checkpoint such as DINOv2, SigLIP or CLIP, or take the tokens of the whole model with --model"
        )
    height, width = patch if isinstance(patch, (list, tuple)) else (patch, patch)
    return Tower(module, _blocks(module, name), (int(height), int(width)))


@dataclass
class Seen:
    """What one pass showed: hidden states [B, L, d], queries and keys [B, L, heads x c], number of heads, scale."""

    hidden: Any = None
    query: Any = None
    key: Any = None
    heads: int = 1
    scale: float | None = None
    _handles: list[Any] = field(default_factory=list)


@contextmanager
def watching(tower: Tower, layer: int | None, signals: Sequence[str]) -> Iterator[Seen]:
    """Notes hidden state ``layer`` (None: nothing, the tower's own output is meant) and what ``signals`` need.

    Raises
    ------
    MissingSignalError
        attention or keys are asked for that cannot be read from this tower
    """
    seen, block = Seen(), tower.block(layer)
    handles = []
    if layer is not None and block < 0:
        handles.append(tower.layers[0].register_forward_pre_hook(_note_input(seen), with_kwargs=True))
    elif layer is not None:
        handles.append(tower.layers[block].register_forward_hook(_note(seen, "hidden")))
    if set(signals) & set(ATTENTION_SIGNALS):
        handles += _watch_attention(tower, block, signals, seen)
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def attention_signals(seen: Seen, n_patches: int, n_first: int, signals: Sequence[str]) -> dict[str, Array]:
    """The requested ones of :data:`ATTENTION_SIGNALS` as float32 arrays.

    Parameters
    ----------
    n_patches, n_first : patches a picture, and tokens that stand before them (CLS, registers)

    Returns
    -------
    ``enc_cls_attn`` [B, heads, n_patches]; ``enc_recv_attn`` [B, n_patches], mean over heads and all queries;
    ``enc_keys_mean`` [B, n_patches, c], mean over heads

    Raises
    ------
    MissingSignalError
        attention of a CLS token that the tower does not have
    """
    import torch

    B, L, width = seen.key.shape
    c = width // seen.heads
    scale = c**-0.5 if seen.scale is None else seen.scale
    query, key = (x.float().view(B, L, seen.heads, c).transpose(1, 2) for x in (seen.query, seen.key))
    patches = slice(n_first, n_first + n_patches)
    out: dict[str, Any] = {}
    if "enc_cls_attn" in signals:
        if n_first == 0:
            raise MissingSignalError(
                "enc_cls_attn is the attention of a CLS token, which this tower does not have; enc_recv_attn is what "
                "methods for such towers use"
            )
        rows = (query[:, :, :1] @ key.transpose(2, 3) * scale).softmax(-1)
        out["enc_cls_attn"] = rows[:, :, 0, patches]
    if "enc_recv_attn" in signals:  # a picture at a time: all pairs of its tokens, for every head
        means = [((q @ k.transpose(1, 2)) * scale).softmax(-1).mean((0, 1)) for q, k in zip(query, key, strict=True)]
        out["enc_recv_attn"] = torch.stack(means)[:, patches]
    if "enc_keys_mean" in signals:
        out["enc_keys_mean"] = key.mean(1)[:, patches]
    return {name: x.cpu().numpy() for name, x in out.items()}


def _blocks(module: Any, name: str) -> Sequence[Any]:
    """The longest list of modules of one class inside: the blocks of a transformer."""
    import torch

    lists = [m for m in module.modules() if isinstance(m, torch.nn.ModuleList) and len(m)]
    blocks = [m for m in lists if len({type(block) for block in m}) == 1]
    if not blocks:
        raise InputError(f"no blocks were found in the {type(module).__name__} of {name}; it is no vision transformer")
    return max(blocks, key=len)


def _watch_attention(tower: Tower, block: int, signals: Sequence[str], seen: Seen) -> list[Any]:
    asked = next(name for name in signals if name in ATTENTION_SIGNALS)
    kind = type(tower.module).__name__
    if tower.has_rotary():
        raise MissingSignalError(f"{asked} cannot be read from {kind}: it rotates queries and keys by position")
    found = None
    if block >= 0:
        found = next((m for m in tower.layers[block].modules() if _projections(m) is not None), None)
    projections = _projections(found)
    if found is None or projections is None:
        raise MissingSignalError(f"{asked} cannot be read from {kind}: no query and key projections in block {block}")
    heads = next((getattr(found, n) for n in ("num_heads", "num_attention_heads") if hasattr(found, n)), None)
    seen.heads = int(heads if heads is not None else tower.module.config.num_attention_heads)
    scale = getattr(found, "scale", getattr(found, "scaling", None))
    seen.scale = None if scale is None else float(scale)
    # Where queries and keys are normalised, what comes out of the norm is what attention sees.
    query, key = (getattr(found, norm, None) or projections[i] for i, norm in enumerate(("q_norm", "k_norm")))
    return [query.register_forward_hook(_note(seen, "query")), key.register_forward_hook(_note(seen, "key"))]


def _projections(module: Any) -> tuple[Any, Any] | None:
    for query, key in (("q_proj", "k_proj"), ("query", "key")):
        if hasattr(module, query) and hasattr(module, key):
            return getattr(module, query), getattr(module, key)
    return None


def _note(seen: Seen, name: str) -> Any:
    def hook(module: Any, args: tuple[Any, ...], output: Any) -> None:
        setattr(seen, name, output[0] if isinstance(output, tuple) else output)

    return hook


def _note_input(seen: Seen) -> Any:
    def hook(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        seen.hidden = args[0] if args else kwargs["hidden_states"]

    return hook
