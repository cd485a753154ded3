"""The model's half of pruning: the kept rows of each video, and their positions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from vllm import __version__
from vllm.logger import init_logger

from stgraph.grid import TokenGrid
from stgraph.serving.mrope import counted, is_counted, placed, positions_in, prompt_positions, with_channels
from stgraph.serving.releases import standing
from stgraph.serving.settings import Settings
from stgraph.serving.vllm_models.processor import N_KEEP, N_TOKENS

# Methods that the mixin below replaces or calls in its host class.
HOOKS = ("_parse_and_validate_multimodal_inputs", "_process_image_input", "embed_multimodal")

logger = init_logger(f"vllm.{__name__}")


class Encoded(NamedTuple):
    """One image or video after the encoder.

    Attributes
    ----------
    rows : [N, d] tensor in raster order, followed by tokens that are always kept, if the family has any
    positions : [N, 3] int64, place of each row within the image or video, on the device of ``rows``
    grid : of a video; None for an image, which is never pruned
    """

    rows: Any
    positions: Any
    grid: TokenGrid | None = None


class Medium(NamedTuple):
    """One image or video in a prompt: its placeholders, its grid before pruning, and positions per time step."""

    offset: int
    length: int
    T: int
    H: int
    W: int
    factor: float


class PruningModel:
    """Mixin of a family's model. If the server's pruning rate is 0 or absent, everything is as in the base class."""

    # Members of vLLM's protocols SupportsMultiModalPruning and SupportsMRoPE. These are not inherited, since a
    # protocol's __init__ would come before the model's.
    supports_multimodal_pruning = True
    supported_video_pruning_methods = ("evs",)
    supports_mrope = True

    config: Any
    n_extra = 0  # tokens after a video's grid that always stay
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
        noise = noise.to(next(self.parameters()).device, vllm_config.model_config.dtype)  # type: ignore[attr-defined]
        exactness, self.renumbers = self.settings.warm_up(noise)
        logger.info(
            "stgraph: %s prunes videos, by default at rate %s; %s", name, multimodal.video_pruning_rate, exactness
        )

    @property
    def media_tokens(self) -> tuple[int, int]:
        """The placeholders of images and videos in a prompt."""
        return self.config.image_token_id, self.config.video_token_id

    def encoded(self, modality: str, given: Any) -> Iterator[Encoded]:
        """The images or videos of one call, encoded in full."""
        raise NotImplementedError

    def media(self, mm_features: Sequence[Any]) -> list[Medium]:
        """The images and videos of a prompt, in order."""
        raise NotImplementedError

    def starts(self, positions: Any, is_medium: Any) -> Any:
        """[3, n] int64: for each placeholder, the position at which its image or video begins."""
        raise NotImplementedError

    @property
    def _hidden_size(self) -> int:
        return int(self.config.get_text_config().hidden_size)

    def embed_multimodal(self, **kwargs: Any) -> Any:
        """The rows of each image and video; with pruning, with their positions appended."""
        counts, _ = kwargs.pop(N_KEEP, None), kwargs.pop(N_TOKENS, None)
        if not self.is_multimodal_pruning_enabled:
            return super().embed_multimodal(**kwargs)  # type: ignore[misc]
        n_keep = iter([] if counts is None else torch.as_tensor(counts).reshape(-1).tolist())
        inputs: Mapping[str, Any] = self._parse_and_validate_multimodal_inputs(**kwargs)  # type: ignore[attr-defined]
        return tuple(
            with_channels(one.rows, one.positions) if one.grid is None else self._pruned(one, one.grid, next(n_keep))
            for modality, given in inputs.items()
            for one in self.encoded(modality, given)
        )

    def _pruned(self, video: Encoded, grid: TokenGrid, n_keep: int) -> Any:
        n = grid.n_nodes
        kept, indices = self.settings.keep(video.rows[:n], grid, n_keep)
        rows = torch.cat([kept, video.rows[n:]])
        return with_channels(rows, torch.cat([video.positions[:n][indices], video.positions[n:]]))

    def get_mrope_input_positions(self, input_tokens: Any, mm_features: Any) -> tuple[Any, int]:
        """Positions of the prompt before its media are encoded; those of text are final."""
        if not self.is_multimodal_pruning_enabled:
            plain: tuple[Any, int] = super().get_mrope_input_positions(input_tokens, mm_features)  # type: ignore[misc]
            return plain
        media = self.media(sorted(mm_features, key=lambda feature: feature.mm_position.offset))
        if self.renumbers and any(one.length < one.T * one.H * one.W for one in media):
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
            image, video = self.media_tokens
            is_medium = (ids == image) | (ids == video)
            own = [positions_in(rows, d) for rows in multimodal_embeddings]
            starts = self.starts(positions[:, :n], is_medium)
            positions = placed(positions, is_medium, starts, own, num_computed_tokens)
        return [rows[:, :d] for rows in multimodal_embeddings], positions, int(positions[:, :n].max()) + 1 - n
