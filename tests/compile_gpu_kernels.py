"""Compile every Triton kernel for a GPU that need not be there, and write down sizes; for test_gpu_compile.py.

Arguments: compute capability (80, 90, ...). The wrappers run on tensors in host memory; launches stop after ptxas.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction


class NoDevice:
    """What the compiler asks a driver."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: Any = None) -> int:
        return 0


def main(capability: int) -> dict[str, int]:
    """Kernel -> bytes of machine code."""
    driver.set_active(NoDevice(capability))
    launch, found = JITFunction.run, {}

    def compile_only(kernel: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        compiled = launch(kernel, *args, grid=grid, warmup=True, **options)
        found[kernel.fn.__name__] = len(compiled.asm["cubin"])
        return compiled

    JITFunction.run = compile_only
    from stgraph.kernels.gpu import centrality, components, neighbours, plain_read, tree_split

    x = torch.zeros(2, 14, 14, 3584, dtype=torch.bfloat16)
    n = 2 * 14 * 14
    node = torch.arange(n, dtype=torch.int32)
    _, norms, _ = neighbours.issue(x)
    plain_read.plain_read(x)
    starts = torch.tensor([0, 1, n])
    centrality.group_centrality(x, norms, node, starts)
    # What the kernels would have found cannot be used; the wrapper of the last one gets it made up.
    components.component_roots(n, node[:-1], node[1:])
    tree_split.component_roots = lambda n, src, dst: torch.zeros_like(node)
    tree_split.roots = lambda parent: parent
    tree_split.split_trees(node[:-1], node[1:], torch.zeros_like(node), torch.tensor([n]), 19)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))))
