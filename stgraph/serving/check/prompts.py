"""Prompts of the check, made from seeds and described by plain values, so that every process makes the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

PLACEHOLDER = {"video": "<|video_pad|>", "image": "<|image_pad|>"}


@dataclass(frozen=True)
class Medium:
    """An image or video of moving noise, with a cut in the middle; sides are multiples of 28 pixels.

    Attributes
    ----------
    kind : "image" or "video"
    T, H, W : frames and pixels
    """

    kind: str = "video"
    T: int = 8
    H: int = 112
    W: int = 112
    seed: int = 0
    fps: float = 2.0

    def frames(self) -> np.ndarray[Any, Any]:
        """[T, H, W, 3] uint8."""
        random = np.random.default_rng(self.seed)
        base = random.integers(0, 255, (self.H, self.W, 3), dtype=np.uint8)
        frames = np.stack([np.roll(base, 3 * t, axis=1) for t in range(self.T)])
        frames[(self.T + 1) // 2 :] = random.integers(0, 255, (self.H, self.W, 3), dtype=np.uint8)
        return frames

    def metadata(self) -> dict[str, Any]:
        """vLLM's metadata for the frames of a video."""
        return {
            "fps": self.fps,
            "duration": self.T / self.fps,
            "total_num_frames": self.T,
            "frames_indices": list(range(self.T)),
            "video_backend": "opencv",
            "do_sample_frames": False,
        }


@dataclass(frozen=True)
class Prompt:
    """A request: media and text in order, and its own rate, if any."""

    parts: tuple[Medium | str, ...] = (Medium(),)
    question: str = "What happens?"
    rate: float | None = None

    def media(self, kind: str) -> list[Medium]:
        """Its images or videos, in order."""
        return [part for part in self.parts if isinstance(part, Medium) and part.kind == kind]

    def text(self, marked: bool) -> str:
        """The prompt, with one placeholder per medium, between marks or not."""
        before, after = ("<|vision_start|>", "<|vision_end|>") if marked else ("", "")
        shown = "".join(
            part if isinstance(part, str) else before + PLACEHOLDER[part.kind] + after for part in self.parts
        )
        return f"<|im_start|>user\n{shown}{self.question}<|im_end|>\n<|im_start|>assistant\n"

    def for_engine(self, marked: bool, metadata: bool) -> dict[str, Any]:
        """The request for ``LLM.generate``."""
        out: dict[str, Any] = {"prompt": self.text(marked)}
        if any(isinstance(part, Medium) for part in self.parts):
            out["multi_modal_data"] = data = {}
            if videos := self.media("video"):
                data["video"] = [(v.frames(), v.metadata()) if metadata else v.frames() for v in videos]
            if images := self.media("image"):
                from PIL import Image

                data["image"] = [Image.fromarray(image.frames()[0]) for image in images]
        if self.rate is not None:
            out["mm_processor_kwargs"] = {"video_pruning_rate": self.rate}
        return out

    def plain(self) -> dict[str, Any]:
        """The prompt as JSON values; :func:`from_plain` reads them back."""
        parts = [part if isinstance(part, str) else asdict(part) for part in self.parts]
        return {"parts": parts, "question": self.question, "rate": self.rate}


def from_plain(values: dict[str, Any]) -> Prompt:
    """The prompt that :meth:`Prompt.plain` wrote."""
    parts: Sequence[Any] = values["parts"]
    return Prompt(
        tuple(part if isinstance(part, str) else Medium(**part) for part in parts), values["question"], values["rate"]
    )


def image(seed: int = 5) -> Medium:
    """An image of 4 x 3 tokens."""
    return Medium("image", 1, 112, 84, seed)


PROMPTS = {
    "one video": Prompt(),
    "another question": Prompt(question="And then?"),
    "64 frames": Prompt((Medium(T=64, H=56, W=84, seed=3),)),
    "80 frames": Prompt((Medium(T=80, H=56, W=84, seed=3),)),
    "80 frames, another question": Prompt((Medium(T=80, H=56, W=84, seed=3),), "And then?"),
    "1 frame": Prompt((Medium(T=1, seed=4),)),
    "2 frames": Prompt((Medium(T=2, seed=4),)),
    "1.5 fps": Prompt((Medium(T=16, seed=6, fps=1.5),)),
    "two videos": Prompt((Medium(seed=1), " and ", Medium(T=12, H=84, W=140, seed=2))),
    "three videos": Prompt((Medium(seed=1), Medium(T=2, seed=2), Medium(T=20, seed=3))),
    "image, video": Prompt((image(), Medium(seed=1))),
    "video, image": Prompt((Medium(seed=1), "x", image())),
    "text": Prompt(()),
}
# Square, with no more steps than rows: only there do vLLM and Hugging Face agree where text goes on after a video.
PARITY = {
    "square": Prompt((Medium(H=224, W=224, seed=11),)),
    "two squares": Prompt((Medium(H=224, W=224, seed=12), " and ", Medium(H=224, W=224, seed=13))),
}
RATES = {f"rate {rate:g}": Prompt((Medium(T=16, seed=6),), rate=rate) for rate in (0.0, 0.5, 0.9)}
