"""Check a built site: every link and anchor inside it holds, and no page loads anything from elsewhere.

``python docs/site/check.py build/site`` prints what is wrong, one line each; the exit status is 1 if anything is.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes that make a browser load something, and the elements they do it on. A link to follow may lead out.
_LOADED = {"src": None, "srcset": None, "poster": None, "data": {"object"}, "href": {"link", "image", "use"}}
_NO_LOAD = {"canonical", "next", "prev", "alternate"}  # kinds of <link> that load nothing
_IN_STYLE = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


class Page(HTMLParser):
    """What a page offers and asks for.

    Attributes
    ----------
    anchors : its ids and names
    links : addresses that can be followed
    loads : addresses that are loaded with it
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value for key, value in attrs if value is not None}
        self.anchors.update(given[key] for key in ("id", "name") if key in given)
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        for key, elements in _LOADED.items():
            if key in given and (elements is None or tag in elements):
                stays = tag == "link" and set(given.get("rel", "").split()) & _NO_LOAD
                (self.links if stays else self.loads).add(given[key].split()[0])
        self.loads.update(styled(given.get("style", "")))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "style":
            self.loads.update(styled(data))


def styled(text: str) -> set[str]:
    """Addresses that a style sheet loads."""
    return {one or other for one, other in _IN_STYLE.findall(text)}


def faults(site: Path) -> list[str]:
    """What is wrong with a built site, as "page: what"."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = [] if pages else [f"{site}: there is no page"]
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        found += [f"{name}: loads {url}" for url in sorted(page.loads) if _leads_out(url)]
        for url in sorted(page.links | page.loads):
            if not _leads_out(url) and (what := _fault(url, path, site, pages)):
                found.append(f"{name}: {url}: {what}")
    for path in sorted(site.rglob("*.css")):
        loads = styled(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site).as_posix()}: loads {url}" for url in sorted(loads) if _leads_out(url)]
    return found


def _leads_out(url: str) -> bool:
    """Whether an address is of another place; ``data:`` is in the page itself."""
    parts = urlsplit(url)
    return bool(parts.netloc) or parts.scheme not in ("", "data", "file")


def _fault(url: str, path: Path, site: Path, pages: dict[Path, Page]) -> str | None:
    parts = urlsplit(url)
    if parts.scheme:
        return None if parts.scheme == "data" else "a file of this machine"
    start = site if parts.path.startswith("/") else path.parent  # 404.html is shown anywhere: it starts at the root
    target = (start / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
    if not target.is_relative_to(site):
        return "leads out of the site"
    if target.is_dir():
        target = target / "index.html"
    if not target.is_file():
        return "there is no such file"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return "there is no such anchor"
    return None


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]).resolve())
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    sys.exit(bool(wrong))
