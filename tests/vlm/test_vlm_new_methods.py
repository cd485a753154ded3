"""Merging and clustering methods of several signals, in a running model beside the same selection from its tokens."""

from __future__ import annotations

import numpy as np
import pytest
from vlm_models import CASES, torch

import stgraph
from stgraph.vlm.model_tokens import model_tokens


@pytest.mark.parametrize("name", ["flashvid", "prunevid", "tome", "divprune", "cdpruner"])
def test_a_running_model_keeps_what_its_dump_would(name: str) -> None:
    case = CASES["llava_onevision"](1)
    chosen = stgraph.selector(name, retain_ratio=0.4)
    found = model_tokens(case.model, case.inputs, sorted(chosen.requires & {"enc_recv_attn", "text_embeds"}))
    tokens = stgraph.VideoTokens(found.features, found.grid, {**found.signals, **found.query}, found.metadata)
    expected = chosen.select(tokens)
    with torch.no_grad(), stgraph.compress(case.model, chosen) as stats:
        case.model(**case.inputs)
    (record,) = stats.videos
    assert np.array_equal(record.nodes, expected.nodes)
    assert (record.kind, record.exactness) == (expected.kind, expected.exactness)
