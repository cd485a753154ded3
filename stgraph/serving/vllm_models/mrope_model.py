"""What the plugin's models with rotary positions (M-RoPE) share: count, mask and positions, all in stgraph's hands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from vllm import __version__
from vllm.logger import init_logger
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.processing import PromptReplacement

from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.serving.mrope import (
    counted,
    is_counted,
    own_positions,
    placed,
    positions_in,
    prompt_positions,
    with_channels,
)
from stgraph.serving.releases import standing
from stgraph.serving.settings import Settings, check_rate

N_KEEP = "stgraph_n_keep"  # travels with the video from the processor to the model: both have one count
RATE = "video_pruning_rate"  # in mm_processor_kwargs, the budget of one request

# What the mixins below replace or call in the classes they are mixed into.
PROCESSOR_HOOKS = (
    "_call_hf_processor",
    "_postprocess_hf_mm_data",
    "_get_mm_fields_config",
    "_get_prompt_updates",
)
HOOKS = (
    "_parse_and_validate_multimodal_inputs",
    "_process_image_input",
    "_process_video_input",
    "embed_multimodal",
    "get_encoder_cudagraph_config",
    "get_mrope_input_positions",
    "iter_mm_grid_thw",
)

logger = init_logger(f"vllm.{__name__}")


class PruningProcessor:
    """Mixin of a Qwen-VL processor: as many placeholders per video as the selector will keep."""

    info: Any

    def _call_hf_processor(self, hf_data: Mapping[str, object], hf_kwargs: Mapping[str, object]) -> Any:
        return super()._call_hf_processor(hf_data, _without_rate(hf_kwargs))  # type: ignore[misc]

    def _postprocess_hf_mm_data(
        self, mm_inputs: Mapping[str, object], hf_processor_mm_kwargs: Mapping[str, object], processed_data: Any
    ) -> Any:
        data = super()._postprocess_hf_mm_data(mm_inputs, hf_processor_mm_kwargs, processed_data)  # type: ignore[misc]
        rate = self._rate(hf_processor_mm_kwargs)
        if rate is not None and "video_grid_thw" in data:
            config = self.info.get_hf_config()
            settings, merge = Settings.of(getattr(config, "stgraph", None)), config.vision_config.spatial_merge_size
            grids = [
                TokenGrid(T, H // merge, W // merge) for T, H, W in torch.as_tensor(data["video_grid_thw"]).tolist()
            ]
            data[N_KEEP] = torch.tensor([settings.n_keep(grid, rate) for grid in grids])
        return data

    def _rate(self, hf_processor_mm_kwargs: Mapping[str, object]) -> float | None:
        """The rate of this request: its own or the server's; None where the server does not prune."""
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
        if N_KEEP in hf_inputs:
            fields[N_KEEP] = MultiModalFieldConfig.batched("video", keep_on_cpu=True)
        return fields

    def _get_prompt_updates(
        self, mm_items: Any, hf_processor_mm_kwargs: Mapping[str, Any], out_mm_kwargs: Any
    ) -> Sequence[Any]:
        kwargs = _without_rate(hf_processor_mm_kwargs)
        updates = super()._get_prompt_updates(mm_items, kwargs, out_mm_kwargs)  # type: ignore[misc]
        if self._rate(hf_processor_mm_kwargs) is None:
            return list(updates)

        def placeholders(item_idx: int, token: int) -> list[int]:
            return [token] * int(out_mm_kwargs["video"][item_idx][N_KEEP].data)

        return [
            PromptReplacement("video", u.target, partial(placeholders, token=u.target[0]))
            if u.modality == "video"
            else u
            for u in updates
        ]


def _without_rate(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name != RATE}


