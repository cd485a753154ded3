"""Speed of selectors beside their authors' own code, run from folders named by the caller and not included."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from stgraph.bench.speed.device_timing import device_rounds
from stgraph.bench.speed.stages import RATIO, Case, case_row
from stgraph.bench.synthetic import synthetic_tokens
from stgraph.errors import InputError, UnavailableError, UnknownNameError, missing_dependency
from stgraph.selection.base import selector
from stgraph.tokens import VideoTokens

Row = dict[str, Any]
Run = Callable[[Any], int]
CASE = Case(64, 14, 14, 3584)


@dataclass(frozen=True)
class PeerCode:
    """One repository: the module with the algorithm, and ``load``, which turns it into a call on features [T, H, W, d]
    that returns the number of tokens handed on.

    Attributes
    ----------
    repository : "owner/name" on GitHub
    module : import path inside the repository's folder
    load : (the module, the features) -> the call
    """

    repository: str
    module: str
    load: Callable[[Any, Any], Run]


def _framefusion(module: Any, x: Any) -> Run:
    import torch

    T, H, W, d = x.shape
    n, device = T * H * W, x.device
    merger = module.FrameFusion(cost=RATIO)
    patches = torch.arange(H * W, device=device).repeat(T)[None]
    angles = [torch.zeros(1, n, 128, dtype=x.dtype, device=device) for _ in range(2)]

    def run(x: Any) -> int:
        zero = torch.zeros((), dtype=torch.long)
        merger.prepare(patches, H * W, zero, zero + n - 1, zero + n, n)
        return int(merger(x.reshape(1, n, d).clone(), list(angles), None)[0].shape[1])  # it writes into its input

    return run


def _vidcom2(module: Any, x: Any) -> Run:
    _, H, W, d = x.shape

    def run(x: Any) -> int:
        kept = module.vidcom2_compression(x.reshape(-1, d), model="qwen2_vl", base_scale=RATIO, frame_token_len=H * W)
        return int(kept.shape[0])

    return run


def _sttm(module: Any, x: Any) -> Run:
    def run(x: Any) -> int:
        nodes = module.get_quadtree_features(x.permute(0, 3, 1, 2), threshold=0.8, temporal_thresh=0.5, root_level=1)
        return int(nodes[0].shape[0])

    return run


PEERS = {
    "framefusion": PeerCode("thu-nics/FrameFusion", "framefusion.main", _framefusion),
    "sttm": PeerCode("HYUNJS/STTM", "token_merging_utils.quadtree_interface", _sttm),
    "vidcom2": PeerCode("xuyang-liu16/VidCom2", "token_compressor.vidcom2.vidcom2", _vidcom2),
}


def measure_peer_code(
    folders: Mapping[str, Path],
    case: Case = CASE,
    n_rounds: int = 5,
    device: str = "cpu",
    tell: Callable[[str], None] = lambda label: None,
) -> list[Row]:
    """Two rows per selector, in turns in one run: ours by the authors' rule (``exact_count=False``), and theirs.

    Parameters
    ----------
    folders : selector of :data:`PEERS` -> checkout of its repository, whose code is run

    Raises
    ------
    UnknownNameError
        a selector has no peer
    InputError
        a folder lacks the module
    UnavailableError
        the module cannot be imported here
    MissingDependencyError
        torch is not installed
    """
    try:
        import torch
    except ImportError:
        raise missing_dependency("the authors' code", "torch", "hf") from None
    for name in folders:
        if name not in PEERS:
            raise UnknownNameError(f"no peer is called {name!r}; known are {', '.join(PEERS)}")
    modules = {name: _module(PEERS[name], Path(folder)) for name, folder in folders.items()}
    x = synthetic_tokens(case.T, case.H, case.W, case.d)
    features = torch.from_numpy(x).to(device)
    tokens = VideoTokens.from_array(x if device == "cpu" else features)
    rows: list[Row] = []
    with torch.inference_mode():
        for name, module in modules.items():
            tell(f"{case}: {name}")
            ours, theirs = selector(name, retain_ratio=RATIO, exact_count=False), PEERS[name].load(module, features)
            read = "read"
            medians = device_rounds(
                {
                    read: features.sum,
                    "stgraph": lambda ours=ours: ours.select(tokens),  # type: ignore[misc]
                    PEERS[name].repository: lambda theirs=theirs: theirs(features),  # type: ignore[misc]
                },
                n_rounds,
                device,
            )
            counts = {"stgraph": ours.select(tokens).indices.shape[0], PEERS[name].repository: theirs(features)}
            rows += [
                {**case_row(case, name, by, medians[by], medians[read]), "device": device, "n_kept": int(counts[by])}
                for by in counts
            ]
    return rows


def _module(peer: PeerCode, folder: Path) -> Any:
    where = folder.joinpath(*peer.module.split(".")).with_suffix(".py")
    if not where.is_file():
        raise InputError(f"{folder} does not hold {where.relative_to(folder)}: pass a checkout of {peer.repository}")
    with _first_on_path(folder):
        try:
            return import_module(peer.module)
        except ImportError as error:
            raise UnavailableError(
                f"{where} cannot be imported: {error}. Install what {peer.repository} needs"
            ) from None


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
