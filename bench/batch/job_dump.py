"""``stgraph batch dump``: token dumps of many videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

from stgraph.bench.batch.job_select import TOKEN_COLUMNS, token_row
from stgraph.bench.batch.jobs import BatchStopError, Job, Row, spread, writing
from stgraph.bench.tables.table import Table
from stgraph.dump import save_query
from stgraph.errors import InputError, MissingDependencyError, StgraphError
from stgraph.video.dump import ANIMATIONS, DEFAULT_FRAMES, SUFFIXES, Sampling, query_path, video_tokens
from stgraph.vlm.encoder_source import EncoderSource, frame_encoder


@dataclass(frozen=True, kw_only=True)
class DumpJob(Job):
    """Token dumps of every video, in the folder ``dumps``; parameters are the options of ``stgraph dump``.

    Attributes
    ----------
    frames, fps : frames to sample; 64 if neither is given
    encoder, grid, layer : ``patches`` or ``hf:NAME_OR_PATH``
    model, prompt, llm_layers : for a VLM instead
    signals, dtype, device, batch, thumbnails : for both

    Raises
    ------
    InputError
        a parameter is wrong, as far as can be checked without loading a network
    """

    frames: int | None = None
    fps: float | None = None
    encoder: str = "patches"
    grid: str | None = None
    layer: int | None = None
    model: str | None = None
    prompt: str | None = None
    llm_layers: tuple[int, ...] | None = None
    signals: tuple[str, ...] = ()
    dtype: str | None = None
    device: str | None = None
    batch: int = 16
    thumbnails: bool = True

    name: ClassVar[str] = "dump"
    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES
    by_name: ClassVar[tuple[str, ...]] = ANIMATIONS
    output: ClassVar[tuple[str, str]] = ("dumps", ".safetensors")
    columns: ClassVar[Mapping[str, type]] = Table.of(
        (*TOKEN_COLUMNS, "title", "duration_s", "has_query", "dump_s")
    ).columns

    def __post_init__(self) -> None:
        spread(self, "signals", "llm_layers")
        if self.frames is not None and self.fps is not None:
            raise InputError(f"frames is {self.frames} and fps is {self.fps}; give one")
        if self.model is not None and (self.encoder != "patches" or self.grid is not None or self.layer is not None):
            raise InputError("encoder, grid and layer exclude model, which brings its own encoder")
        if self.model is None and (self.prompt is not None or self.llm_layers is not None):
            raise InputError("prompt and llm_layers belong to model; name a VLM")
        if not isinstance(self.batch, int) or self.batch < 1:
            raise InputError(f"batch is {self.batch!r}; it must be an integer of at least 1")
        if self.model is None and not self.encoder.startswith("hf:"):
            self._encoder()

    def run(self, path: Path, target: Path | None) -> list[Row]:
        """One row for the video."""
        start = perf_counter()
        default = DEFAULT_FRAMES if self.fps is None else None
        sampling = Sampling(n_frames=self.frames or default, fps=self.fps, thumbnails=self.thumbnails)
        tokens, query = video_tokens(path, _source(self), sampling)
        if target is not None:
            with writing():
                if query:  # before the dump, which marks the output as complete
                    save_query(query_path(target), query, tokens.metadata)
                tokens.save(target)
        facts = {"title": tokens.metadata["title"], "duration_s": tokens.metadata["video"]["duration_s"]}
        return [{**token_row(tokens), **facts, "has_query": bool(query), "dump_s": perf_counter() - start}]

    def _encoder(self) -> EncoderSource:
        size = None
        if self.grid is not None:
            height, _, width = str(self.grid).lower().partition("x")
            if not (height.isdecimal() and width.isdecimal()):
                raise InputError(f"grid is {self.grid!r}; write height x width, such as 16x16")
            size = (int(height), int(width))
        named: dict[str, Any] = {"layer": self.layer, "dtype": self.dtype, "device": self.device}
        return EncoderSource(frame_encoder(self.encoder, grid=size, signals=self.signals or None, **named), self.batch)


@lru_cache(maxsize=1)
def _source(job: DumpJob) -> Any:
    """The :class:`stgraph.video.dump.TokenSource` of a job, loaded once per worker."""
    try:
        if job.model is None:
            return job._encoder()
        from stgraph.vlm.model_dump import load_model_source

        return load_model_source(
            job.model,
            prompt=job.prompt,
            signals=job.signals,
            llm_layers=job.llm_layers,
            dtype=job.dtype,
            device=job.device,
        )
    except (StgraphError, MissingDependencyError) as error:
        raise BatchStopError(str(error)) from error
