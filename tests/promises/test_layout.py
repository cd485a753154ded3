"""The tree is what pyproject.toml, the links and CONTRIBUTING.md say it is, and imports point one way."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

import pytest
from module_files import FOLDERS, MODULES, ROOT

import stgraph

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]

# A module imports from its own layer and the earlier ones, nothing else.
# The front door, stgraph/__init__.py, gathers the public list and is the one exception.
LAYERS = (
    ("aliases", "errors", "spelling", "colours", "notebook_html", "multiplicity"),
    ("kernels*",),
    ("registry", "arrays", "devices", "frame_work", "files", "plain_json", "columns"),
    ("grid", "tokens", "signals", "container_header", "container", "dump", "array_files"),
    ("edges", "lattice_edges", "graph", "graph_*"),
    ("community*",),
    ("selection*",),
    ("video*",),
    ("vlm*",),
    ("serving*", "gpu_parts"),
    ("__init__",),
    ("viz*",),
    ("bench*",),
    ("pages", "page_parts", "selector_page", "speed_pages", "study_pages"),
    ("cli*", "__main__"),
)
FRONT_DOOR = "__init__"
# On top of the layers: rows on disk are the interface between bench and viz, and viz draws finished results.
NEVER = {("bench", "viz"), ("viz", "vlm")}

OPTIONAL_OR_SLOW = {
    "av",
    "cudf",
    "cugraph",
    "cupy",
    "dask",
    "dask_cudf",
    "distributed",
    "igraph",
    "leidenalg",
    "matplotlib",
    "networkx",
    "numba",
    "pandas",
    "pyarrow",
    "torch",
    "transformers",
    "triton",
}
WRAPPED = OPTIONAL_OR_SLOW | {"graspologic_native", "networkit", "numpy", "rich", "safetensors", "scipy", "typer"}
VAGUE = {"common", "core", "helpers", "misc", "utils"}


def top(module: str) -> str:
    return module.partition(".")[0]


def layer(module: str) -> int:
    for rank, patterns in enumerate(LAYERS):
        if any(fnmatch(module, pattern) for pattern in patterns):
            return rank
    raise AssertionError(f"stgraph.{module} stands in no layer: give it a place in LAYERS")


def imports(module: str) -> Iterator[str]:
    """The modules of stgraph that ``module`` imports anywhere in its file, as names below ``stgraph``."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module.split(".") if node.module else []
            if node.level:
                assert node.level <= len(package) + 1, f"{path}: relative import beyond stgraph"
                base = ["stgraph", *package[: len(package) - node.level + 1], *base]
            dotted = [".".join([*base, alias.name]) for alias in node.names]
        else:
            continue
        for name in dotted:
            head, _, rest = name.partition(".")
            if head == "stgraph" and rest != "__version__":  # a constant, everyone's to read
                yield resolve(rest)


def resolve(dotted: str) -> str:
    """``graph.TokenGraph`` -> ``graph``; what is no module of its own comes from the front door."""
    parts = dotted.split(".") if dotted else []
    while parts:
        name = ".".join(parts)
        if name in MODULES or name in FOLDERS:
            return name
        parts.pop()
    return FRONT_DOOR


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {FRONT_DOOR}))
def test_imports_point_one_way(module: str) -> None:
    rank = layer(module)
    for imported in imports(module):
        assert layer(imported) <= rank, f"stgraph.{module} imports stgraph.{imported}, which comes later in LAYERS"
        assert (top(module), top(imported)) not in NEVER, f"stgraph.{module} must not import stgraph.{imported}"


def test_rows_are_read_and_written_in_one_place() -> None:
    found = {
        module for module, path in MODULES.items() if re.search(r"^\s*import csv$", path.read_text(), re.MULTILINE)
    }
    assert found == {"bench.tables.reading", "bench.tables.writing"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_relative_imports_stay_in_their_folder(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        depth = len(path.relative_to(ROOT / folder).parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= depth, f"{path}: write 'from stgraph....' instead of a relative import"


@pytest.mark.parametrize("folder", FOLDERS)
def test_mapping_and_link_agree(folder: str) -> None:
    assert SETUPTOOLS["package-dir"][f"stgraph.{folder}"] == folder
    assert f"stgraph.{folder}" in SETUPTOOLS["packages"]
    link = ROOT / "stgraph" / folder
    assert link.is_symlink()
    assert link.readlink() == Path("..") / folder


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_is_no_package_by_its_own_name(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists(), "it would hide other packages of that name"


def test_packages_are_the_folders_with_code() -> None:
    on_disk = set()
    for module, path in MODULES.items():
        is_package = path.name == "__init__.py" and module != FRONT_DOOR
        parent = module if is_package else module.rpartition(".")[0]
        on_disk.add(f"stgraph.{parent}" if parent else "stgraph")
    assert set(SETUPTOOLS["packages"]) == on_disk


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_shadows_a_library(folder: str) -> None:
    stems = {path.stem for path in (ROOT / folder).rglob("*.py")}
    assert not stems & (sys.stdlib_module_names | WRAPPED)


def test_no_file_has_a_vague_name() -> None:
    assert not {path.stem for path in MODULES.values()} & VAGUE


def test_no_file_is_long() -> None:
    files = [*MODULES.values(), *(ROOT / "tests").rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {path: n for path, n in lengths.items() if n > 300} == {}


def test_import_is_light() -> None:
    code = "import sys; before = set(sys.modules); import stgraph; print(*set(sys.modules) - before)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(out.stdout.split()) & OPTIONAL_OR_SLOW == set()


def test_a_checkout_without_links_says_so(tmp_path: Path) -> None:
    package = tmp_path / "stgraph"
    package.mkdir()
    (package / "__init__.py").write_bytes((ROOT / "stgraph" / "__init__.py").read_bytes())
    (package / "community").write_text("../community")
    done = subprocess.run([sys.executable, "-c", "import stgraph"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and "git -c core.symlinks=true clone" in done.stderr


def test_there_is_one_version() -> None:
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "stgraph.__version__"}
    assert version("stgraph-video") == stgraph.__version__


def test_public_list_is_what_the_module_holds() -> None:
    assert len(set(stgraph.__all__)) == len(stgraph.__all__)
    missing = [name for name in stgraph.__all__ if not hasattr(stgraph, name)]
    assert missing == []
    own = {name for name, value in vars(stgraph).items() if getattr(value, "__module__", "").startswith("stgraph")}
    assert {name for name in own if not name.startswith("_")} <= set(stgraph.__all__)


def test_tests_share_through_support_alone() -> None:
    """What several test files need stands in tests/support/, so that any of them runs by itself."""
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith("test_") for name in names), f"{path} imports {names}"
