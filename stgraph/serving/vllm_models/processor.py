"""The processor's half of pruning: one placeholder per token the selector will keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.processing import PromptReplacement

from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.serving.settings import Settings, check_rate

# Sent with a video from the processor to the model, even if the video is cached and its pixels are not sent: the
# number of tokens of its grid that are kept, so that both use the same count, and its total number of tokens.
N_KEEP = "stgraph_n_keep"
N_TOKENS = "stgraph_n_tokens"
RATE = "video_pruning_rate"  # in mm_processor_kwargs, the budget of one request

# Methods that the mixin below replaces or calls in its host class.
PROCESSOR_HOOKS = ("_apply_hf_processor_main", "_get_mm_fields_config", "_get_prompt_updates")


class PruningProcessor:
    """Mixin of a family's processor; the family provides the videos' grids."""

    info: Any
    n_extra = 0  # tokens after a video's grid that always stay

    def grids(self, processed: Mapping[str, Any]) -> list[TokenGrid]:
        """The grid of each video among a processor's outputs."""
        raise NotImplementedError

    def _apply_hf_processor_main(self, mm_items: Any, hf_kwargs: Mapping[str, object]) -> Any:
        rate = self._rate(hf_kwargs)
        processed = super()._apply_hf_processor_main(mm_items, _without_rate(hf_kwargs))  # type: ignore[misc]
        if rate is not None and (grids := self.grids(processed)):
            settings = Settings.of(getattr(self.info.get_hf_config(), "stgraph", None))
            processed[N_KEEP] = torch.tensor([settings.n_keep(grid, rate) for grid in grids])
            processed[N_TOKENS] = torch.tensor([grid.n_nodes + self.n_extra for grid in grids])
        return processed

    def _rate(self, hf_processor_mm_kwargs: Mapping[str, object]) -> float | None:
        """The rate of this request: its own or the server's; None if the server does not prune."""
        default = self.info.ctx.get_mm_config().video_pruning_rate
        if not default:
            if RATE in hf_processor_mm_kwargs:
                raise InputError(
                    f"the request has a {RATE}, but the server was started without one; start it with a rate above 0"
                )
            return None
        return check_rate(hf_processor_mm_kwargs.get(RATE, default))

    def _get_mm_fields_config(
        self, hf_inputs: Any, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        fields = dict(super()._get_mm_fields_config(hf_inputs, hf_processor_mm_kwargs))  # type: ignore[misc]
        for name in (N_KEEP, N_TOKENS):
            if name in hf_inputs:
                fields[name] = MultiModalFieldConfig.batched("video", keep_on_cpu=True)
        return fields

    def _get_prompt_updates(
        self, mm_items: Any, hf_processor_mm_kwargs: Mapping[str, Any], out_mm_kwargs: Any
    ) -> Sequence[Any]:
        kwargs = _without_rate(hf_processor_mm_kwargs)
        updates = super()._get_prompt_updates(mm_items, kwargs, out_mm_kwargs)  # type: ignore[misc]
        if self._rate(hf_processor_mm_kwargs) is None:
            return list(updates)

        def placeholders(item_idx: int, token: int) -> list[int]:
            return [token] * (int(out_mm_kwargs["video"][item_idx][N_KEEP].data) + self.n_extra)

        return [
            PromptReplacement("video", u.target, partial(placeholders, token=u.target[0]))
            if u.modality == "video"
            else u
            for u in updates
        ]


def _without_rate(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name != RATE}
