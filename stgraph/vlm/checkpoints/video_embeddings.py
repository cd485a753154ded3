"""LlavaOnevision with its own video embeddings, the same on transformers 4 and 5.

This file, like the ``modeling_`` and ``processing_`` files beside it, needs only transformers and torch: a converted
checkpoint carries a copy of it.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import LlavaOnevisionForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.llava_onevision.modeling_llava_onevision import LlavaOnevisionModel

OLD = int(transformers.__version__.split(".")[0]) < 5


class VideoEmbeddingsModel(LlavaOnevisionModel):
    """A base model whose subclasses define the embeddings of a video, in :meth:`video_embeddings`."""

    def video_embeddings(self, pixel_values_videos: Any) -> Any:
        """[B, n, d], newlines included, of [B, T, 3, h, w]."""
        raise NotImplementedError

    def get_video_features(self, pixel_values_videos: Any, **kwargs: Any) -> Any:
        """The embeddings of :meth:`video_embeddings`, as this version of transformers returns them."""
        features = self.video_embeddings(pixel_values_videos)
        if OLD:
            return features
        return BaseModelOutputWithPooling(last_hidden_state=features, pooler_output=features)

    def forward(self, input_ids: Any = None, pixel_values_videos: Any = None, **kwargs: Any) -> Any:
        """Like the parent's, which on transformers 4 adds a newline to every video."""
        if OLD and pixel_values_videos is not None:
            embeds = kwargs.pop("inputs_embeds", None)
            embeds = self.get_input_embeddings()(input_ids) if embeds is None else embeds
            features = self.get_video_features(pixel_values_videos).flatten(0, 1).to(embeds)
            _, mask = self.get_placeholder_mask(input_ids, inputs_embeds=embeds, video_features=features)
            embeds = embeds.masked_scatter(mask, features)
            return super().forward(input_ids=None, inputs_embeds=embeds, **kwargs)
        return super().forward(input_ids=input_ids, pixel_values_videos=pixel_values_videos, **kwargs)


class VideoEmbeddingsForConditionalGeneration(LlavaOnevisionForConditionalGeneration):
    """The whole model around a :class:`VideoEmbeddingsModel`."""

    base_class: type[VideoEmbeddingsModel] = VideoEmbeddingsModel

    def __init__(self, config: Any) -> None:
        super(LlavaOnevisionForConditionalGeneration, self).__init__(config)
        self.model = self.base_class(config)
        self.lm_head = torch.nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()
