"""Videos for Hugging Face processors: sampled frames and their times."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError
from stgraph.video.file import VideoInfo, probe_video
from stgraph.video.frames import read_frames


@dataclass(frozen=True, eq=False)
class PromptVideo:
    """Sampled frames of a video and their metadata.

    Attributes
    ----------
    rgb : [T, h, w, 3] uint8; T as requested, or all frames if the video shows fewer
    times : [T] float64 seconds
    duration_s : of the whole video
    metadata : its entry of ``video_metadata=``; needed by processors that write timestamps into the prompt (Qwen3-VL,
        SmolVLM2, VideoLLaMA3) or scale positions by time (Qwen2.5-VL)
    """

    rgb: Array
    times: Array
    duration_s: float
    metadata: dict[str, Any]

    @property
    def instruction(self) -> str:
        """The sentence LLaVA-Video was trained with, which states the frames' times."""
        at = ",".join(f"{time:.2f}s" for time in self.times)
        return (
            f"The video lasts for {self.duration_s:.2f} seconds, and {len(self.times)} frames are uniformly sampled "
            f"from it. These frames are located at {at}.Please answer the following questions related to this video.\n"
        )


def prompt_video(path: str | os.PathLike[str], frames: int | None = 64, fps: float | None = None) -> PromptVideo:
    """The frames of a video for a prompt; pass them with ``do_sample_frames=False``.

    Parameters
    ----------
    frames : number of evenly spaced frames; each once if the video shows fewer. Processors of models with frame pairs
        (Qwen2-VL to Qwen3-VL) repeat the last of an odd number themselves
    fps : frames per second instead. With both, ``fps`` applies unless it gives more than ``frames``, as in LLaVA-Video

    Raises
    ------
    InputError
        ``path`` is not a path, or neither of the two is given; or see :func:`stgraph.video.frames.read_frames`
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"video is a {type(path).__name__}; expected the path of a file")
    info = probe_video(path)
    if fps is not None and (frames is None or info.duration_s * fps <= frames):
        sampled = read_frames(path, fps=fps, info=info)
    elif frames is not None:
        sampled = read_frames(path, n_frames=frames, info=info)
    else:
        raise InputError("frames and fps are both None; give at least one of them")
    metadata = video_metadata(info, sampled.times, sampled.size)
    return PromptVideo(sampled.rgb, sampled.times, info.duration_s, metadata)


def chat_text(processor: Any, messages: Sequence[Mapping[str, Any]]) -> str:
    """A chat as text for :func:`prompt_inputs`, up to the model's answer."""
    text: str = processor.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    return text


def prompt_inputs(
    processor: Any,
    texts: Sequence[str],
    videos: Sequence[tuple[Array, Mapping[str, Any]]] = (),
    images: Sequence[Any] = (),
    *,
    resize: bool = True,
    device: Any,
    dtype: Any,
) -> Any:
    """A Hugging Face processor's output for prompts and their videos, ready for the model.

    Parameters
    ----------
    texts : one per prompt; see :func:`chat_text`
    videos : (frames [T, h, w, 3] uint8, metadata) of each video, in the order of the prompts
    images : of all prompts, in order
    resize : False passes frames on in their own size
    device, dtype : of the model; only pictures are cast

    Returns
    -------
    a ``BatchFeature``, which unpacks into keyword arguments
    """
    given: dict[str, Any] = {"images": list(images)} if images else {}
    if videos:
        given["videos"] = [rgb for rgb, _ in videos]
        given["video_metadata"] = [dict(metadata) for _, metadata in videos]
        given["do_sample_frames"] = False  # they are already sampled
        given |= {} if resize else {"do_resize": False}
    if len(texts) > 1:
        given["padding"] = True
    made = processor(text=list(texts), return_tensors="pt", **given).to(device=device)
    exact = {name: value for name, value in made.items() if not name.startswith("pixel_values")}
    made = made.to(dtype=dtype)
    made.update(exact)  # seconds per step (Qwen2.5-VL) would give other positions in 16 bits
    return made


def video_metadata(info: VideoInfo, times: Array, size: tuple[int, int]) -> dict[str, Any]:
    """The entry of ``video_metadata=`` of Hugging Face processors for frames at ``times`` ([T] float64, seconds) of
    ``size`` (height, width)."""
    indices = np.minimum(np.rint(times * info.fps).astype(int), info.n_frames - 1)
    return {
        "total_num_frames": info.n_frames,
        "fps": info.fps,
        "duration": info.duration_s,
        "height": size[0],
        "width": size[1],
        "frames_indices": indices.tolist(),
        "video_backend": "pyav",
    }
