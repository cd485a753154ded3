"""From a plan to a model and a processor: names and shapes compared first, then each weight read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stgraph.errors import InputError
from stgraph.vlm.checkpoints.layout import Plan
from stgraph.vlm.checkpoints.tokenizers import END_OF_TURN
from stgraph.vlm.checkpoints.weights import Weights


def read_model(plan: Plan, folder: Path, dtype: str | None = None, *, copy: bool = True, **options: Any) -> Any:
    """The model of a plan, in evaluation mode.

    Parameters
    ----------
    folder : of the checkpoint
    dtype : float32, float16 or bfloat16; None for the one most weights are stored in
    copy : read all weights now. Otherwise those of the right dtype stay mapped files until used or moved, as suits a
        model that goes to a GPU
    **options : of ``from_pretrained``: device_map, attn_implementation, ...

    Raises
    ------
    InputError
        weights are missing or superfluous, or their shapes differ from the configuration
    """
    import torch

    kind = plan.model_class()
    if plan.weights is None:
        found = kind.from_pretrained(str(folder), config=plan.config, dtype=dtype or "auto", **options)
        return found.eval()
    target = getattr(torch, dtype or plan.weights.dtype)
    names = model_names(plan, plan.weights, kind)
    with plan.weights.mapped(names) as tensors:
        if copy:
            tensors = {name: tensor.to(target, copy=True) for name, tensor in tensors.items()}
        model = kind.from_pretrained(None, config=plan.config, state_dict=tensors, dtype=target, **options)
    model.generation_config = generation_config(plan)
    return model.eval()


def generation_config(plan: Plan) -> Any:
    """The language model's own configuration, with the chat's end of turn as another end of an answer."""
    from transformers import GenerationConfig

    if plan.generation is None:
        made = GenerationConfig.from_model_config(plan.config.text_config)
    else:
        made = GenerationConfig.from_pretrained(str(plan.generation.parent), plan.generation.name)
    ends = made.eos_token_id
    found = {} if ends is None else dict.fromkeys(ends if isinstance(ends, list) else [ends])
    if plan.tokenizer is not None:
        vocabulary = plan.tokenizer.get_vocab()
        found |= dict.fromkeys(vocabulary[word] for word in (END_OF_TURN,) if word in vocabulary)
        if made.pad_token_id is None:
            made.pad_token_id = plan.tokenizer.pad_token_id
    made.eos_token_id = list(found) or None
    return made


def model_names(plan: Plan, weights: Weights, kind: Any) -> dict[str, str]:
    """Name of each weight in this version's model -> its stored name; raises unless they fit the model."""
    import torch

    with torch.device("meta"):
        empty = kind(plan.config)
    wanted = {name: tuple(tensor.shape) for name, tensor in empty.state_dict().items()}
    level = "vision_model." if hasattr(empty.model.vision_tower, "vision_model") else ""  # of transformers 4
    tower = "model.vision_tower."
    names = {
        f"{tower}{level}{new.removeprefix(tower)}" if new.startswith(tower) else new: stored
        for new, stored in plan.names.items()
    }
    if plan.config.tie_word_embeddings:
        wanted.pop("lm_head.weight", None)
    for name in wanted:
        if name not in names:
            raise InputError(f"the checkpoint lacks {name!r}, which its configuration asks for; is it complete?")
    for name, stored in names.items():
        if name not in wanted:
            raise InputError(f"the checkpoint holds {stored!r}, which its configuration knows nothing of")
        shape = weights.entries[stored].shape
        if shape != wanted[name]:
            raise InputError(
                f"{stored!r} is {'x'.join(map(str, shape))}, but the configuration says "
                f"{'x'.join(map(str, wanted[name]))}; do config.json and the weights belong together?"
            )
    return names


def read_processor(plan: Plan, folder: Path) -> Any:
    """The processor of a plan.

    Raises
    ------
    InputError
        the folder has no tokenizer
    ImportError
        a package that transformers needs for it is missing
    """
    from transformers import LlavaOnevisionImageProcessor, LlavaOnevisionVideoProcessor

    from stgraph.vlm.checkpoints.processing_video import VideoTokensProcessor

    if plan.weights is None:
        made = VideoTokensProcessor.from_pretrained(str(folder))
        for name, value in plan.processor.items():
            setattr(made, name, value)
        return made
    if plan.tokenizer is None:
        raise InputError(
            f"{folder} holds no tokenizer; copy tokenizer.json and tokenizer_config.json there, or take the "
            "model alone (stgraph.vlm.load_model)"
        )
    height, width = plan.pixels["size"]
    pixels = {
        "size": {"height": height, "width": width},
        "image_mean": list(plan.pixels["image_mean"]),
        "image_std": list(plan.pixels["image_std"]),
        "resample": 3,  # bicubic
    }
    images = LlavaOnevisionImageProcessor(image_grid_pinpoints=plan.config.image_grid_pinpoints, **pixels)
    videos = LlavaOnevisionVideoProcessor(do_sample_frames=False, **pixels)
    return VideoTokensProcessor(images, plan.tokenizer, videos, **plan.processor)
