"""The files of the package, the four folders behind links included."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("community", "selection", "viz", "bench")


def module_files() -> dict[str, Path]:
    """Every Python file of the package by its dotted name below ``stgraph``, each through its real path."""
    files = {}
    for base, prefix in [(ROOT / "stgraph", ()), *((ROOT / folder, (folder,)) for folder in FOLDERS)]:
        for path in sorted(base.rglob("*.py")):
            inside = path.relative_to(base)
            if base.name == "stgraph" and inside.parts[0] in FOLDERS:  # reached through a link
                continue
            parts = (*prefix, *inside.with_suffix("").parts)
            if parts[-1] == "__init__" and len(parts) > 1:
                parts = parts[:-1]
            files[".".join(parts)] = path
    return files


MODULES = module_files()
