"""Agreement of a stream with the whole clip's selection: ``python -m stgraph.bench.reliability.stream_agreement``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import stgraph
from stgraph.bench.fidelity import jaccard
from stgraph.selection.st_simdiff.parts import join_selections

Row = dict[str, Any]


def agreement_rows(
    tokens: stgraph.VideoTokens, ratio: float, windows: Sequence[int], overlaps: Sequence[int]
) -> Iterator[Row]:
    """For each window and overlap: the Jaccard overlap of the kept tokens with the offline selection's."""
    offline = stgraph.selector("st-simdiff", retain_ratio=ratio).select(tokens).mask
    for window in windows:
        for overlap in overlaps:
            if overlap < window:
                stream = stgraph.stream(0.8, ratio, window, overlap=overlap)
                pushed = [stream.push(frame) for frame in tokens.lattice]
                whole = join_selections([part for part in [*pushed, stream.finish()] if part is not None])
                yield {
                    "ratio": ratio,
                    "window": window,
                    "overlap": overlap,
                    "jaccard": round(jaccard(whole.mask.reshape(-1), offline.reshape(-1)), 4),
                    "same_count": len(whole) == int(np.count_nonzero(offline)),
                }


def main() -> None:
    tokens = stgraph.sample()
    for ratio in (0.1, 0.3):
        for row in agreement_rows(tokens, ratio, (4, 8, 16, 32, tokens.grid.T), (1, 4)):
            sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
