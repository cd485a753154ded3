"""Prompts and frames for LLaVA-Video and NVILA: LlavaOnevision's processor with their number of placeholders."""

from __future__ import annotations

from typing import Any

import transformers
from transformers import LlavaOnevisionProcessor

OLD = int(transformers.__version__.split(".")[0]) < 5
_KEPT = "\N{REPLACEMENT CHARACTER}"  # stands for a placeholder that has been dealt with


class VideoTokensProcessor(LlavaOnevisionProcessor):
    """LlavaOnevision's processor, except for the number of placeholders of a video.

    Parameters
    ----------
    frame_tokens : (rows, columns) of a frame's tokens, after pooling
    newlines : places of newline tokens: "grid" (after each row), "frame", "one_token" (after the video), "no_token"
    frames_a_group : number of frames that share tokens
    takes_images : whether prompts may hold images
    **rest : of ``LlavaOnevisionProcessor``
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        video_processor: Any = None,
        num_image_tokens: Any = None,
        vision_feature_select_strategy: Any = None,
        chat_template: Any = None,
        image_token: str = "<image>",
        video_token: str = "<video>",
        vision_aspect_ratio: str = "anyres_max_9",
        frame_tokens: Any = (14, 14),
        newlines: str = "grid",
        frames_a_group: int = 1,
        takes_images: bool = True,
        **rest: Any,
    ) -> None:
        self.frame_tokens = tuple(frame_tokens)
        self.newlines = newlines
        self.frames_a_group = frames_a_group
        self.takes_images = takes_images
        super().__init__(
            image_processor,
            tokenizer,
            video_processor,
            num_image_tokens=num_image_tokens,
            vision_feature_select_strategy=vision_feature_select_strategy,
            chat_template=chat_template,
            image_token=image_token,
            video_token=video_token,
            vision_aspect_ratio=vision_aspect_ratio,
            **rest,
        )

    def tokens_of(self, n_frames: int) -> int:
        """Number of placeholders of a video."""
        groups, rest = divmod(n_frames, self.frames_a_group)
        if rest:
            raise ValueError(
                f"a video has {n_frames} frames, which this model averages {self.frames_a_group} at a time; give a "
                f"multiple of {self.frames_a_group}"
            )
        H, W = map(int, self.frame_tokens)
        newlines = {"grid": groups * H, "frame": groups, "one_token": 1, "no_token": 0}[self.newlines]
        return groups * H * W + newlines

    def replace_video_token(self, video_inputs: Any, video_idx: int, **kwargs: Any) -> str:
        """The placeholders of a video, in transformers 5's form."""
        return str(self.video_token) * self.tokens_of(len(video_inputs["pixel_values_videos"][video_idx]))

    def __call__(
        self, images: Any = None, text: Any = None, audio: Any = None, videos: Any = None, **given: Any
    ) -> Any:
        """Like the parent's, but images are refused if the model does not take them."""
        if images is not None and not self.takes_images:
            raise ValueError("this checkpoint's images are not read here; pass videos alone")
        if not OLD or videos is None:
            more = {} if audio is None else {"audio": audio}
            return super().__call__(images=images, text=text, videos=videos, **more, **given)
        from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessorKwargs

        init = self.tokenizer.init_kwargs
        merged = self._merge_kwargs(LlavaOnevisionProcessorKwargs, tokenizer_init_kwargs=init, **given)
        encoded = self.video_processor(videos, **merged["videos_kwargs"])
        counts = iter([self.tokens_of(len(video)) for video in encoded["pixel_values_videos"]])
        texts = [self._filled(one, counts) for one in ([text] if isinstance(text, str) else text)]
        made = super().__call__(images=images, text=texts, **given)
        made.update(encoded)
        return made.convert_to_tensors(given.get("return_tensors"))

    def _filled(self, text: str, counts: Any) -> str:
        """The text with one placeholder per token of each video."""
        while self.video_token in text:
            text = text.replace(self.video_token, _KEPT * next(counts), 1)
        return text.replace(_KEPT, self.video_token)
