"""Facts shown by ``stgraph doctor``, as plain values."""

from __future__ import annotations

import importlib.util
import platform
import sys
from typing import Any

from stgraph.errors import install_command

_PACKAGES = (
    ("pyarrow", "Parquet output, graph.to_arrow()", "arrow"),
    ("pandas", "graph.to_pandas(), EdgeList.from_pandas()", "pandas"),
    ("networkit", "networkit-louvain, -leiden, -map-equation, -label-propagation", "fast"),
    ("graspologic_native", "graspologic-leiden, graspologic-leiden-cpm", "fast"),
    ("torch", "hand-off to a VLM", "hf"),
    ("transformers", "stgraph.compress, dumps of models and encoders", "hf"),
    ("torchvision", "processors of VLMs", "hf"),
    ("PIL", "processors of VLMs, stgraph plot", "hf"),
    ("av", "videos: stgraph view clip.mp4, stgraph dump, stgraph.from_video()", "video"),
    ("matplotlib", "stgraph plot", "viz"),
)


def doctor_facts() -> dict[str, Any]:
    """Versions, threads and caches; backends, splitters, selectors, packages and GPU requirements, with the reason and
    remedy for unusable ones (``reason``, ``remedy``, ``install``)."""
    import stgraph
    from stgraph.gpu_parts import gpu_parts
    from stgraph.kernels.cpu.compiled import cache_folder
    from stgraph.kernels.cpu.rows import HARDWARE_HALF
    from stgraph.video.cache import cache_folder as video_folder

    return {
        "stgraph": stgraph.__version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu_threads": stgraph.num_threads(),
        "float16_in_hardware": bool(HARDWARE_HALF),
        "kernel_cache": cache_folder(),
        "video_cache": str(video_folder()),
        "backends": [_backend(name, reason) for name, reason in stgraph.backends().items()],
        "splitters": [{"name": name, "reason": reason} for name, reason in stgraph.splitters().items()],
        "selectors": [
            {
                "name": name,
                "signals": None if isinstance(signals, str) else sorted(signals),
                "reason": signals if isinstance(signals, str) else None,
            }
            for name, signals in stgraph.selectors().items()
        ],
        "packages": [
            {
                "name": module,
                "for": use,
                "installed": importlib.util.find_spec(module) is not None,
                "install": install_command(extra),
            }
            for module, use, extra in _PACKAGES
        ],
        "gpu": [{"name": p.name, "for": p.use, "found": p.found, "remedy": p.remedy} for p in gpu_parts()],
    }


def _backend(name: str, reason: str | None) -> dict[str, Any]:
    """One backend; for a broken plug-in only its name and the reason."""
    from stgraph.community.base import BACKENDS, backend, package_version
    from stgraph.community.default_backend import DEFAULT_BACKEND

    facts: dict[str, Any] = dict.fromkeys(("device", "objective", "seeded", "not_yet_run_on", "package", "version"))
    if not reason or (name in BACKENDS.names() and not BACKENDS.fault(name)):
        found = backend(name)
        own = found.capabilities
        facts |= {"device": own.device, "objective": own.objective, "seeded": own.seeded, "package": found.package}
        facts["not_yet_run_on"] = list(own.not_yet_run_on)
        if not reason:
            facts["version"] = package_version(found.package)
    return {"name": name, "default": name == DEFAULT_BACKEND, **facts, "reason": reason}
