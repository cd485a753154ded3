"""Columns of result rows, each described once: type, meaning, unit, and how tables show it.

Tables in ``bench`` consist of these columns; terminal tables, pages, Parquet files and the documentation take their
meaning from here. The module lies below ``bench`` and ``viz``, which do not import each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of result rows.

    Attributes
    ----------
    name : the key in rows
    kind : str, int, float or bool
    meaning : a phrase that completes "this is the ..."
    unit : of the values: "s", "bytes", "share" of a whole, or "" for counts, cosines and names
    title : column header in a table
    head : a shorter header for narrow tables, if needed
    digits : decimals shown
    better : "higher", "lower", or "" if neither
    """

    name: str
    kind: type
    meaning: str
    unit: str = ""
    title: str = ""
    head: str = ""
    digits: int = 0
    better: str = ""

    @property
    def factor(self) -> float:
        """Display factor: seconds are shown as milliseconds, shares as per cent."""
        return {"s": 1e3, "share": 100.0}.get(self.unit, 1.0)


# The parameters of st-simdiff that rows name; those of the reduction to the budget come last.
REDUCTION = ("protect_events", "importance")
METHOD = (
    *("backend", "split", "max_size", "seed", "tau_sim", "tau_diff", "spatial", "temporal", "events"),
    *REDUCTION,
)
# How a setting is labelled where only a switch sets it apart: on, off.
SWITCHED = {
    "spatial": ("spatial", "no spatial"),
    "temporal": ("temporal", "no temporal"),
    "events": ("events", "no events"),
    REDUCTION[0]: ("events kept last", "events not protected"),
}

