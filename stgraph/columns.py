"""The columns of result rows, each described once: type, meaning, unit, and how tables show it.

Tables in ``bench`` are made of these columns; terminal tables, pages, Parquet files and the documentation read their
meaning here. It lies below ``bench`` and ``viz``, which do not import each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of result rows.

    Attributes
    ----------
    name : as rows have it
    kind : str, int, float or bool
    meaning : in a phrase that completes "this is the ..."
    unit : of the values: "s", "bytes", "share" of a whole, or "" for counts, cosines and names
    title : head of the column in a table; a soft hyphen says where it may break
    head : the same where tables are narrow, if it must be shorter
    digits : behind the point, where the value is shown
    better : "higher", "lower", or "" where neither is
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
        """What a value is multiplied by where it is shown: seconds as milliseconds, shares as per cent."""
        return {"s": 1e3, "share": 100.0}.get(self.unit, 1.0)


# The parameters of st-simdiff that rows name; those of the reduction to the budget come last.
REDUCTION = ("protect_events", "importance")
METHOD = (
    *("backend", "split", "max_size", "seed", "tau_sim", "tau_diff", "spatial", "temporal", "events"),
    *REDUCTION,
)
# What a setting is called where a switch tells it from others: on, off.
SWITCHED = {
    "spatial": ("spatial", "no spatial"),
    "temporal": ("temporal", "no temporal"),
    "events": ("events", "no events"),
    REDUCTION[0]: ("events kept last", "events not protected"),
}

_TEXTS = {
    "dump": "name of the input when the row was computed",
    "digest": "stands for the content: of the dump; of the question",
    "backend": "community backend; empty where it is the default of a selector or plays no part",
    "split": "splitter of communities above the cap",
    "preset": "row of the paper's ablation",
    "importance": "what surplus candidates were ranked by",
    "tau_diff": "event threshold, a similarity or a percentile such as p95; empty without events",
    "selector": 'method; "full" is all tokens, "blind" none',
    "parameters": "parameters of the selector, as JSON",
    "features": "kind of features the graph is built on",
    "weights": "stands for the weights of the model",
    "videos": "split of the synthetic videos: dev or test",
    "dtype": "element type of the features; of the model",
    "stgraph": "version of stgraph",
    "generator": "stands for the code that makes the synthetic videos",
    "objective": "what the community backend optimises; none for components",
    "library": "library of the community backend, and its version",
    "device": "where it was computed: cpu or cuda",
    "kind": "subset: tokens kept as they are; merge: tokens merged",
    "exactness": '"exact", or "approximate: " and why',
    "positions": "position ids of the kept tokens: original or renumbered",
    "newlines": "whether newline tokens are among the kept",
    "measured": "what the retain ratio counts",
    "reason": "why the selector did not run",
    "id": "of the question",
    "video": "file of the question's video",
    "family": "family of questions",
    "model": "checkpoint that answers",
    "transformers": "version of Transformers",
    "computed_in": "element type the model computes in",
    "answer": "letter of the right option",
    "prediction": "letter of the option the model chose",
    "answers": "right or wrong, one bit per question, in hexadecimal digits",
    "error": "why there is no result; empty where there is one",
    "input": "the input as it was named",
    "result": "name of the files made of the input",
    "job": "what was done with the input",
    "parameters_digest": "stands for the job's parameters, which are in batch.json",
    "status": "done or failed",
    "file": "file made of the input, below the output folder",
    "reasons": "tokens kept by reason, as JSON",
    "report": "further figures of the selector, as JSON",
    "title": "of the video",
    "case": "what was measured: sizes of the tokens, or of the model",
    "stage": "step that was measured",
    "by": "who does the step: stgraph, or the library compared with",
    "machine": "processor, and versions",
    "skipped": "why it was not measured",
    "cache": "whether compiled kernels were there: empty or warm",
}
_SWITCHES = {
    REDUCTION[0]: "whether events are dropped last",
    "spatial": "whether the graph has edges inside frames",
    "temporal": "whether the graph has edges between frames",
    "events": "whether event tokens are kept",
    "connected": "whether every community is connected",
    "has_fidelity": "whether the nearest-kept figures were computed",
    "correct": "whether the prediction is the answer",
    "quadratic": "whether the published algorithm takes quadratic time",
    "has_query": "whether signals that depend on a prompt were written",
}
_COUNTS = {
    "seed": "of what draws at random; empty where nothing does",
    "max_size": "cap on the tokens of a community; empty without a cap",
    "n_questions": "questions asked",
    "n_videos": "videos asked about",
    "n_failed": "questions that have no answer",
    "frames": "frames taken of a video, at most",
    "n_frames": "frames taken of the video",
    "n_options": "options of the question",
    "n_tokens": "tokens of the video",
    "n_edges": "edges of the community graph",
    "prune_layer": "layer of the LLM at which tokens are dropped; 0: before the first",
    "n_layers": "layers of the LLM",
    "n_candidates": "representatives and events before the reduction to the budget",
    "n_frames_kept": "frames of which a token is kept",
    "n_input": "tokens that enter the LLM",
    "largest_community": "tokens of the largest community after the cap",
    "attempts": "how often it was tried",
    "threads": "threads of the CPU engine",
    "T": "frames of tokens",
    "H": "rows of tokens per frame",
    "W": "columns of tokens per frame",
    "d": "channels of a token",
    "input_mtime_ns": "when the input was last changed, nanoseconds since 1970",
}
_NUMBERS = {
    "retain_ratio": "share of tokens to keep",
    "resolution": "resolution of the community backend; empty where it has none",
    "tau_sim": "similarity an edge must exceed; empty without edges",
    "fps": "frames taken per second",
    "event_threshold": "similarity below which a token is an event",
    "median_size": "median tokens of a community after the cap",
    "cpm": "constant Potts quality at gamma 0.5, per token",
    "coverage": "edge weight inside communities over all edge weight",
    "mean_conductance": "weight leaving a community over the smaller side's volume, mean over communities",
    "internal_density": "edges inside a community over pairs inside, mean over communities",
    "internal_similarity": "mean cosine of the edges inside communities",
    "mean_centrality": "mean cosine of a token to all others of its community",
    "mean_layer_tokens": "tokens on average over the LLM's layers",
    "p_answer": "probability of the right letter",
    "p_letters": "probability of all letters together",
    "nmi": "normalised mutual information of the two partitions",
    "ari": "adjusted Rand index of the two partitions",
    "vi": "variation of information of the two partitions, in nats",
    "uncapped_nmi": "the same as nmi, before the cap",
}
_TIMES = {
    "graph_s": "time of building the graph",
    "centrality_s": "time of the centralities",
    "events_s": "time of finding events",
    "reduction_s": "time of reducing candidates to the budget",
    "probe_s": "time of reading attention ahead of the selection",
    "prepare_s": "time of decoding and preprocessing",
    "dump_s": "time of making the dump",
    "import_s": "time of importing stgraph",
    "first_selection_s": "time of the first selection in a process",
    "second_selection_s": "time of the second one",
}
_HANDED_ON = "cosine of dropped {} to the nearest token handed on, {}"
_SHOWN = (
    Column("detection_s", float, "time of detection, libraries loaded before", "s", "detect", digits=1, better="lower"),
    Column("n_uncapped", int, "communities before the cap", title="found"),
    Column("largest_uncapped", int, "tokens of the largest community before the cap", title="largest"),
    Column("n_oversized", int, "communities larger than √N before the cap", title="above √N"),
    Column(
        "oversized_ratio", float, "share of all tokens in communities larger than √N before the cap", "share", "hold"
    ),
    Column("n_communities", int, "communities after the cap", title="after cap"),
    Column("largest", int, "tokens of the largest community after the cap", title="largest after cap"),
    Column("n_singletons", int, "tokens that are a community by themselves", title="alone"),
    Column(
        "uncapped_modularity", float, "modularity before the cap", "", "modu\u00adlarity", digits=3, better="higher"
    ),
    Column("modularity", float, "modularity after the cap", "", "modularity after cap", "after cap", 3, "higher"),
    Column("n_kept", int, "tokens kept, or handed on after merging", title="kept"),
    Column("n_visual", int, "tokens of the video in the prompt", title="of"),
    Column(
        "mean_layer_ratio", float, "tokens on average over the LLM's layers, of all", "share", "layer mean", digits=1
    ),
    Column("n_representative", int, "tokens kept as representatives only", title="representatives only", head="SRTS"),
    Column("n_event", int, "tokens kept as events only", title="events only", head="DETS"),
    Column("n_both", int, "tokens kept as both", title="both"),
    Column("excess", int, "candidates beyond the budget, dropped again", title="excess"),
    Column("n_events", int, "event tokens", title="events"),
    Column("n_events_kept", int, "event tokens among the kept", title="events kept", better="higher"),
    *(
        Column(f"{name}_{figure}", float, _HANDED_ON.format(who, what), "", title, head, 3, "higher")
        for name, figure, who, what, title, head in (
            ("fidelity", "mean", "tokens", "mean", "near\u00adest", ""),
            ("fidelity", "p5", "tokens", "5th percentile", "nearest, 5 %", "5\u00a0%"),
            ("event_fidelity", "mean", "event tokens", "mean", "nearest, events", "events"),
            ("event_fidelity", "p5", "event tokens", "5th percentile", "nearest, events, 5 %", ""),
            ("cut_fidelity", "mean", "tokens right after a shot change", "mean", "nearest, cuts", "cuts"),
            ("cut_fidelity", "p5", "tokens right after a shot change", "5th percentile", "nearest, cuts, 5 %", ""),
        )
    ),
    Column(
        "frame_evenness", float, "entropy of the kept tokens over frames, at most 1", "", "even\u00adness", digits=3
    ),
    Column(
        "cap_changed_ratio",
        float,
        "1 - Jaccard overlap of the tokens kept with and without the cap",
        "share",
        "cap changes",
    ),
    Column("jaccard", float, "Jaccard overlap of the kept tokens", "", "over\u00adlap", digits=2),
    Column(
        "reference_overlap",
        float,
        "Jaccard overlap of the kept tokens with those at the paper's thresholds, all else equal",
        "share",
        "overlap",
    ),
    Column("events_kept_ratio", float, "share of the event tokens that are kept", "share", "event tokens kept"),
    Column(
        "communities_kept_ratio",
        float,
        "share of the communities of which a token is kept",
        "share",
        "communities kept",
    ),
    Column("select_s", float, "time of one selection, run once", "s", "run", better="lower"),
    Column("total_s", float, "time of one forward pass, selection included", "s", "forward", better="lower"),
    Column("seconds", float, "median time over the rounds", "s", "median", digits=2, better="lower"),
    Column("reads", float, "the same in plain reads of the features", "", "reads", digits=2, better="lower"),
    Column("speedup", float, "times faster than the full prompt", "", "times faster", digits=2, better="higher"),
    Column("extra_bytes_ratio", float, "peak memory of a selection beside the features, of these", "share", digits=1),
    Column("accuracy", float, "questions answered right", "share", "right", digits=1, better="higher"),
    Column("low", float, "lower end of the 95 % interval", "share", "low", digits=1),
    Column("high", float, "upper end of the 95 % interval", "share", "high", digits=1),
    Column("accuracy_low", float, "lower end of the 95 % interval of the accuracy", "share", digits=1),
    Column("accuracy_high", float, "upper end of the 95 % interval of the accuracy", "share", digits=1),
    Column("difference", float, "accuracy less that of the reference, paired", "share", "difference", digits=1),
    Column("chance", float, "accuracy of guessing", "share", "chance", digits=1),
    Column("duration_s", float, "length of the video", "s"),
    Column("input_bytes", int, "size of the input", "bytes"),
    Column("video_bytes", int, "size of the video file", "bytes"),
)


def _declared() -> Iterable[Column]:
    for kind, meanings in ((str, _TEXTS), (bool, _SWITCHES), (int, _COUNTS), (float, _NUMBERS)):
        yield from (Column(name, kind, meaning) for name, meaning in meanings.items())
    yield from (Column(name, float, meaning, "s", better="lower") for name, meaning in _TIMES.items())
    yield from _SHOWN


COLUMNS: Mapping[str, Column] = {column.name: column for column in _declared()}

# What a selection loses: cosine of dropped tokens to the nearest token handed on; of these, those that are shown.
FIDELITY = tuple(name for name in COLUMNS if "fidelity_" in name)
NEAREST = ("fidelity_mean", "fidelity_p5", "event_fidelity_mean", "cut_fidelity_mean")
