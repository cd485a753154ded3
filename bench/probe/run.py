"""Running a probe plan: every setting on every video, answered by the probe's models."""

from __future__ import annotations

import json

import numpy as np

import stgraph
from stgraph.aliases import Progress
from stgraph.bench.probe.choosing import Chooser, Chosen
from stgraph.bench.probe.exam import Exam, make_clips
from stgraph.bench.probe.plan import REFERENCES, ProbePlan, ProbeSetting
from stgraph.bench.probe.rows import COMMUNITIES, PARAMETERS, ProbeRows, accuracy_columns
from stgraph.bench.probe.splits import DIGEST
from stgraph.bench.probe.weights import asked_families, encoder_of, load_model, weights_digest
from stgraph.bench.sweep_plan import tau_diff_text
from stgraph.bench.tables.table import Row
from stgraph.selection.base import parameters_of


def run(plan: ProbePlan, store: ProbeRows | None = None, progress: Progress | None = None) -> list[Row]:
    """The rows of a plan: those in ``store``, and newly computed ones.

    Parameters
    ----------
    plan : the plan to run
    store : rows of earlier runs, and where new ones go; None for memory. It is saved even if the run is interrupted
    progress : called with a label and the share of the work done, 0 to 1

    Returns
    -------
    list of Row
        columns :data:`stgraph.bench.probe.rows.PROBE`; for each model "full", "blind", then settings by ratio
    """
    store = ProbeRows() if store is None else store
    tell = progress or (lambda label, share: None)
    points: list[tuple[ProbeSetting, float]] = [(ProbeSetting("full"), 1.0), (ProbeSetting("blind"), 0.0)]
    points += [(setting, ratio) for setting in plan.settings for ratio in plan.retain_ratios]
    keys = {model: [store.table.key_of(_key(plan, model, *point)) for point in points] for model in plan.models}
    total, done = len(points) * len(plan.models), 0
    tell("loading the probe", 0.0)
    clips, encoder = None, None
    try:
        for model in plan.models:
            missing = [point for point, key in zip(points, keys[model], strict=True) if not store.get([key])]
            if missing:
                loaded = load_model(model)
                if clips is None or encoder != encoder_of(model):  # models of one kind share an encoder
                    encoder = encoder_of(model)
                    clips = make_clips(loaded.visual, plan.videos, plan.n_videos, asked_families(), signals=True)
                chooser = Chooser(exam := Exam(loaded, clips))
                for i, (setting, ratio) in enumerate(missing):
                    tell(f"{model}: {setting.selector}, r = {ratio:g}", (done + i) / total)
                    store.add([_row(plan, model, setting, ratio, exam, chooser)])
            done += len(points)
    finally:
        store.save()
    tell("done", 1.0)
    return store.get(key for model in plan.models for key in keys[model])


def _key(plan: ProbePlan, model: str, setting: ProbeSetting, ratio: float) -> Row:
    """The key of :data:`stgraph.bench.probe.rows.PROBE`."""
    row: Row = {
        "model": model,
        "weights": weights_digest(model),
        "videos": plan.videos,
        "n_questions": plan.n_videos * plan.questions_a_video,
        "selector": setting.selector,
        "features": setting.features,
    }
    for name in PARAMETERS:
        value = None if setting.selector in REFERENCES else setting.get(name)
        if name == "tau_diff" and value is not None:
            value = tau_diff_text(value)
        row[name] = value
    if setting.selector not in REFERENCES and "max_size" in parameters_of(setting.selector):
        row["max_size"] = "none" if row["max_size"] is None else str(row["max_size"])
    others = {name: value for name, value in setting.parameters.items() if name not in PARAMETERS}
    row["parameters"] = json.dumps(others, sort_keys=True) if others else None
    return {**row, "retain_ratio": float(ratio)}


def _row(plan: ProbePlan, model: str, setting: ProbeSetting, ratio: float, exam: Exam, chooser: Chooser) -> Row:
    chosen = None
    if setting.selector in REFERENCES:
        right = exam.answer_all() if setting.selector == "full" else exam.answer_blind()
    else:
        chosen = chooser.choose(setting, ratio)
        right = exam.answer(chosen.selections)
    return {
        **_key(plan, model, setting, ratio),
        "stgraph": stgraph.__version__,
        "generator": DIGEST,
        "n_videos": plan.n_videos,
        **_choice_columns(chosen, ratio),
        **accuracy_columns(right, exam.clips.families),
    }


def _choice_columns(chosen: Chosen | None, ratio: float) -> Row:
    if chosen is None:
        from stgraph.bench.probe.model import N_TOKENS

        return {"library": None, "n_kept": ratio * N_TOKENS, "exactness": "exact", **dict.fromkeys(COMMUNITIES)}
    return {
        "library": chosen.library,
        "n_kept": float(np.mean([len(selection) for selection in chosen.selections])),
        "exactness": chosen.exactness,
        **chosen.communities(),
    }