_TEXTS = {
    "dump": "name of the input when the row was computed",
    "digest": "hash of the content of the dump, of the question, or of the file of questions",
    "backend": "community backend; empty if it is the selector's default or is not used",
    "split": "splitter of communities above the cap",
    "preset": "row in the paper's ablation",
    "importance": "importance that surplus candidates were ranked by",
    "tau_diff": "event threshold, a similarity or a percentile such as p95; empty without events",
    "selector": 'method; "full" keeps all tokens, "blind" none',
    "parameters": "selector parameters, as JSON",
    "features": "kind of features the graph was built on",
    "weights": "hash of the model's weights",
    "videos": "split of the synthetic videos: dev or test",
    "dtype": "element type of the features; of the model",
    "stgraph": "version of stgraph",
    "generator": "hash of the code that makes the synthetic videos",
    "objective": "objective the community backend optimises; none for components",
    "library": "the community backend's library and version",
    "device": "device it was computed on: cpu or cuda",
    "kind": "subset: tokens kept as they are; merge: tokens merged",
    "exactness": '"exact", or "approximate: " and the reason',
    "positions": "position ids of the kept tokens: original or renumbered",
    "newlines": "whether newline tokens are among those kept",
    "measured": "quantity the retain ratio counts",
    "reason": "reason the selector did not run",
    "id": "of the question",
    "video": "file of the question's video",
    "family": "family of questions",
    "model": "checkpoint that answered",
    "transformers": "version of Transformers",
    "computed_in": "element type the model computed in",
    "answer": "letter of the correct option",
    "prediction": "letter of the option the model chose",
    "answers": "right or wrong, one bit per question, in hexadecimal digits",
    "error": "reason there is no result; empty if there is one",
    "input": "the input, as named",
    "result": "name of the files made from the input",
    "job": "job that was run on the input",
    "parameters_digest": "hash of the job's parameters, which are in batch.json",
    "status": "done or failed",
    "file": "file made from the input, inside the output folder",
    "reasons": "tokens kept by reason, as JSON",
    "report": "further figures of the selector, as JSON",
    "title": "of the video",
    "case": "case that was measured: sizes of the tokens, or of the model",
    "stage": "step that was measured",
    "by": "implementation of the step: stgraph, or the library it is compared with",
    "machine": "processor and versions",
    "skipped": "reason it was not measured",
    "table": "table or figure of the paper",
    "row": "row of the paper's table",
    "benchmark": "benchmark that was asked",
    "pooling": "pooling of LLaVA-Video's frames; empty: as the checkpoint says",
    "subset": "part of the benchmark; overall for all of it",
    "quantity": "accuracy (per cent), seconds (per question) or peak_gb (GPU memory in GB)",
    "task": "file of questions, or name of the task in lmms-eval",
    "llm": "name or configuration of the LLM whose FLOPs are counted",
    "cache": "state of the compiled-kernel cache: empty or warm",
}
_SWITCHES = {
    REDUCTION[0]: "whether events are dropped last",
    "spatial": "whether the graph has edges inside frames",
    "temporal": "whether the graph has edges between frames",
    "events": "whether event tokens are kept",
    "connected": "whether every community is connected",
    "has_fidelity": "whether the nearest-kept figures were computed",
    "correct": "whether the prediction is correct",
    "quadratic": "whether the published algorithm runs in quadratic time",
    "has_query": "whether signals that depend on a prompt were written",
}
_COUNTS = {
    "seed": "random seed; empty if nothing is random",
    "max_size": "cap on the tokens per community; empty without a cap",
    "n_questions": "questions asked",
    "n_videos": "videos in the questions",
    "n_failed": "questions without an answer",
    "limit": "questions that were to be asked; empty for all",
    "frames": "maximum frames taken per video",
    "n_frames": "frames taken from the video",
    "n_options": "number of options of the question",
    "n_tokens": "tokens of the video",
    "n_edges": "edges of the community graph",
    "prune_layer": "layer of the LLM at which tokens are dropped; 0: before the first",
    "n_layers": "layers of the LLM",
    "n_candidates": "representatives and events before the reduction to the budget",
    "n_frames_kept": "frames with at least one kept token",
    "n_input": "tokens that enter the LLM",
    "largest_community": "tokens of the largest community after the cap",
    "attempts": "number of attempts",
    "threads": "threads of the CPU engine",
    "T": "frames of tokens",
    "H": "rows of tokens per frame",
    "W": "columns of tokens per frame",
    "d": "channels per token",
    "input_mtime_ns": "modification time of the input, nanoseconds since 1970",
}
_NUMBERS = {
    "retain_ratio": "share of tokens to keep",
    "resolution": "resolution of the community backend; empty if it has none",
    "tau_sim": "similarity an edge must exceed; empty without edges",
    "fps": "frames taken per second",
    "event_threshold": "similarity below which a token is an event",
    "median_size": "median tokens per community after the cap",
    "cpm": "constant Potts quality at gamma 0.5, per token",
    "coverage": "edge weight inside communities over total edge weight",
    "mean_conductance": "weight leaving a community over the smaller side's volume, mean over communities",
    "internal_density": "edges inside a community over pairs inside, mean over communities",
    "internal_similarity": "mean cosine of the edges inside communities",
    "mean_centrality": "mean cosine of a token to all others in its community",
    "mean_layer_tokens": "tokens on average over the LLM's layers",
    "p_answer": "probability of the correct letter",
    "p_letters": "total probability of all letters",
    "nmi": "normalised mutual information of the two partitions",
    "ari": "adjusted Rand index of the two partitions",
    "vi": "variation of information of the two partitions, in nats",
    "uncapped_nmi": "nmi before the cap",
    "paper": "figure in the paper; empty if it is not printed",
    "here": "figure found here",
    "deviation": "figure found here minus the paper's",
}
_TIMES = {
    "graph_s": "time to build the graph",
    "centrality_s": "time to compute centralities",
    "events_s": "time to find events",
    "reduction_s": "time to reduce candidates to the budget",
    "probe_s": "time to read attention before the selection",
    "prepare_s": "time to decode and preprocess",
    "tower_s": "time of the vision tower",
    "projector_s": "time between vision tower and language model",
    "prefill_s": "time of the language model on the prompt, and of what no other column names",
    "decode_s": "time per token written, median",
    "dump_s": "time to make the dump",
    "import_s": "time to import stgraph",
    "first_selection_s": "time of the first selection in a process",
    "second_selection_s": "time of the second selection",
}
_HANDED_ON = "cosine of dropped {} to the nearest token handed on, {}"
_SHOWN = (
    Column("detection_s", float, "detection time, libraries already loaded", "s", "detect", digits=1, better="lower"),
    Column("n_uncapped", int, "communities before the cap", title="found"),
    Column("largest_uncapped", int, "tokens of the largest community before the cap", title="largest"),
    Column("n_oversized", int, "communities larger than √N before the cap", title="above √N"),
    Column(
        "oversized_ratio", float, "share of all tokens in communities larger than √N before the cap", "share", "hold"
    ),
    Column("n_communities", int, "communities after the cap", title="after cap"),
    Column("largest", int, "tokens of the largest community after the cap", title="largest after cap"),
    Column("n_singletons", int, "single-token communities", title="alone"),
    Column("uncapped_modularity", float, "modularity before the cap", "", "modularity", "Q", 3, "higher"),
    Column("modularity", float, "modularity after the cap", "", "modularity after cap", "Q after cap", 3, "higher"),
    Column("n_kept", int, "tokens kept, or handed on after merging", title="kept"),
    Column("n_visual", int, "tokens of the video in the prompt", title="of"),
    Column("mean_layer_ratio", float, "share of tokens, mean over the LLM's layers", "share", "layer mean", digits=1),
    Column(
        "prefill_tflop", float, "floating-point operations of the LLM's prefill, in 10^12", "", "TFLOP", "", 1, "lower"
    ),
    Column(
        "flops_ratio",
        float,
        "floating-point operations of the LLM's prefill over those with all visual tokens",
        "share",
        "FLOPs",
        digits=1,
        better="lower",
    ),
    Column("kept_ratio", float, "share of the visual tokens that were kept, mean over questions", "share", "tokens"),
    Column("n_representative", int, "tokens kept as representatives only", title="representatives only", head="SRTS"),
    Column("n_event", int, "tokens kept as events only", title="events only", head="DETS"),
    Column("n_both", int, "tokens kept as both", title="both"),
    Column("excess", int, "candidates dropped because they exceed the budget", title="excess"),
    Column("n_events", int, "event tokens", title="events"),
    Column("n_events_kept", int, "event tokens among those kept", title="events kept", better="higher"),
    *(
        Column(f"{name}_{figure}", float, _HANDED_ON.format(who, what), "", title, head, 3, "higher")
        for name, figure, who, what, title, head in (
            ("fidelity", "mean", "tokens", "mean", "nearest", "cosine"),
            ("fidelity", "p5", "tokens", "5th percentile", "nearest, 5 %", "5\u00a0%"),
            ("event_fidelity", "mean", "event tokens", "mean", "nearest, events", "events"),
            ("event_fidelity", "p5", "event tokens", "5th percentile", "nearest, events, 5 %", ""),
            ("cut_fidelity", "mean", "tokens right after a shot change", "mean", "nearest, cuts", "cuts"),
            ("cut_fidelity", "p5", "tokens right after a shot change", "5th percentile", "nearest, cuts, 5 %", ""),
        )
    ),
    Column("frame_evenness", float, "entropy of the kept tokens over frames, at most 1", "", "evenness", "even", 3),
    Column(
        "cap_changed_ratio",
        float,
        "1 - Jaccard overlap of the tokens kept with and without the cap",
        "share",
        "cap changes",
    ),
    Column("jaccard", float, "Jaccard overlap of the kept tokens", "", "overlap", digits=2),
    Column(
        "reference_overlap",
        float,
        "Jaccard overlap with the tokens kept at the paper's thresholds, all else equal",
        "share",
        "overlap",
    ),
    Column("events_kept_ratio", float, "share of the event tokens that are kept", "share", "event tokens kept"),
    Column(
        "communities_kept_ratio",
        float,
        "share of communities with at least one kept token",
        "share",
        "communities kept",
    ),
    Column("select_s", float, "time of one selection, single run", "s", "run", better="lower"),
    Column("total_s", float, "time of one forward pass, selection included", "s", "forward", better="lower"),
    Column("seconds", float, "median time over the rounds", "s", "median", digits=2, better="lower"),
    Column("reads", float, "median time in plain reads of the features", "", "reads", digits=2, better="lower"),
    Column("speedup", float, "times faster than the full prompt", "", "times faster", digits=2, better="higher"),
    Column("extra_bytes_ratio", float, "peak memory of a selection per byte of features", "share", digits=1),
    Column("accuracy", float, "questions answered correctly", "share", "right", digits=1, better="higher"),
    Column("low", float, "lower end of the 95 % interval", "share", "low", digits=1),
    Column("high", float, "upper end of the 95 % interval", "share", "high", digits=1),
    Column("accuracy_low", float, "lower end of the 95 % interval of the accuracy", "share", digits=1),
    Column("accuracy_high", float, "upper end of the 95 % interval of the accuracy", "share", digits=1),
    Column("difference", float, "accuracy minus the reference's, paired", "share", "difference", digits=1),
    Column("chance", float, "accuracy of random guessing", "share", "chance", digits=1),
    Column("duration_s", float, "length of the video", "s"),
    Column("input_bytes", int, "file size of the input", "bytes"),
    Column("video_bytes", int, "size of the video file", "bytes"),
)


def _declared() -> Iterable[Column]:
    for kind, meanings in ((str, _TEXTS), (bool, _SWITCHES), (int, _COUNTS), (float, _NUMBERS)):
        yield from (Column(name, kind, meaning) for name, meaning in meanings.items())
    yield from (Column(name, float, meaning, "s", better="lower") for name, meaning in _TIMES.items())
    yield from _SHOWN


COLUMNS: Mapping[str, Column] = {column.name: column for column in _declared()}

# Figures of loss that are shown: cosine of dropped tokens to the nearest token in a selection's output.
FIDELITY = tuple(name for name in COLUMNS if "fidelity_" in name)
NEAREST = ("fidelity_mean", "fidelity_p5", "event_fidelity_mean", "cut_fidelity_mean")