class PruningModel:
    """Mixin of a Qwen-VL model. Where the server's pruning rate is 0 or absent, everything is as in the base."""

    # What vLLM's protocol SupportsMultiModalPruning asks for. It is not inherited: a protocol's __init__ would come
    # before the model's.
    supports_multimodal_pruning = True
    supported_video_pruning_methods = ("evs",)

    config: Any
    visual: Any
    renumbers = False

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        if note := standing(__version__):
            logger.warning("stgraph: %s", note)
        self.settings = Settings.of(getattr(vllm_config.model_config.hf_config, "stgraph", None))  # before the weights
        multimodal = vllm_config.model_config.get_multimodal_config()
        super().__init__(vllm_config=vllm_config, prefix=prefix)  # type: ignore[call-arg]
        self.is_multimodal_pruning_enabled = multimodal.is_multimodal_pruning_enabled()
        name = self.settings.selector.name
        if not self.is_multimodal_pruning_enabled:
            logger.warning("stgraph: %s is asked for, but nothing is pruned: --video-pruning-rate is 0", name)
            return
        rows, d = self.settings.n_warm_up, self._hidden_size
        # Named devices: vLLM builds models with its accelerator as the default one.
        noise = torch.randn(rows, d, generator=torch.Generator("cpu").manual_seed(0), dtype=torch.float32, device="cpu")
        noise = noise.to(self.visual.device, vllm_config.model_config.dtype)
        exactness, self.renumbers = self.settings.warm_up(noise)
        logger.info(
            "stgraph: %s prunes videos, by default at rate %s; %s", name, multimodal.video_pruning_rate, exactness
        )

    @property
    def _hidden_size(self) -> int:
        return int(self.config.get_text_config().hidden_size)

    def embed_multimodal(self, **kwargs: Any) -> Any:
        """The rows of each image and video; with pruning, each with its positions behind it."""
        n_keep = kwargs.pop(N_KEEP, None)
        if not self.is_multimodal_pruning_enabled:
            return super().embed_multimodal(**kwargs)  # type: ignore[misc]
        out: tuple[Any, ...] = ()
        for modality, given in self._parse_and_validate_multimodal_inputs(**kwargs).items():  # type: ignore[attr-defined]
            if modality.startswith("image"):
                rows = self._process_image_input(given)  # type: ignore[attr-defined]
                sizes = given["image_grid_thw"].tolist()
                out += tuple(with_channels(*self._whole(*one)) for one in zip(rows, sizes, strict=True))
            else:
                out += self._pruned(given, n_keep)
        return out

    def _grid(self, size: Sequence[int]) -> TokenGrid:
        merge = self.visual.spatial_merge_size
        return TokenGrid(size[0], size[1] // merge, size[2] // merge)

    def _whole(self, rows: Any, size: Sequence[int]) -> tuple[Any, Any]:
        return rows, own_positions(*self._grid(size).shape, 1.0)

    def _pruned(self, given: Any, n_keep: Any) -> tuple[Any, ...]:
        sizes = given["video_grid_thw"].tolist()
        rows = self._process_video_input(given)  # type: ignore[attr-defined]
        per_second = getattr(self.config.vision_config, "tokens_per_second", 1.0)
        seconds = given.get("second_per_grid_ts")
        factors = [1.0] * len(sizes) if seconds is None else [float(s) for s in torch.as_tensor(seconds).reshape(-1)]
        counts = [int(n) for n in torch.as_tensor(n_keep).reshape(-1)]
        out = []
        for x, size, factor, n in zip(rows, sizes, factors, counts, strict=True):
            grid = self._grid(size)
            kept, indices = self.settings.keep(x, grid, n)
            at = own_positions(*grid.shape, per_second * factor)
            out.append(with_channels(kept, at[indices.cpu()]))
        return tuple(out)

    def get_mrope_input_positions(self, input_tokens: Any, mm_features: Any) -> tuple[Any, int]:
        """Positions of the prompt before its media are encoded; text has its final ones."""
        if not self.is_multimodal_pruning_enabled:
            plain: tuple[Any, int] = super().get_mrope_input_positions(input_tokens, mm_features)  # type: ignore[misc]
            return plain
        ordered = sorted(mm_features, key=lambda feature: feature.mm_position.offset)
        grids = self.iter_mm_grid_thw(mm_features)  # type: ignore[attr-defined]
        media = [(g[0], f.mm_position.length, *g[1:]) for f, g in zip(ordered, grids, strict=True)]
        if self.renumbers and any(length < T * H * W for _, length, T, H, W, _ in media):
            return counted(len(input_tokens)), 0
        return prompt_positions(len(input_tokens), media)

    def recompute_mrope_positions(
        self, input_ids: Any, multimodal_embeddings: Sequence[Any], mrope_positions: Any, num_computed_tokens: int
    ) -> tuple[Sequence[Any], Any, int]:
        """The rows without channels, and the prompt's positions with those the channels held."""
        d, n = self._hidden_size, len(input_ids)
        positions = mrope_positions
        if len(multimodal_embeddings) and not (self.renumbers and is_counted(positions[:, :n])):
            ids = torch.as_tensor(input_ids, device=positions.device)
            is_medium = (ids == self.config.video_token_id) | (ids == self.config.image_token_id)
            own = [positions_in(rows, d) for rows in multimodal_embeddings]
            positions = placed(positions, is_medium, own, num_computed_tokens)
        return [rows[:, :d] for rows in multimodal_embeddings], positions, int(positions[:, :n].max()) + 1 - n

    def get_encoder_cudagraph_config(self) -> Any:
        """CUDA graphs of the encoder bypass :meth:`embed_multimodal`: no modality has them while videos are pruned."""
        found = super().get_encoder_cudagraph_config()  # type: ignore[misc]
        return replace(found, modalities=[]) if self.is_multimodal_pruning_enabled else found
