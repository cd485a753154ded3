"""Each extra is all that its code imports; what the README says to install is enough for what it says next."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from module_files import MODULES
from only_extras import PROJECT, closure, hidden
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TESTS = Path(__file__).parents[1]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]

# Modules by the distribution that has them, where the names differ, and what comes with another or is nobody's extra.
MODULES_OF = {
    "cupy-cuda12x": ("cupy", "cupyx"),
    "cupy-cuda13x": ("cupy", "cupyx"),
    "cugraph-cu12": ("cugraph", "pylibcugraph", "dask_cudf"),
    "cugraph-cu13": ("cugraph", "pylibcugraph", "dask_cudf"),
    "cudf-cu12": ("cudf",),
    "cudf-cu13": ("cudf",),
    "distributed": ("distributed", "dask"),
    "graspologic-native": ("graspologic_native",),
    "ml-dtypes": ("ml_dtypes",),
    "numba": ("numba", "llvmlite"),
    "pillow": ("PIL",),
    "torch": ("torch", "triton"),
    "transformers": ("transformers", "huggingface_hub"),
}
UNDER_LMMS_EVAL = {"lmms_eval", "accelerate", "tqdm"}  # there where the plug-in runs
UNDER_VLLM = {"vllm", "cv2", "tokenizers", "torch", "transformers", "PIL"}

# The extras that some modules may count on; all others have to do with the core, or say what is missing.
ROOMS = {
    "vlm.lmms_eval*": {"hf", "video"},
    "vlm*": {"hf", "video"},
    "video*": {"hf", "video"},
    "viz*": {"viz"},
    "kernels.gpu*": {"hf"},
    "community*": {"fast", "cuda13"},
    "graph_views": {"arrow", "pandas", "cuda13"},
    "graph_readers": {"arrow"},
    "array_files": {"hf"},
    "bench.batch*": {"arrow", "dask"},
    "bench.tables*": {"arrow"},
    "bench.speed.prefill": {"hf", "video"},
    "bench*": {"hf", "cuda13", "arrow"},
    "devices": {"hf"},
    "selection.capture": {"hf"},
    "selection.recorder": {"hf"},
}


def provided(requirements: list[str]) -> set[str]:
    """The modules that requirements bring."""
    names = {canonicalize_name(Requirement(text).name) for text in requirements}
    return {module for name in names for module in MODULES_OF.get(name, (name,))}


CORE = provided(PROJECT["dependencies"])


def foreign_imports(module: str) -> Iterator[str]:
    """Packages of others that a module of ours imports, anywhere in its file."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top != "stgraph":
                yield top


@pytest.mark.parametrize("module", sorted(MODULES))
def test_what_a_module_imports_its_extras_bring(module: str) -> None:
    from fnmatch import fnmatch

    extras = next((extras for room, extras in ROOMS.items() if fnmatch(module, room)), set())
    allowed = CORE.union(*(provided(EXTRAS[extra]) for extra in extras))
    if module.startswith("vlm.lmms_eval"):
        allowed |= UNDER_LMMS_EVAL
    if module.startswith("serving."):
        allowed |= UNDER_VLLM
    assert set(foreign_imports(module)) <= allowed


def asked_for() -> Iterator[tuple[str, str, str]]:
    """(module, package, extra) of each message that names an extra to install."""
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 3:
                if node.func.id in ("missing_dependency", "missing_package"):
                    _, package, extra = node.args
                    if isinstance(package, ast.Constant) and isinstance(extra, ast.Constant):
                        yield module, str(package.value), str(extra.value)


@pytest.mark.parametrize(("module", "package", "extra"), sorted(set(asked_for())))
def test_the_extra_a_message_names_brings_the_package(module: str, package: str, extra: str) -> None:
    assert package.replace("-", "_") in {name.replace("-", "_") for name in provided(EXTRAS[extra])} | {
        canonicalize_name(Requirement(text).name).replace("-", "_") for text in EXTRAS[extra]
    }


