"""Requirements of GPU computing, and which are installed, determined without loading any."""

from __future__ import annotations

import shutil
import subprocess
from ctypes import CDLL, byref, c_int
from ctypes.util import find_library
from dataclasses import dataclass
from importlib.util import find_spec

from stgraph.community.base import package_version
from stgraph.errors import install_command

_EXTRA = f"{install_command('cuda13')} (or [cuda12])"


@dataclass(frozen=True)
class GpuPart:
    """One requirement: its purpose, the version found (or None), and how to get it."""

    name: str
    use: str
    found: str | None
    remedy: str


def gpu_parts() -> list[GpuPart]:
    """Device, driver and libraries, in the order they are needed."""
    torch = _version("torch")
    if torch is not None and "+cpu" in torch:
        torch_found, torch_remedy = None, f"{torch} is built for CPUs; install a CUDA build, see pytorch.org"
    else:
        torch_found, torch_remedy = torch, "pip install torch (a CUDA build)"
    parts = [
        GpuPart("device", "everything below", "; ".join(devices()) or None, "nvidia-smi lists no NVIDIA GPU"),
        GpuPart("CUDA driver", "everything below", driver_cuda(), "no libcuda was found; install the NVIDIA driver"),
        GpuPart("torch", "features on a GPU", torch_found, torch_remedy),
        GpuPart("triton", "the GPU engine", _version("triton"), "pip install triton; CUDA builds of torch bring it"),
    ]
    for package, use in (
        ("cupy", "graph.to_cupy(), the cugraph backends"),
        ("pylibcugraph", "the cugraph backends"),
        ("cudf", "graph.to_cudf()"),
        ("cugraph", "graph.to_cugraph(), the cugraph-dask backends"),
        ("dask_cudf", "the cugraph-dask backends"),
        ("dask_cuda", "a cluster of this machine's GPUs for them"),
    ):
        parts.append(GpuPart(package, use, _version(package), _EXTRA))
    return parts


def devices() -> list[str]:
    """Name, memory, compute capability and driver version of each GPU, from nvidia-smi."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = "--query-gpu=name,memory.total,compute_cap,driver_version"
    try:
        done = subprocess.run([program, query, "--format=csv,noheader"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):  # a hanging driver counts as no GPU
        return []
    if done.returncode:
        return []
    found = []
    for line in done.stdout.splitlines():
        name, memory, capability, driver = (field.strip() for field in line.split(","))
        found.append(f"{name}, {memory}, compute capability {capability}, driver {driver}")
    return found


def driver_cuda() -> str | None:
    """The newest CUDA version the driver supports; None without a driver."""
    library = find_library("cuda")
    if library is None:
        return None
    number = c_int()
    if CDLL(library).cuDriverGetVersion(byref(number)):
        return "there, but it does not answer"
    return f"supports CUDA {number.value // 1000}.{number.value % 1000 // 10}"


def _version(package: str) -> str | None:
    """The installed version of a package; None if it cannot be imported."""
    if find_spec(package) is None:
        return None
    distributions = {"cupy": ("cupy", "cupy-cuda13x", "cupy-cuda12x")}.get(package, (package,))
    found = [version for version in map(package_version, distributions) if version != "unknown"]
    return found[0] if found else "of unknown version"
