"""Tables of the experiments: columns, in order, and keys."""

from __future__ import annotations

from dataclasses import fields

from stgraph.bench.tables.table import Table
from stgraph.columns import FIDELITY, REDUCTION
from stgraph.community.quality import PartitionQuality

_COMMUNITIES = (*(field.name for field in fields(PartitionQuality)), "mean_centrality")
_COUNTS = ("n_kept", "n_representative", "n_event", "n_both")
_STAGES = ("graph_s", "detection_s", "centrality_s", "events_s", "reduction_s")
_INPUT = ("n_input", "mean_layer_tokens", "mean_layer_ratio")

_BACKEND_KEY = ("dump", "backend", "split", "seed", "retain_ratio")
COMPARED_BACKENDS = Table.of(
    (
        *(*_BACKEND_KEY, "device", "objective", "library", "max_size", "tau_sim", "tau_diff", "importance"),
        *("n_tokens", "n_edges"),
        *(*_STAGES, *_COMMUNITIES, *_COUNTS, "n_candidates", "excess", "cap_changed_ratio", "frame_evenness"),
        *FIDELITY,
    ),
    _BACKEND_KEY,
)
_SELECTOR_KEY = ("dump", "selector", "backend", "seed", "retain_ratio")
COMPARED_SELECTORS = Table.of(
    (
        *(*_SELECTOR_KEY, "kind", "exactness", "positions", "n_kept", "n_visual", *_INPUT, "prune_layer", "n_layers"),
        *("llm", "prefill_tflop", "flops_ratio", "newlines", "measured", "select_s", "n_events_kept", "n_frames_kept"),
        *("frame_evenness", *FIDELITY),
    ),
    _SELECTOR_KEY,
)

# "digest" stands for what a dump holds, so that a renamed dump is the same and a changed one is not.
_SWEEP_KEY = (
    *("digest", "backend", "split", "seed", "preset", "max_size", "resolution", *REDUCTION),
    *("tau_sim", "tau_diff", "retain_ratio"),
)
SWEEP = Table.of(
    (
        *("dump", *_SWEEP_KEY, "stgraph", "objective", "library", "device", "n_tokens", "n_edges", *_COMMUNITIES),
        *("event_threshold", "n_events", "n_candidates", "excess", *_COUNTS, *_INPUT, "reference_overlap"),
        *("frame_evenness", "events_kept_ratio", "communities_kept_ratio", "has_fidelity", *FIDELITY, *_STAGES),
    ),
    _SWEEP_KEY,
)

# "digest" stands for the line of the task file, so that a changed question is asked again.
_ANSWER_KEY = (
    *("digest", "selector", "backend", "split", "parameters", "retain_ratio"),
    *("frames", "fps", "dtype", "pooling"),
)
ANSWERS = Table.of(
    (
        *("id", "video", "family", *_ANSWER_KEY, "model", "stgraph", "transformers", "device", "computed_in"),
        *("video_bytes", "n_frames", "n_options", "answer", "prediction", "correct", "p_answer", "p_letters"),
        *("n_visual", "n_candidates", "n_kept", "exactness", "n_communities", "largest_community", "oversized_ratio"),
        *(
            "prefill_tflop",
            "prepare_s",
            "tower_s",
            "projector_s",
            "select_s",
            "probe_s",
            "prefill_s",
            "total_s",
            "error",
        ),
    ),
    _ANSWER_KEY,
)

_REPRODUCED_KEY = ("table", "row", "benchmark", "subset", "quantity", "limit")
REPRODUCED = Table.of(
    (
        *(*_REPRODUCED_KEY, "paper", "here", "deviation", "n_questions", "kept_ratio", "selector", "retain_ratio"),
        *("parameters", "frames", "fps", "task", "digest", "model", "dtype", "pooling", "stgraph", "error"),
    ),
    _REPRODUCED_KEY,
)

# In front of the columns of a batch's job.
BATCH = Table.of(
    (
        *("input", "result", "job", "parameters_digest", "stgraph", "input_bytes", "input_mtime_ns", "status"),
        *("error", "attempts", "file"),
    )
)
