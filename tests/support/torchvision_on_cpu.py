"""Lets the Python half of a CUDA build of torchvision be imported beside a torch without CUDA.

The video processors of transformers need torchvision's transforms, which are plain Python. The wheels of the package
index are built for CUDA: beside a CPU torch their compiled half does not load, and the import fails where it registers
operators that nobody has defined. So those operators are defined first, and never called.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any


@cache
def define_operators() -> Any:
    """The library that holds the operators, which has to be kept; None where nothing has to be defined."""
    import torch

    try:
        files = distribution("torchvision").files or []
    except PackageNotFoundError:
        return None
    if torch.version.cuda is not None or version("torchvision").endswith("+cpu"):
        return None
    source = next(file.locate() for file in files if file.name == "_meta_registrations.py")
    text = Path(str(source)).read_text(encoding="utf-8")
    library = torch.library.Library("torchvision", "DEF")
    for name in dict.fromkeys(re.findall(r'register_(?:fake|meta)\("(?:torchvision::)?(\w+)"', text)):
        library.define(f"{name}(Tensor x) -> Tensor")
    return library


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    """Finds nothing; defines the operators when somebody looks for torchvision, once."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name == "torchvision":
            sys.meta_path.remove(self)
            define_operators()
        return None


def define_on_import() -> None:
    """Define the operators once torchvision is imported: for processes whose code is not ours, from a .pth file."""
    sys.meta_path.insert(0, _BeforeTorchvision())
