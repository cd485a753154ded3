"""Selections: which tokens are kept, why, and what was merged into them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stgraph import notebook_html as fragments
from stgraph.aliases import Array
from stgraph.arrays import answer, to_numpy
from stgraph.colours import DROPPED, OTHER_REASON, rgb
from stgraph.devices import beside, full, gpu_tensor, is_tensor, to_device, to_host
from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.kernels import kernels_for
from stgraph.selection.accounting import TokenAccount
from stgraph.selection.reasons import KEPT_COLOURS, REASON_NAMES
from stgraph.spelling import Spelled
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, eq=False)
class Selection(Spelled):
    """The tokens to keep: a sequence of their indices, and a DLPack producer of a copy of them.

    ``len``, iteration, ``in``, ``kept[0]`` and ``np.asarray`` refer to :attr:`indices`, so that ``features[kept]`` are
    the kept rows of an [n, d] array; :meth:`gather` also takes other layouts, and merges if the method does.

    Attributes
    ----------
    indices : [K] int64, contiguous, ascending, owned
        rows of the input's features, in raster order; equal to the node ids where every token is a patch. A merged
        token stands at the row of one of its members
    grid : of the input tokens
    kind : "subset" (tokens kept as they are) or "merge" (kept tokens are weighted sums of tokens)
    reason : [K] uint8, see :data:`stgraph.selection.reasons.REASON_NAMES`
    scores : [K] float32, the method's ranking figure
    features : [K, d] in the dtype of the input, the merged tokens; None for a subset
    assignment : [K, n] scipy.sparse.csr_array float32 over the rows of the input's features, None for a subset;
        ``assignment @ features`` are the merged tokens
    positions : "original": kept tokens keep their positions; "compact": the method renumbers them 0..K-1
    exactness : "exact", or "approximate: why"
    account : the selection's cost in the LLM
    report : counts, thresholds and stage times of this run, which in the first of a process count the loading of
        libraries and the compiling of kernels too; ``host_copy`` where features on a GPU were copied
    provenance : selector, parameters, and how the communities were found

    Indices, reasons, scores and merged features are NumPy arrays, or torch tensors on the GPU the features lie on.
    """

    indices: Any
    grid: TokenGrid
    reason: Any
    scores: Any
    account: TokenAccount
    kind: str = "subset"
    features: Any = None
    assignment: Any = None
    positions: str = "original"
    exactness: str = "exact"
    report: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.indices.shape[0])

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices.tolist())

    def __contains__(self, index: object) -> bool:
        return isinstance(index, (int, np.integer)) and bool((self.indices == int(index)).any())

    def __getitem__(self, place: Any) -> Any:
        """``indices[place]``: a number, or an array for a slice or an array."""
        found = self.indices[place]
        return int(found) if found.ndim == 0 else found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """A copy of the indices, as through DLPack; their own memory with ``copy=False``."""
        return answer(self.indices, "kept indices", dtype, copy is not False)

    def __dlpack__(self, **options: Any) -> Any:
        """Capsule of a copy of the indices: libraries that ignore DLPack's read-only flag, torch among them, would let
        a consumer change the selection. A consumer may pass ``stream``, ``max_version``, ``dl_device`` and ``copy``.

        Raises
        ------
        BufferError
            ``copy=False``; :attr:`indices` is the memory itself
        """
        if options.pop("copy", None) is False:
            raise BufferError("a Selection hands out a copy of its indices; for their own memory pass kept.indices")
        own = self.indices.clone() if is_tensor(self.indices) else self.indices.copy()
        return own.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """(device type, device id) of the indices."""
        device: tuple[int, int] = self.indices.__dlpack_device__()
        return device

    def to(self, device: Any) -> Selection:
        """The same selection on ``device``; on "cpu" with NumPy arrays."""
        return self._moved(lambda array: to_device(array, device))

    def beside(self, other: Any) -> Selection:
        """The same selection on the device of ``other``."""
        return self._moved(lambda array: beside(array, other))

    def _moved(self, move: Callable[[Any], Any]) -> Selection:
        features = None if self.features is None else move(self.features)
        return replace(
            self, indices=move(self.indices), reason=move(self.reason), scores=move(self.scores), features=features
        )

    @property
    def nodes(self) -> Any:
        """Int64 lattice node ids (t*H + y)*W + x of the kept patches; kept newlines (``newlines="in"``) have none."""
        if self.grid.kind is None:
            return self.indices
        node = full(self.grid.n_tokens, -1, "int64", like=self.indices)
        node[beside(self.grid.rows, node)] = beside(np.arange(self.grid.n_nodes), node)
        nodes = node[self.indices]
        return nodes[nodes >= 0]

    @property
    def mask(self) -> Any:
        """[T, H, W] bool: kept or not."""
        kept = full(self.grid.n_nodes, False, "bool", like=self.indices)
        kept[self.nodes] = True
        return kept.reshape(self.grid.shape)

    def reasons(self) -> dict[str, int]:
        """Number of kept tokens per reason, without reasons that did not occur."""
        counts = np.bincount(to_host(self.reason), minlength=len(REASON_NAMES) + 1)
        return {name: int(counts[code]) for code, name in REASON_NAMES.items() if counts[code]}

    def gather(self, features: Any) -> Any:
        """The kept rows of ``features`` ([n, d] or [T, H, W, d]), merged if the method merges, in their dtype: a
        torch tensor on the same device for a torch tensor or another array on a GPU, a NumPy array for any other.

        Raises
        ------
        InputError
            the features do not have one row per input token
        """
        if not is_tensor(features):
            on_gpu = gpu_tensor(features, "features")
            features = to_numpy(features, "features") if on_gpu is None else on_gpu
        shape = tuple(features.shape)
        rows = int(np.prod(shape[:-1]))
        if len(shape) not in (2, 4) or rows != self.grid.n_tokens:
            raise InputError(
                f"features have shape {shape}; expected one row for each of the {self.grid.n_tokens:,} input tokens"
            )
        if is_tensor(features):
            if self.assignment is not None:
                return merge_tensor(self.assignment, features.reshape(rows, shape[-1]))
            return features.reshape(rows, shape[-1]).index_select(0, beside(self.indices, features))
        if self.assignment is not None:
            return merge_rows(self.assignment, features)
        return features[np.unravel_index(to_host(self.indices), shape[:-1])]

    def save(self, path: str | os.PathLike[str], tokens: VideoTokens | None = None) -> None:
        """Write the selection as a dump of its own kind, atomically: indices, coordinates, reasons, scores, report and
        provenance, the assignment matrix of a merging method as compressed rows, and with ``tokens`` the kept rows of
        their features.

        Raises
        ------
        InputError
            the path cannot be written, or ``tokens`` are not those selected from; an existing file is left unchanged
        """
        from stgraph.selection.selection_file import save_selection

        save_selection(self.to("cpu") if is_tensor(self.indices) else self, path, tokens)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Selection:
        """Read a selection written by :meth:`save`, in host memory. The rows kept of a subset stay in the file, as its
        tensor ``features``; those a method merged are :attr:`features` again.

        Raises
        ------
        DumpFormatError, DumpVersionError
            the file is missing, damaged, of another kind, or newer than this library

        Examples
        --------
        >>> import stgraph, tempfile, pathlib
        >>> tokens = stgraph.sample()
        >>> kept = stgraph.selector("uniform", n_keep=64).select(tokens)
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "kept.safetensors"
        >>> kept.save(path, tokens)
        >>> list(Selection.load(path)) == list(kept)
        True
        """
        from stgraph.selection.selection_file import load_selection

        return load_selection(path)

    def _repr_html_(self) -> str:
        if is_tensor(self.indices):
            return self.to("cpu")._repr_html_()
        looks = {code: rgb(KEPT_COLOURS.get(code, OTHER_REASON)) for code in REASON_NAMES}
        palette = np.array([rgb(DROPPED), *looks.values()], np.uint8)
        reason = np.zeros(self.grid.n_nodes, np.uint8)
        reason[self.nodes] = self.reason[np.isin(self.indices, self.grid.rows)]
        sheet = fragments.contact_sheet(palette[reason.reshape(self.grid.shape)])
        scale = max(1, min(6, 900 // sheet.shape[1]))
        per_frame = self.mask.sum(axis=(1, 2)).tolist()
        return (
            fragments.headline(repr(self))
            + fragments.pixels(sheet, scale, f"kept tokens of {self.grid.T} frames")
            + fragments.note(
                "One square per token, one field per frame. Yellow: representative, red: event, orange: both, "
                f"blue: other reasons, dark: dropped. {min(per_frame)} to {max(per_frame)} kept per frame."
            )
            + fragments.folded("report", fragments.facts(self.report))
            + fragments.folded("provenance", fragments.facts(self.provenance))
        )

    def __repr__(self) -> str:
        parts = ", ".join(f"{count:,} {name}" for name, count in self.reasons().items())
        kept = f"{len(self):,} of {self.account.n_visual:,} tokens" + (f": {parts}" if parts else "")
        return f"Selection({kept}; by {self._maker})"

    @property
    def _maker(self) -> str:
        """Name of the selector, with the backend if it detected communities."""
        community = self.provenance.get("community")
        backend = community.get("backend") if isinstance(community, Mapping) else None
        return ", ".join(str(name) for name in (self.provenance.get("selector", "unknown"), backend) if name)


def merge_rows(assignment: Any, features: Array) -> Array:
    """``assignment @ features`` ([n, d] or [T, H, W, d]), summed in float32, in the dtype of the features."""
    from stgraph.kernels.cpu.merge import weighted_sums

    lattice = features if features.ndim == 4 else features[None, None]
    merged = weighted_sums(lattice, assignment.indptr, assignment.indices, assignment.data)
    return merged.astype(features.dtype, copy=False)


def merge_tensor(assignment: Any, features: Any, wide: bool = False) -> Any:
    """The same product of a torch tensor [n, d], on its device; ``wide``: summed in float64, and of that dtype."""
    kernel, torch = kernels_for(features, "merge"), sys.modules["torch"]
    rows = features.index_select(0, torch.from_numpy(assignment.indices).to(features.device))
    sums = kernel.row_sums(rows, assignment.indptr, assignment.data, torch.float64 if wide else torch.float32)
    return sums if wide else sums.to(features.dtype)


def wide_product(assignment: Any, features: Any) -> Any:
    """``assignment @ features`` ([n, d], any feature dtype), summed in float64 and of that dtype, where they lie."""
    if is_tensor(features):
        return merge_tensor(assignment, features, wide=True)
    used = np.unique(assignment.indices)
    return assignment[:, used] @ features[used].astype(np.float64)
