"""Records of a compression: one per video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stgraph.aliases import Array
from stgraph.selection.accounting import TokenAccount


@dataclass(frozen=True, eq=False)
class VideoRecord:
    """One video of one prompt.

    Attributes
    ----------
    call : the prompt it belongs to, counted from 0 since compression began
    sample : row of the batch; the first of equal rows (beams, returned sequences)
    index : number of the video in that row
    n_rows : rows that share this selection
    selector : its name
    grid : (T, H, W)
    n_visual : tokens the budget refers to
    n_kept : tokens of these that are left at the end of the LLM
    n_candidates : tokens before the last cut; None if the selector has no candidates
    n_extra : separators and final newlines among the video's tokens, which are not counted and always kept
    account : token account of the run: pruning happens before the first layer, and ``n_layers`` is the model's
    kind, positions : of the selection
    exactness : "exact", or "approximate: why"
    select_s : seconds in the selector, including its work on a GPU; for the first videos of a process also loading
        libraries and compiling kernels, and for the first ones of a shape recording the selection
    probe_s : seconds in the probe pass, shared by all videos of the prompt; 0 without one
    host_copy : reason the features were copied to host memory, None if the selector read them in place
    graph_host_copy : reason edges or labels were copied to host memory, None if they were not, or were already there
    recording : "recorded" as a CUDA graph and selected by it, "replayed", or "not recorded: why"; None with
        ``record=False``
    nodes : [K'] int64, kept lattice nodes, in host memory
    report : of the selection
    medium : "video" or "image"
    """

    call: int
    sample: int
    index: int
    n_rows: int
    selector: str
    grid: tuple[int, int, int]
    n_visual: int
    n_kept: int
    n_candidates: int | None
    n_extra: int
    account: TokenAccount
    kind: str
    positions: str
    exactness: str
    select_s: float
    probe_s: float
    host_copy: str | None
    graph_host_copy: str | None
    recording: str | None
    nodes: Array
    report: Mapping[str, Any]
    medium: str = "video"

    def to_dict(self) -> dict[str, Any]:
        """The figures of a result row."""
        names = "call sample index n_rows selector n_visual n_kept n_candidates n_extra kind positions exactness "
        names += "select_s probe_s host_copy graph_host_copy recording medium"
        row = {name: getattr(self, name) for name in names.split()}
        return {**row, "grid": "x".join(map(str, self.grid)), **self.account.to_dict()}


@dataclass(frozen=True)
class PromptRecord:
    """One prompt (a batch): its padded length before and after, and those of the probe pass: length, seconds and the
    layer whose attention was read (None without one). ``entered``: tokens of each row that enter the first decoder
    layer, without padding."""

    call: int
    n_rows: int
    length: int
    kept_length: int
    probe_length: int | None
    probe_s: float
    probe_layer: int | None = None
    entered: tuple[int, ...] = ()


@dataclass(frozen=True)
class LeftAlone:
    """A prompt with video that was neither compressed nor refused: its rows, its padded length, and the reason."""

    n_rows: int
    length: int
    reason: str


@dataclass
class Stats:
    """Everything compressed or left alone so far, in order; the caller may empty all lists."""

    videos: list[VideoRecord] = field(default_factory=list)
    prompts: list[PromptRecord] = field(default_factory=list)
    left_alone: list[LeftAlone] = field(default_factory=list)

    def __repr__(self) -> str:
        kept, total = sum(v.n_kept for v in self.videos), sum(v.n_visual for v in self.videos)
        select_s, probe_s = sum(v.select_s for v in self.videos), sum(p.probe_s for p in self.prompts)
        left = f", {len(self.left_alone):,} prompts with video left alone" if self.left_alone else ""
        return (
            f"Stats({len(self.videos):,} videos in {len(self.prompts):,} prompts, {kept:,} of {total:,} visual tokens "
            f"kept, {select_s:.3f} s selecting, {probe_s:.3f} s probing{left})"
        )
