"""Figures of speed and of serving in the README and the guides, from the rows of named machines.

``python -m stgraph.speed_pages RESULTS ROOT`` puts the rows in folder RESULTS into the pages in folder ROOT.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stgraph.bench.tables.reading import read_tables
from stgraph.page_parts import update_page
from stgraph.viz.markdown import gpu_speed, serving, speed

# The folders of the machines whose rows the pages show.
CPU, GPU, VLLM = "amd-epyc", "nvidia-h200", "vllm"
PAGES = ("README.md", "docs/benchmarks.md", "docs/gpu.md", "docs/vllm.md")


def page_parts(results: Path) -> dict[str, dict[str, str]]:
    """Parts of each page by name.

    Raises
    ------
    InputError
        a file of rows is missing or cannot be read
    """
    ours, served = (
        {name: read_tables(results / machine / f"{name}.csv")["rows"] for name in files}
        for machine, files in ((CPU, speed.FILES), (VLLM, serving.FILES))
    )
    gpu = read_tables(results / GPU / "rows.csv")["rows"]
    found = (
        {"speed": speed.in_a_sentence(ours, gpu)},
        speed.parts(ours),
        {"stages": gpu_speed.stage_table(gpu)},
        serving.parts(served),
    )
    return dict(zip(PAGES, found, strict=True))


def update_pages(results: Path, root: Path) -> None:
    """Put the parts made from the rows in ``results`` into the pages in ``root``."""
    for page, parts in page_parts(results).items():
        update_page(root / page, parts)


if __name__ == "__main__":
    update_pages(*map(Path, sys.argv[1:]))
