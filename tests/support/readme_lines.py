"""The README's lines for a VLM."""

from __future__ import annotations

import re
from pathlib import Path

from vlm_models import FRAMES

README = Path(__file__).resolve().parents[2] / "README.md"


def readme_lines(checkpoint: Path, clip: Path) -> str:
    """The block under "In a VLM", with the checkpoint and the clip of the test."""
    section = README.read_text(encoding="utf-8").partition("## In a VLM\n")[2]
    code = re.search(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert code is not None
    lines = code[1].replace("clip.mp4", str(clip)).replace("frames=64", f"frames={FRAMES}")
    return re.sub(r'^name = ".*"$', f"name = {str(checkpoint)!r}", lines, flags=re.MULTILINE)
