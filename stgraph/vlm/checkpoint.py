"""Loading checkpoints: a Hugging Face video VLM and its processor, from disk or the hub.

``from_pretrained`` reads the checkpoints it can; those in their authors' own layout are read by
:mod:`stgraph.vlm.checkpoints`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from stgraph.devices import first_line
from stgraph.errors import InputError, UnavailableError, checkpoint_unread, missing_dependency
from stgraph.vlm.checkpoints.layout import Plan, layout_of
from stgraph.vlm.encoders import check_dtype, on_device
from stgraph.vlm.families import parts_of


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model ready to answer.

    Attributes
    ----------
    name : folder or hub name it was loaded from
    model, processor : the model is in evaluation mode, on ``device``
    dtype, device : those of the model
    """

    name: str
    model: Any
    processor: Any
    dtype: str
    device: str


def load(
    name: str | os.PathLike[str], *, dtype: str | None = None, device: str | None = None, **options: Any
) -> Checkpoint:
    """Load a VLM and its processor.

    Parameters
    ----------
    name : folder of the checkpoint, or its name on the hub: anything that ``from_pretrained`` reads, and the layouts
        of lmms-lab's LLaVA-Video and of NVILA, which transformers has no class for
    dtype : float32, float16 or bfloat16; None for the checkpoint's
    device : device of the model; None for a GPU if there is one
    **options : options of the layout; None counts as not given. LLaVA-Video has two: ``pooling`` (bilinear, average or
        max) overrides config.json; ``vision`` gives keys of ``SiglipVisionConfig`` for a tower whose number of heads is
        not in any file

    Raises
    ------
    MissingDependencyError
        torch, transformers, or one of torchvision and Pillow, which its video processors need, is not installed
    InputError
        the checkpoint cannot be read, its configuration is not supported, or the dtype is not one of the three
    UnknownNameError
        the model type is unknown
    UnavailableError
        the device is missing, the processor does not take videos, or torchvision was built for another torch
    """
    name = str(name)
    check_dtype(dtype)
    found = plan_of(name, _given(**options))
    processor = _processor(name, found, {})
    model = _model(name, found, dtype, device, {})
    parts_of(model)  # unknown types are reported before a video is read
    place = on_device(model, device)
    return Checkpoint(name, model, processor, str(model.dtype).removeprefix("torch."), place)


def load_model(
    name: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    device: str | None = None,
    pooling: str | None = None,
    vision: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """The model of a checkpoint alone, in evaluation mode; see :func:`load`.

    Parameters
    ----------
    device : None for the placement of ``from_pretrained``
    pooling, vision : see :func:`load`
    **options : options of ``from_pretrained``: device_map, attn_implementation, trust_remote_code, ...
    """
    name = str(name)
    check_dtype(dtype)
    model = _model(name, plan_of(name, _given(pooling=pooling, vision=vision)), dtype, device, options)
    if device is not None:
        on_device(model, device)
    return model


def load_processor(
    name: str | os.PathLike[str],
    *,
    pooling: str | None = None,
    vision: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """The processor of a checkpoint, which must take videos and leaves all their tokens in the prompt.

    Parameters
    ----------
    pooling, vision : see :func:`load`
    **options : options of ``AutoProcessor.from_pretrained``

    Raises
    ------
    MissingDependencyError, InputError, UnavailableError
        see :func:`load`
    """
    return _processor(str(name), plan_of(str(name), _given(pooling=pooling, vision=vision)), options)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True, eq=False)
class Found:
    """A checkpoint in its authors' own layout: the folder, and the plan for reading it."""

    folder: Path
    plan: Plan


def plan_of(name: str, options: Mapping[str, Any] | None = None) -> Found | None:
    """The plan for a checkpoint in its authors' own layout; None if ``from_pretrained`` reads it.

    Parameters
    ----------
    options : options of the layout

    Raises
    ------
    MissingDependencyError, InputError
        see :func:`load`
    """
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError:
        raise missing_dependency("reading a VLM", "transformers", "hf") from None
    folder, config = Path(name), None
    try:
        if not folder.is_dir():
            config, _ = transformers.PretrainedConfig.get_config_dict(name)
        elif (folder / "config.json").is_file():
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise checkpoint_unread("load", name, error) from None
    layout = layout_of(config) if isinstance(config, dict) else None
    if layout is None or config is None:
        if options:
            raise InputError(f"{next(iter(options))!r} is not an option of {name}, which transformers reads itself")
        return None
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.jinja"]))
        except Exception as error:  # from the hub's client or its HTTP library, which depends on its version
            raise checkpoint_unread("download", name, error) from error
    return Found(folder, layout.plan(folder, config, **(options or {})))


def _model(name: str, found: Found | None, dtype: str | None, device: str | None, options: dict[str, Any]) -> Any:
    try:
        if found is None:
            from transformers import AutoModelForImageTextToText

            return AutoModelForImageTextToText.from_pretrained(name, dtype=dtype or "auto", **options).eval()
        import torch

        from stgraph.vlm.checkpoints.reading import read_model

        options = {key: value for key, value in options.items() if key != "trust_remote_code"}
        on_cpu = device == "cpu" or (device is None and not torch.cuda.is_available())
        return read_model(found.plan, found.folder, dtype, copy=on_cpu and "device_map" not in options, **options)
    except InputError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise checkpoint_unread("load", name, error) from None


def _processor(name: str, found: Found | None, options: dict[str, Any]) -> Any:
    try:
        if found is not None:
            from stgraph.vlm.checkpoints.reading import read_processor

            return read_processor(found.plan, found.folder)
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(name, **options)
    except ImportError as error:
        raise _without_pictures(f"the processor of {name}", error) from error
    except InputError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise checkpoint_unread("load the processor of", name, error) from None
    if getattr(processor, "video_processor", None) is None:
        raise UnavailableError(
            f"the processor of {name} ({type(processor).__name__}) takes no videos; name a video VLM, "
            "or take a vision backbone with --encoder hf:NAME_OR_PATH"
        )
    if getattr(processor.video_processor, "use_token_compression", False):
        processor.video_processor.use_token_compression = False  # VideoLLaMA3 drops tokens on its own
    return processor


def _without_pictures(feature: str, error: ImportError) -> Exception:
    """Reason a processor cannot be imported, since transformers does not name the package or the cause."""
    for module, package in (("PIL", "pillow"), ("torchvision", "torchvision")):
        try:
            import_module(module)
        except ModuleNotFoundError as missing:
            if missing.name == module:
                return missing_dependency(feature, package, "hf")
        except Exception as broken:  # built for another torch: its compiled part does not load
            return UnavailableError(
                f"{feature} needs {package}, which does not load here ({first_line(broken)}): torch and torchvision "
                "belong together; install the two of one release and build, from the same index"
            )
    return error
