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
    from stgraph.kernels.gpu import (
        centrality,
        components,
        differences,
        kept,
        lattice,
        leiden_rounds,
        neighbours,
        plain_read,
        sums,
        top,
        tree_split,
    )

    shape = (16, 14, 14)  # large enough for groups in blocks
    x = torch.zeros(*shape, 3584, dtype=torch.bfloat16)
    n = 16 * 14 * 14
    node = torch.arange(n, dtype=torch.int32)
    weights, norms, _ = neighbours.issue(x)
    plain_read.plain_read(x)
    starts, counts = torch.tensor([0, 1, n]), torch.tensor([1, 1])
    centrality.group_centrality(x, norms, node, starts)
    top.top_of_groups(norms.reshape(-1).float(), node, starts, counts)
    top.seat_scores(norms.reshape(-1).float(), node, starts)
    components.connected_components(n, node[:-1], node[1:])
    lattice.components(weights, 0.8, (True, True, True))
    # What the kernels would have found cannot be used: memory that was not written holds any number.
    components.canonical_labels(torch.zeros(n, dtype=torch.int32))
    tree_split.split_lattice(weights, 0.8, (True, True, True), torch.zeros(n, dtype=torch.int32), 56)
    components.group_members(node, n)
    differences.below(weights[2, :-1], 0.2)
    differences.differences(weights[2, :-1])
    differences.beyond(weights[2, :-1], differences.percentile(weights[2, :-1], 95)[0])
    mask, sizes = torch.ones(n, dtype=torch.bool), torch.ones(n, dtype=torch.int64)
    for first in (None, mask):
        top.top_of_mask(norms.reshape(-1).float(), mask, 5, first)
    kept.kept_tokens(mask, mask, mask, norms.reshape(-1), 5)
    kept.tally((mask,) * 4, node, starts, sizes, 56)
    one, ends = torch.ones(n, dtype=torch.float64), torch.zeros(n + 1, dtype=torch.int64)
    sums.segment_sums(one, ends)
    level = leiden_rounds.Level(ends, node.long(), node.long(), one, one, node.long())
    leiden_rounds.group_sums = lambda value, labels, n_groups: value  # it reads what kernels would have written
    for within in (None, node):
        leiden_rounds.Search(level, node, 0.05, n, within).round()
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))))