def test_what_transformers_needs_and_does_not_ask_for_is_in_the_extra() -> None:
    assert {"torch", "torchvision", "transformers", "PIL"} <= provided(EXTRAS["hf"])


# What the README says to install, and what it says next

CLIP = TESTS / "data" / "bbb_6s.mp4"
COMMAND = "import sys; from stgraph.cli import main; sys.argv[1:] = {}; sys.exit(main())"
LINES = {
    "": COMMAND.format("['compare', '-q', '-b', 'igraph-leiden', '-b', 'leidenalg-leiden', '-o', 'rows.csv']"),
    "fast": "import stgraph; assert [stgraph.backends()[n] for n in "
    "('networkit-louvain', 'networkit-leiden', 'graspologic-leiden')] == [None] * 3; "
    "stgraph.detect_communities(stgraph.build_graph(stgraph.sample()), 'networkit-leiden')",
    "arrow": COMMAND.format("['compare', '-q', '-b', 'lattice-components', '-o', 'rows.parquet']"),
    "pandas": "import stgraph; stgraph.build_graph(stgraph.sample()).to_pandas()",
    "viz": COMMAND.format("['plot', '-q', '-o', 'figure.png']"),
    "video": COMMAND.format(f"['dump', '-q', {str(CLIP)!r}, '-o', 'clip.safetensors', '-n', '2']"),
    "arrow,dask": """
if __name__ == '__main__':
    import stgraph
    stgraph.sample().save('a.safetensors')
    from stgraph.bench.batch.run import run_batch
    from stgraph.bench.batch.job_select import SelectJob
    report = run_batch(SelectJob(retain_ratio=0.2), ['a.safetensors'], 'out')
    assert (report.n_done, report.failed) == (1, {}), report
    from stgraph.bench.batch.runner_dask import check_dask
    check_dask()
""",
}


def run_only(extras: str, code: str, folder: Path, *, path: str = "") -> subprocess.CompletedProcess[str]:
    """The code in a process that sees the core and some extras."""
    script = folder / "script.py"
    script.write_text(code)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), *([path] if path else []), *sys.path])}
    command = [sys.executable, str(TESTS / "support" / "only_extras.py"), extras, str(script)]
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
@pytest.mark.parametrize("extras", LINES)
def test_an_extra_is_enough(extras: str, tmp_path: Path) -> None:
    for extra in extras.split(",") if extras else ():
        for module in provided(EXTRAS[extra]):
            pytest.importorskip(module)
    done = run_only(extras, LINES[extras], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("lacks", ["arrow", "viz", "video"])
def test_without_it_the_message_names_it(lacks: str, tmp_path: Path) -> None:
    done = run_only("", LINES[lacks], tmp_path)
    assert done.returncode == 2, done.stderr
    assert re.search(rf"^error: .* pip install -e '\.\[{lacks}\]'$", done.stderr.strip())


@pytest.mark.slow
def test_video_and_hf_are_all_that_the_lines_for_a_vlm_need(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra hf")
    for module in provided(EXTRAS["hf"]) - {"triton"}:
        if find_spec(module) is None:
            pytest.skip(f"the extra hf needs {module}")
    from lmms_eval_offline import save_checkpoint, save_clip
    from readme_lines import readme_lines

    clip = tmp_path / "clip.mp4"
    save_checkpoint(tmp_path / "checkpoint")
    save_clip(clip, (220, 30, 30))
    shim = "import torchvision_on_cpu; torchvision_on_cpu.define_operators()\n"
    lines = readme_lines(tmp_path / "checkpoint", clip)
    done = run_only("video,hf", shim + lines, tmp_path)
    assert done.returncode == 0, done.stderr
    lacking = run_only("hf", shim + lines, tmp_path)
    assert "pip install -e '.[video]'" in lacking.stderr


def test_something_is_hidden() -> None:
    """Else the tests above would show nothing."""
    assert {"pytest", "hypothesis"} <= hidden(["video", "hf"])
    assert {"numpy", "scipy", "numba"} <= closure([])
    assert "pyarrow" not in closure(["video", "hf"])
