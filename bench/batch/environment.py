"""Environment of batch processes: a share of the CPUs and one GPU each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from stgraph.gpu_parts import devices

THREAD_VARIABLES = (
    "STGRAPH_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def thread_environment(n_workers: int) -> dict[str, str]:
    """Variables that divide the CPUs so that workers times threads do not exceed them."""
    n_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return dict.fromkeys(THREAD_VARIABLES, str(max(1, n_cpus // n_workers)))


def device_environment(worker: int, n_workers: int, visible: Sequence[str]) -> dict[str, str]:
    """Variable that assigns a worker one GPU, round robin; empty with one worker or fewer than two GPUs.

    Parameters
    ----------
    worker : number of the worker, from 0
    visible : see :func:`visible_devices`

    Examples
    --------
    >>> [device_environment(i, 3, ["2", "5"]) for i in range(3)]
    [{'CUDA_VISIBLE_DEVICES': '2'}, {'CUDA_VISIBLE_DEVICES': '5'}, {'CUDA_VISIBLE_DEVICES': '2'}]
    """
    if n_workers < 2 or len(visible) < 2:
        return {}
    return {_VISIBLE: visible[worker % len(visible)]}


def visible_devices(variables: Mapping[str, str] = os.environ) -> list[str]:
    """GPUs visible to CUDA, as named in CUDA_VISIBLE_DEVICES: those it lists, otherwise all by number.

    Examples
    --------
    >>> visible_devices({"CUDA_VISIBLE_DEVICES": "3, GPU-8932f937,-1,0"})  # CUDA stops at the first invalid one
    ['3', 'GPU-8932f937']
    """
    if _VISIBLE not in variables:
        return [str(i) for i in range(len(devices()))]
    visible: list[str] = []
    for name in (part.strip() for part in variables[_VISIBLE].split(",")):
        if not name or name.startswith("-"):
            break
        visible.append(name)
    return visible
