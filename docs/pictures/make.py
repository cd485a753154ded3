"""Makes the pictures of the documentation: ``python docs/pictures/make.py``, from the repository root.

Needs matplotlib, torch for the probe, Playwright (``pip install matplotlib torch playwright``) and Chromium (Debian:
``apt install chromium``). With arguments, only what they name is made: figures, accuracy, screenshots.
The pictures of the study are made by ``make study``.
The frames derive from Big Buck Bunny, (c) 2008 Blender Foundation, CC BY 3.0; see NOTICE.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LAPTOP, PHONE = (1366, 768), (390, 844)


def stgraph(*args: str) -> None:
    """Run a command as a user would."""
    subprocess.run([sys.executable, "-m", "stgraph", *args, "-q"], check=True)


def figures(folder: Path) -> None:
    """What ``stgraph plot`` draws."""
    for kind in ("process", "sizes", "similarity", "frames"):
        stgraph("plot", "--kind", kind, "-o", str(HERE / f"{kind}.png"), "--dpi", "110")
    stgraph("compare", "--no-fidelity", "-o", str(folder / "rows.csv"))
    stgraph("plot", str(folder / "rows.csv"), "--kind", "backends", "-o", str(HERE / "backends.png"), "--dpi", "110")
    stgraph("compare", "-s", "all", "--seed", "0", "-o", str(folder / "selectors.csv"))
    stgraph(
        *(
            "plot",
            str(folder / "selectors.csv"),
            "--kind",
            "selectors",
            "-o",
            str(HERE / "selectors.png"),
            "--dpi",
            "100",
        )
    )
    stgraph("sweep", "-o", str(folder / "sweep.csv"))
    stgraph("plot", str(folder / "sweep.csv"), "--kind", "sweep", "-o", str(HERE / "sweep.png"), "--dpi", "110")


def accuracy(folder: Path) -> None:
    """The synthetic probe, which takes a while, and its curves."""
    stgraph("probe", "-o", str(folder / "probe.csv"))
    columns = ("--column", "accuracy", "--column", "evt")
    stgraph("plot", str(folder / "probe.csv"), "--kind", "accuracy", *columns, "-o", str(HERE / "accuracy.png"))


def shot(
    browser: Any, page_file: Path, name: str, size: tuple[int, int], act: Callable[[Any], object], dark: bool = False
) -> None:
    """One screenshot of a page after ``act`` has used it."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
    )
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.wait_for_timeout(1500)
    act(page)
    page.wait_for_timeout(700)
    page.screenshot(path=HERE / f"{name}.png")
    context.close()


def at_frame(t: int, *keys: str) -> Callable[[Any], None]:
    """Go to a frame and press keys."""

    def act(page: Any) -> None:
        page.locator("#time").fill(str(t))
        page.evaluate("document.activeElement.blur()")
        for key in keys:
            page.keyboard.press(key)

    return act


def over_token(page: Any) -> None:
    """Communities before the cap, with what is known of a token."""
    at_frame(18, "3")(page)
    page.locator("#frame").hover(position={"x": 410, "y": 290})


def highlighted(page: Any) -> None:
    """One community in all frames."""
    at_frame(19, "3")(page)
    page.locator("#frame").click(position={"x": 300, "y": 80})
    page.mouse.move(5, 5)
    page.evaluate("scrollTo(0, document.querySelector('#strip').getBoundingClientRect().top - 330)")


def screenshots(folder: Path) -> None:
    """The interactive page and the report, in a browser."""
    from playwright.sync_api import sync_playwright

    view, report = folder / "view.html", folder / "report.html"
    stgraph("view", "-o", str(view))
    stgraph("compare", "--html", str(report))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shot(browser, view, "view", LAPTOP, at_frame(8))
        shot(browser, view, "view-token", LAPTOP, over_token, dark=True)
        shot(browser, view, "view-community", LAPTOP, highlighted)
        shot(browser, view, "view-phone", PHONE, at_frame(24))
        shot(browser, report, "report", LAPTOP, lambda page: None)
        shot(browser, report, "report-frames", LAPTOP, lambda page: page.evaluate("scrollTo(0, 720)"))
        browser.close()


if __name__ == "__main__":
    parts = {"figures": figures, "accuracy": accuracy, "screenshots": screenshots}
    with tempfile.TemporaryDirectory() as temporary:
        for name in sys.argv[1:] or parts:
            parts[name](Path(temporary))
