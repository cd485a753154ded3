"""Table of selectors in docs/methods.md and which compute on a GPU in docs/gpu.md; ``PYTHONPATH=. python
tests/support/selectors_in_docs.py`` makes both anew."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import wrap

from stgraph.selection.catalogue import catalogue
from stgraph.viz.catalogue import markdown

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
GPU_PAGE = PAGE.with_name("gpu.md")
_BETWEEN = re.compile(r"(<!-- selectors -->\n\n)(.*?)(<!-- end -->)", re.DOTALL)


def written_anew(text: str) -> str:
    """The page with the table as the classes have it."""
    table = markdown([description.to_dict() for description in catalogue()])
    return _BETWEEN.sub(lambda found: f"{found[1]}{table}\n\n{found[3]}", text)


def gpu_page_anew(text: str) -> str:
    """The page with the selectors that compute on a GPU, and those that do not, as the classes have it."""
    found = catalogue()
    there, copied = ([f"`{one.name}`" for one in found if one.on_gpu is on] for on in (True, False))
    said = f"All {len(found)} selectors compute where the features lie."
    if copied:
        said = f"{len(there)} of {len(found)} selectors compute where the features lie: {', '.join(there)}."
        said += f" Features are copied to host memory for {', '.join(copied)}."
    wrapped = "\n".join(wrap(said, 120, break_on_hyphens=False))
    return re.sub(
        r"(<!-- on a gpu -->\n\n)(.*?)(<!-- end -->)", lambda m: f"{m[1]}{wrapped}\n\n{m[3]}", text, flags=re.DOTALL
    )


if __name__ == "__main__":
    GPU_PAGE.write_text(gpu_page_anew(GPU_PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    PAGE.write_text(written_anew(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
