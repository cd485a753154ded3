"""The same selection on any number of threads; for tests with the fixture ``threads``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stgraph import Selection, VideoTokens, set_num_threads
from stgraph.bench.synthetic import synthetic_signals, synthetic_tokens


def check_any_number(select: Callable[[VideoTokens], Selection], dtype: Any, T: int) -> None:
    """A synthetic video of T frames, which ``select`` merges, gives the same bits in ``dtype`` on 1 and 3 threads."""
    tokens = synthetic_signals(VideoTokens.from_array(synthetic_tokens(T, 4, 6, 33).astype(dtype)))
    results = []
    for n_threads in (1, 3):
        set_num_threads(n_threads)
        results.append(select(tokens))
    one, three = results
    assert one.features is not None and three.features is not None
    assert one.features.dtype == dtype
    np.testing.assert_array_equal(one.indices, three.indices)
    np.testing.assert_array_equal(one.features, three.features)
