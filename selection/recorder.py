"""What a cache of recorded selections needs of CUDA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stgraph.selection.capture import capture
from stgraph.selection.result import Selection
from stgraph.tokens import VideoTokens

_SAFE = (2, 13)


class CudaRecorder:
    """Recording by :func:`stgraph.capture`.

    ``kind`` is the kind of device whose work is recorded.
    """

    kind = "cuda"

    def hazard(self) -> str | None:
        """What recording may do to other threads; None from torch 2.13 on.

        Before, a recording put the device's random number generator in a state of its own, in which any other thread
        that samples gets an error (CUDAGeneratorImpl.cpp, ``capturing_``), and one that failed left it there. Since,
        the state is that of the recording.
        """
        import torch

        version = str(torch.__version__)
        if tuple(map(int, version.split(".")[:2])) >= _SAFE:
            return None
        return f"under torch {version} other threads could not sample meanwhile; update to 2.13, or pass record=True"

    def busy(self, device: Any) -> bool:
        """Whether the current stream is being recorded by somebody else."""
        import torch

        with torch.cuda.device(device):
            return bool(torch.cuda.is_current_stream_capturing())

    def free(self, device: Any) -> int:
        """Bytes that are free on the device; a recording cannot use what torch keeps cached."""
        import torch

        return int(torch.cuda.mem_get_info(device)[0])

    def record(self, selector: Any, tokens: VideoTokens) -> Callable[[VideoTokens], Selection]:
        """The recorded selection for tokens of this shape."""
        return capture(selector, tokens)
