"""Conversion of a checkpoint in its authors' layout into a folder that ``from_pretrained`` reads."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgraph.errors import InputError
from stgraph.vlm.checkpoint import plan_of
from stgraph.vlm.checkpoints.layout import Plan
from stgraph.vlm.checkpoints.reading import generation_config, model_names
from stgraph.vlm.encoders import check_dtype

SHARD_BYTES = 2 * 2**30  # what is in memory at once
_CODE = Path(__file__).parent
_MODELS = {
    "modeling_llava_video": {"AutoModelForImageTextToText": "LlavaVideoForConditionalGeneration"},
    "modeling_nvila": {"AutoConfig": "NvilaConfig", "AutoModelForImageTextToText": "NvilaForConditionalGeneration"},
}
_PROCESSOR = {"AutoProcessor": "processing_video.VideoTokensProcessor"}


@dataclass(frozen=True)
class Conversion:
    """Report of a conversion.

    Attributes
    ----------
    folder : the folder that ``from_pretrained`` reads
    n_weights, n_files : number of tensors, and of safetensors files
    needs_code : whether transformers' own classes would read videos wrongly, so that the folder brings its classes and
        ``from_pretrained`` needs ``trust_remote_code=True`` (:func:`stgraph.vlm.load` does not)
    has_processor : whether there is a processor, which needs a tokenizer in the source
    """

    folder: Path
    n_weights: int
    n_files: int
    needs_code: bool
    has_processor: bool


def convert(
    source: str | os.PathLike[str], target: str | os.PathLike[str], *, dtype: str | None = None, **options: Any
) -> Conversion:
    """Write a checkpoint in its authors' layout as a folder that ``from_pretrained`` reads.

    Parameters
    ----------
    source, **options : as for :func:`stgraph.vlm.load`
    target : a new or empty folder; it appears when it is complete
    dtype : float32, float16 or bfloat16, of the written weights; None keeps the stored one

    Raises
    ------
    InputError
        ``from_pretrained`` reads the checkpoint unchanged, it cannot be run, or the folder cannot be written; raised
    before anything is written
    MissingDependencyError
        torch or transformers is not installed
    """
    check_dtype(dtype)
    found = plan_of(str(source), options)
    if found is None:
        raise InputError(
            f"{source} is in transformers' own layout: from_pretrained reads it, nothing is to be converted"
        )
    return write(found.plan, Path(target), dtype)


def write(plan: Plan, target: Path, dtype: str | None = None, shard_bytes: int = SHARD_BYTES) -> Conversion:
    """Write the model of a plan to a folder, which appears when it is complete.

    Parameters
    ----------
    dtype : of the written weights; None keeps the stored one
    shard_bytes : approximate size of a file, and of the data in memory at once

    Raises
    ------
    InputError
        the plan already has transformers' own names, the weights do not fit the configuration, or the folder is not
        empty or cannot be written; raised before anything is written
    """
    if plan.weights is None:
        raise InputError("the checkpoint is one that was converted already; there is nothing to convert")
    fitting = model_names(plan, plan.weights, plan.model_class())
    names = {_on_disk(name): stored for name, stored in fitting.items()}
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"cannot write {target}: it is there already; name a folder that is not, or an empty one")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise InputError(f"cannot write {target}: choose an existing folder you may write to")
    made = Path(tempfile.mkdtemp(prefix=".stgraph-", suffix=".part", dir=target.parent))
    try:
        n_files = _write_weights(plan, names, made, dtype, shard_bytes)
        _write_configuration(plan, made, dtype)
        if plan.tokenizer is not None:
            _write_processor(plan, made)
        for module in plan.code:
            shutil.copy(_CODE / f"{module}.py", made / f"{module}.py")
        _open_to_others(made)
        os.replace(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return Conversion(target, len(names), n_files, bool(plan.code), plan.tokenizer is not None)


def _on_disk(name: str) -> str:
    """The name that transformers 4 and 5 both read: the former's, with an additional level in the vision tower."""
    tower = "model.vision_tower."
    if not name.startswith(tower) or name.startswith(f"{tower}vision_model."):
        return name
    return f"{tower}vision_model.{name.removeprefix(tower)}"


