"""The README's lines for a VLM, run as they stand on a tiny checkpoint that is saved to disk and loaded by its path."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torchvision_on_cpu
from lmms_eval_offline import save_checkpoint, save_clip
from readme_lines import README, readme_lines
from vlm_models import FRAMES, VIDEO, noise, onevision_model, row_of, torch, transformers

torchvision_on_cpu.define_operators()

pytestmark = pytest.mark.skipif(not README.exists(), reason="README.md is not here: not a checkout")


class HandMade:
    """Stands for a processor, most of which need torchvision: the same calls, noise for pixels, numbers for words."""

    def apply_chat_template(self, chat: Any, **options: Any) -> str:
        return str(chat[0]["content"][1]["text"])

    def __call__(self, text: str, videos: list[Any], return_tensors: str, **options: Any) -> Any:
        (rgb,) = videos
        ids = torch.tensor([row_of([[VIDEO] * (len(rgb) * 9 + 1)], 0)])
        pixels = noise(1, len(rgb), 3, 48, 48)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values_videos": pixels}
        return transformers.BatchFeature(inputs)

    def batch_decode(self, ids: Any, **options: Any) -> list[str]:
        return [" ".join(map(str, row)) for row in ids.tolist()]


def save_without_processor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model alone."""
    onevision_model().save_pretrained(folder)
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", lambda name: HandMade())


def save_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Model, processor and tokenizer."""
    if find_spec("torchvision") is None or find_spec("PIL") is None:
        pytest.skip("needs torchvision and Pillow: transformers prepares video with them")
    save_checkpoint(folder)


@pytest.mark.parametrize("save", [save_without_processor, save_all])
def test_the_lines_of_the_readme(
    save: Callable[[Path, pytest.MonkeyPatch], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("av", reason="needs PyAV: pip install -e '.[video]'")
    clip = tmp_path / "clip.mp4"
    save_clip(clip, (220, 30, 30))
    save(tmp_path / "checkpoint", monkeypatch)
    names: dict[str, Any] = {}
    exec(compile(readme_lines(tmp_path / "checkpoint", clip), str(README), "exec"), names)
    (video,) = names["stats"].videos
    T, H, W = video.grid
    assert (T, video.n_visual) == (FRAMES, T * H * W)
    assert video.n_kept == -(-3 * video.n_visual // 10)
    assert video.exactness == "exact"
    assert str(names["stats"]) in capsys.readouterr().out
    assert len(names["model"]._forward_pre_hooks) == 0
