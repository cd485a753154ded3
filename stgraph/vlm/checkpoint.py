"""A Hugging Face video VLM and its processor, from disk or the hub."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from stgraph.devices import first_line
from stgraph.errors import InputError, UnavailableError, missing_dependency
from stgraph.vlm.encoders import check_dtype, on_device
from stgraph.vlm.families import parts_of


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model that is ready to be asked.

    Attributes
    ----------
    name : what it was loaded by
    model, processor : the former in evaluation mode, on ``device``
    dtype, device : of the model
    """

    name: str
    model: Any
    processor: Any
    dtype: str
    device: str


def load_checkpoint(name: str, *, dtype: str | None = None, device: str | None = None) -> Checkpoint:
    """A VLM and its processor.

    Parameters
    ----------
    name : folder of the checkpoint, or its name on the hub
    dtype : float32, float16 or bfloat16; None: the checkpoint's
    device : where it goes; None: a GPU where one is there

    Raises
    ------
    MissingDependencyError
        torch, transformers, or one of torchvision and Pillow, which its video processors need, is not installed
    InputError
        the checkpoint cannot be read, or a dtype that is not one of the three
    UnknownNameError
        a model type that is not known
    UnavailableError
        a device that is not there, a processor that takes no videos, or a torchvision built for another torch
    """
    check_dtype(dtype)
    try:
        from transformers import AutoModelForImageTextToText
    except ImportError:
        raise missing_dependency("reading a VLM", "transformers", "hf") from None
    processor = load_processor(name)
    try:
        model = AutoModelForImageTextToText.from_pretrained(name, dtype=dtype or "auto").eval()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"cannot load {name}: {str(error).splitlines()[0]}") from None
    parts_of(model)  # a type that is not known is said before a video is read
    place = on_device(model, device)
    return Checkpoint(name, model, processor, str(model.dtype).removeprefix("torch."), place)


def _without_pictures(feature: str, error: ImportError) -> Exception:
    """Why a processor cannot be imported: transformers does not say which package is to blame, or not why."""
    for module, package in (("PIL", "pillow"), ("torchvision", "torchvision")):
        try:
            import_module(module)
        except ModuleNotFoundError as missing:
            if missing.name == module:
                return missing_dependency(feature, package, "hf")
        except Exception as broken:  # a build for another torch: its compiled half does not load
            return UnavailableError(
                f"{feature} needs {package}, which does not load here ({first_line(broken)}): torch and torchvision "
                "belong together; install the two of one release and build, from the same index"
            )
    return error


def load_processor(name: str, **options: Any) -> Any:
    """The processor of a checkpoint, which has to take videos and leaves all their tokens in the prompt.

    Parameters
    ----------
    **options : of ``AutoProcessor.from_pretrained``

    Raises
    ------
    MissingDependencyError, InputError, UnavailableError
        see :func:`load_checkpoint`
    """
    try:
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(name, **options)
    except ImportError as error:
        raise _without_pictures(f"the processor of {name}", error) from error
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"cannot load the processor of {name}: {str(error).splitlines()[0]}") from None
    if getattr(processor, "video_processor", None) is None:
        raise UnavailableError(
            f"the processor of {name} ({type(processor).__name__}) takes no videos; name a video VLM, "
            "or take a vision backbone with --encoder hf:NAME_OR_PATH"
        )
    if getattr(processor.video_processor, "use_token_compression", False):
        processor.video_processor.use_token_compression = False  # VideoLLaMA3 drops tokens on its own
    return processor
