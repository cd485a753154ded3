"""Every method of the paper's tables 1 and 2 runs in every family whose model gives what it reads, at its place."""

from __future__ import annotations

from typing import Any

import pytest
from encoder_oracle import FAMILIES as TOWERS
from vlm_models import Case, torch
from vlm_more_models import ALL

import stgraph
from stgraph.errors import MissingSignalError

CLS = {"llava_next_video", "internvl"}  # towers with a CLS token
METHODS: dict[str, tuple[str, dict[str, Any], list[int]]] = {  # the selector, and the layers from which tokens are gone
    "FastV": ("fastv", {"n_layers": 4}, [2]),
    "PruMerge": ("prumerge", {}, [0]),
    "FasterVLM": ("fastervlm", {}, [0]),
    "VisionZip": ("visionzip", {}, [0]),
    "FrameFusion": ("framefusion-attention", {"n_layers": 4, "tau": 0.9}, [1]),
    "ST-SimDiff": ("st-simdiff", {}, [0]),
}


@torch.no_grad()
def run(case: Case, name: str, **how: Any) -> Any:
    with stgraph.compress(case.model, stgraph.selector(name, retain_ratio=0.3, **how)) as stats:
        case.model(**case.inputs)
    return stats.videos


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ALL)
def test_runs_where_its_authors_put_it(family: str, method: str) -> None:
    case, (name, how, layers) = ALL[family](2), METHODS[method]
    reads_tower = method in ("PruMerge", "FasterVLM", "VisionZip")
    if reads_tower and family not in CLS:
        with pytest.raises(MissingSignalError):
            run(case, name)
        if family not in TOWERS:
            return
        how = {"attention": "received"}
    for video in run(case, name, **how):
        kept = -(-3 * video.n_visual // 10)
        assert video.n_kept == kept == video.account.per_layer[layers[0]]
        if layers != [0]:
            assert video.account.per_layer[layers[0] - 1] > kept