def _open_to_others(folder: Path) -> None:
    """Set the usual file modes; those of temporary files are the owner's only."""
    umask = os.umask(0)
    os.umask(umask)
    for path in folder.iterdir():
        path.chmod(0o666 & ~umask)
    folder.chmod(0o777 & ~umask)


def _write_weights(plan: Plan, names: dict[str, str], folder: Path, dtype: str | None, shard_bytes: int) -> int:
    """Write the files one after the other, and return their number."""
    import torch
    from safetensors.torch import save_file

    assert plan.weights is not None
    groups: list[dict[str, str]] = [{}]
    size = 0
    for name, stored in names.items():
        entry = plan.weights.entries[stored]
        n_bytes = entry.n_bytes(dtype)
        if groups[-1] and size + n_bytes > shard_bytes:
            groups.append({})
            size = 0
        groups[-1][name] = stored
        size += n_bytes
    n = len(groups)
    index: dict[str, str] = {}
    for i, group in enumerate(groups, 1):
        file = "model.safetensors" if n == 1 else f"model-{i:05d}-of-{n:05d}.safetensors"
        with plan.weights.mapped(group) as tensors:
            target = None if dtype is None else getattr(torch, dtype)
            written = {name: tensor.to(target).contiguous() for name, tensor in tensors.items()}
            save_file(written, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(group, file)
    if n > 1:
        total = sum(plan.weights.entries[stored].n_bytes(dtype) for stored in names.values())
        _write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": index})
    return n


def _write_configuration(plan: Plan, folder: Path, dtype: str | None) -> None:
    assert plan.weights is not None
    said = plan.config.to_dict()
    said["architectures"] = ["LlavaOnevisionForConditionalGeneration"]
    said["dtype"] = said["torch_dtype"] = dtype or plan.weights.dtype
    rope = said["text_config"].get("rope_parameters")
    if rope is not None:  # of transformers 5; 4 reads these
        said["text_config"]["rope_theta"] = rope["rope_theta"]
        if rope.get("rope_type", "default") != "default":
            said["text_config"]["rope_scaling"] = {key: value for key, value in rope.items() if key != "rope_theta"}
    for module in plan.code:
        if module in _MODELS:
            said["auto_map"] = {auto: f"{module}.{name}" for auto, name in _MODELS[module].items()}
            said["architectures"] = [_MODELS[module]["AutoModelForImageTextToText"]]
    _write_json(folder / "config.json", said)
    generation_config(plan).save_pretrained(folder)


def _write_processor(plan: Plan, folder: Path) -> None:
    """Write the processor's files, which both transformers 4 and 5 read; by hand, since its classes need
    torchvision."""
    height, width = plan.pixels["size"]
    pixels: dict[str, Any] = {
        "size": {"height": height, "width": width},
        "image_mean": list(plan.pixels["image_mean"]),
        "image_std": list(plan.pixels["image_std"]),
        "resample": 3,  # bicubic
    }
    steps = ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb")
    pixels |= {"rescale_factor": 1 / 255, **dict.fromkeys(steps, True)}
    kind = "VideoTokensProcessor" if plan.code else "LlavaOnevisionProcessor"
    auto_map = {"auto_map": _PROCESSOR} if plan.code else {}
    images = {"image_processor_type": "LlavaOnevisionImageProcessor", "processor_class": kind, "do_pad": True}
    images["image_grid_pinpoints"] = plan.config.image_grid_pinpoints
    _write_json(folder / "preprocessor_config.json", pixels | images | auto_map)
    videos = {"video_processor_type": "LlavaOnevisionVideoProcessor", "processor_class": kind}
    _write_json(folder / "video_preprocessor_config.json", pixels | videos | {"do_sample_frames": False} | auto_map)
    own = {"frame_tokens", "newlines", "frames_a_group", "takes_images"}
    said = {
        key: value for key, value in plan.processor.items() if key != "chat_template" and (plan.code or key not in own)
    }
    _write_json(folder / "processor_config.json", said | {"processor_class": kind} | auto_map)
    plan.tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(plan.processor["chat_template"], encoding="utf-8")


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
