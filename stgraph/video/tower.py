"""The vision tower of a model, its blocks, and the attention inside one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stgraph.errors import InputError

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
        """(H, W) in patches for a picture of this size."""
        return height // self.patch[0], width // self.patch[1]

    def block(self, layer: int | None) -> int:
        """Index of the block that outputs hidden state ``layer`` (0 embeddings, -1 and None the last).

        Raises
        ------
        InputError
            out of range
        """
        return block_of(self.layers, layer, type(self.module).__name__)


def tower_of(model: Any, name: str) -> Tower:
    """The vision tower inside ``model``, or ``model`` itself.

    Raises
    ------
    InputError
        it is not a plain vision transformer: its input is not whole pictures, or no blocks can be found
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
    return Tower(module, blocks_of(module, name), (int(height), int(width)))


def block_of(blocks: Sequence[Any], layer: int | None, tower: str) -> int:
    """Index of the block that outputs hidden state ``layer`` (0 embeddings: -1; -1 and None: the last block).

    Raises
    ------
    InputError
        out of range
    """
    n = len(blocks)
    if layer is None:
        return n - 1
    if not -n - 1 <= layer <= n:
        raise InputError(f"layer is {layer}; {tower} has hidden states {-n - 1} to {n}")
    return (layer if layer >= 0 else n + 1 + layer) - 1


def attention_of(block: Any) -> Any:
    """The module in a block that uses transformers' attention interface; None without one."""
    found = [m for m in block.modules() if "attention" in type(m).__name__.lower() and hasattr(m, "config")]
    return found[-1] if found else None


def n_before_patches(module: Any) -> int | None:
    """Number of tokens (CLS, registers) before the patches, if the modules state it; otherwise None."""
    names = {name.rpartition(".")[2] for name, _ in module.named_parameters()}
    if not names & {"cls_token", "class_embedding"}:
        return None
    return 1 + int(getattr(module.config, "num_register_tokens", 0) or 0)


def blocks_of(module: Any, name: str) -> Sequence[Any]:
    """The longest list of modules of one class inside: the blocks of a transformer."""
    import torch

    lists = [m for m in module.modules() if isinstance(m, torch.nn.ModuleList) and len(m)]
    blocks = [m for m in lists if len({type(block) for block in m}) == 1]
    if not blocks:
        raise InputError(
            f"no blocks were found in the {type(module).__name__} of {name}; it is not a vision transformer"
        )
    return max(blocks, key=len)
