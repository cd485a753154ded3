"""Pages of the API reference: which names they show; mkdocstrings renders their docstrings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from generated import filled, table

import stgraph
from stgraph import errors

# Every public name once, in the order of use.
PAGES = {
    "tokens": (
        "Tokens and files",
        "What a video is to stgraph, and how it gets in.",
        ("VideoTokens", "TokenGrid", "load", "sample", "from_video", "capture", "save_query", "iter_frames"),
    ),
    "graph": (
        "Graph",
        "Similarities of neighbouring tokens, or your own edges.",
        ("build_graph", "TokenGraph", "EdgeList"),
    ),
    "communities": (
        "Communities",
        "Detection, the partition it yields, and what can be asked for.",
        ("detect_communities", "Partition", "agreement", "backends", "available_backends", "splitters"),
    ),
    "selection": (
        "Selection",
        "Which tokens are kept, at which budget, and why.",
        ("selector", "selectors", "Budget", "Selection", "stream", "Setting", "keep", "Kept"),
    ),
    "models": ("In a model", "Selection inside a running model.", ("compress",)),
    "pages": ("Pages", "The comparison and the interactive page.", ("compare", "view")),
    "threads": ("Threads", "How many threads the compiled loops use.", ("num_threads", "set_num_threads")),
}
# What plug-ins implement.
EXTENDING = (
    "stgraph.community.base.CommunityBackend",
    "stgraph.community.base.Capabilities",
    "stgraph.community.base.BackendParams",
    "stgraph.community.parameters.Parameter",
    "stgraph.community.size_cap.Splitter",
    "stgraph.selection.base.Selector",
    "stgraph.selection.method.Method",
    "stgraph.selection.choice.Choice",
    "stgraph.selection.stages.Stage",
    "stgraph.selection.stages.AttentionRead",
    "stgraph.registry.Registry",
)


def write_api(site: Path) -> None:
    """One page per step of the way from tokens to results.

    Raises
    ------
    ValueError
        a public name is on no page, or one on a page is not public
    """
    listed = {name for *_, names in PAGES.values() for name in names}
    if other := listed ^ set(stgraph.__all__):
        raise ValueError(f"docs/site/api.py and stgraph.__all__ differ by {', '.join(sorted(other))}")
    folder = site / "api"
    folder.mkdir()
    rows = []
    for page, (title, what, names) in PAGES.items():
        rows.append((f"[{title}]({page}.md)", ", ".join(f"[`{name}`][stgraph.{name}]" for name in names)))
        text = f"# {title}\n\n{what}\n\n{_blocks(f'stgraph.{name}' for name in names)}\n"
        (folder / f"{page}.md").write_text(text, encoding="utf-8")
    rows.append(("[Extending](extending.md)", "what backends, splitters and selectors implement, and the registry"))
    rows.append(("[Errors](errors.md)", "what is raised on purpose"))
    raised = [name for name, found in vars(errors).items() if getattr(found, "__module__", "") == errors.__name__]
    public = [f"stgraph.errors.{name}" for name in raised if isinstance(getattr(errors, name), type)]
    (folder / "index.md").write_text(filled("api", names=table(("page", "names"), rows)), encoding="utf-8")
    (folder / "extending.md").write_text(filled("extending", names=_blocks(EXTENDING)), encoding="utf-8")
    (folder / "errors.md").write_text(filled("errors", names=_blocks(public)), encoding="utf-8")


def _blocks(names: Iterable[str]) -> str:
    return "\n\n".join(f"::: {name}" for name in names)
