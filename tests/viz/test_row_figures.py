"""Figures of rows: accuracy curves, sweeps, comparisons; ``stgraph plot``; and the rows they are read from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from clips import clip
from probe_rows import PROBE, probe_row

from stgraph.bench.answers.summary import accuracy_rows
from stgraph.bench.compare import compare_backends
from stgraph.errors import InputError
from stgraph.selection.settings import backend_settings
from stgraph.viz.figures.accuracy import accuracy_figure
from stgraph.viz.figures.backends import backend_figure, selector_figure
from stgraph.viz.figures.row_curves import curves
from stgraph.viz.figures.sweep import sweep_figure

pytest.importorskip("matplotlib", reason="needs matplotlib")

Row = dict[str, Any]


def test_accuracy_against_the_ratio() -> None:
    figure = accuracy_figure(PROBE, ("accuracy", "bg"))
    left, right = figure.axes
    lines = {line.get_label(): line for line in left.lines}
    assert list(lines) == [
        "random",
        "st-simdiff, lattice-components",
        "st-simdiff, igraph-leiden",
        "all tokens",
        "no tokens (blind)",
    ]
    np.testing.assert_allclose(lines["random"].get_xydata(), [[0.1, 52.5], [0.5, 62.5]])
    assert lines["all tokens"].get_ydata() == pytest.approx([90, 90])
    assert lines["no tokens (blind)"].get_ydata() == pytest.approx([40, 40])
    band = left.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(50.5)
    assert band[:, 1].max() == pytest.approx(65.5)
    np.testing.assert_allclose(right.lines[0].get_ydata(), [42.5, 52.5])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["accuracy", "bg: background"]
    assert left.get_ylabel() == "accuracy, %"


def test_references_of_several_models() -> None:
    rows = [*PROBE, probe_row("full", 1.0, 0.8, model="n"), probe_row("random", 0.1, 0.5, model="n")]
    (axes,) = accuracy_figure(rows).axes
    labels = axes.get_legend_handles_labels()[1]
    assert [label for label in labels if "tokens" in label] == [
        *("all tokens, m: 90.0 %", "no tokens (blind), m: 40.0 %", "all tokens, n: 80.0 %")
    ]


def test_curves_are_named_by_what_differs() -> None:
    rows = [probe_row("s", r, 0.5, tau_sim=tau, seed=seed) for r in (0.1, 0.2) for tau in (0.7, 0.8) for seed in (0,)]
    found = curves(rows, "retain_ratio", "accuracy", ("selector", "tau_sim", "seed"))
    assert [c.label for c in found] == ["tau_sim 0.7", "tau_sim 0.8"]
    assert curves(rows[:1], "retain_ratio", "accuracy", ("selector",))[0].label == "accuracy"
    lacking = [probe_row("a", 0.1, 0.5), probe_row("b", 0.1, 0.5, seed=0, events=True)]
    assert [c.label for c in curves(lacking, "retain_ratio", "accuracy", ("selector", "seed", "events"))] == ["a", "b"]
    alike = [probe_row("a", 0.1, 0.5), probe_row("a", 0.1, 0.6, seed=0)]
    assert [c.label for c in curves(alike, "retain_ratio", "accuracy", ("selector", "seed"))] == ["accuracy", "seed 0"]
    twice = [probe_row("s", 0.1, 0.5), probe_row("s", 0.1, 0.7), probe_row("s", 0.2, 0.6, accuracy_low=None)]
    (mean,) = curves(twice, "retain_ratio", "accuracy", ("selector",))
    assert mean.y == pytest.approx([0.6, 0.6])
    assert mean.low == [pytest.approx(0.58), None]


def test_no_tokens_far_below_do_not_flatten_the_curves() -> None:
    curve = [probe_row("srts", r, 0.8 + r / 10) for r in (0.1, 0.5)]
    (axes,) = accuracy_figure([*PROBE[:1], probe_row("blind", 0.0, 0.1), *curve]).axes
    low, high = axes.get_ylim()
    assert 70 < low < 79
    assert high > 90
    assert "no tokens (blind): 10.0 %" in axes.get_legend_handles_labels()[1]
    (near,) = accuracy_figure([*PROBE[:1], probe_row("blind", 0.0, 0.7), *curve]).axes
    assert near.get_ylim()[0] < 70


def test_rows_of_single_questions_are_summarised() -> None:
    settings = {
        "backend": None,
        "split": None,
        "parameters": None,
        "frames": 8,
        "fps": None,
        "pooling": None,
        "dtype": "auto",
    }
    figures = dict.fromkeys(("n_visual", "n_kept", "p_letters", "prefill_tflop", "select_s", "probe_s", "total_s"))
    rows: list[Row] = [
        {
            "selector": s,
            "retain_ratio": r,
            "digest": f"{v}{f}",
            "video": v,
            "family": f,
            "correct": f == "bg" or v == "a",
        }
        | {"n_options": 4, "error": None, **settings, **figures}
        for s, r in (("full", None), ("evs", 0.3))
        for v in "abcd"
        for f in ("bg", "mov")
    ]
    full, evs = accuracy_rows(rows)
    assert (full["accuracy"], full["bg"], full["mov"]) == (0.625, 1.0, 0.25)
    assert evs["accuracy_low"] < 0.625 < evs["accuracy_high"]
    (axes,) = accuracy_figure([full, evs], ("mov",)).axes
    assert axes.lines[0].get_xydata().tolist() == [[0.3, 25.0]]
    assert accuracy_rows(PROBE) == PROBE


def test_a_figure_holds_so_many_curves() -> None:
    many = [probe_row("s", 0.1, 0.5, tau_sim=i / 100, seed=i % 5) for i in range(60)]
    with pytest.raises(
        InputError, match=r"the rows make 60 curves, which differ in seed, tau_sim; .* up to 24: draw fewer"
    ):
        accuracy_figure(many)
    (axes,) = accuracy_figure(many[:24]).axes
    styles = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.lines}
    assert len(styles) == 24
    assert axes.figure.get_figheight() > 4


def test_what_accuracy_refuses() -> None:
    with pytest.raises(InputError, match=r"no column 'mov'; they have model, selector"):
        accuracy_figure(PROBE, ("mov",))
    with pytest.raises(InputError, match="there are no rows"):
        accuracy_figure([])
    with pytest.raises(InputError, match="column 'model' holds 'm', which is not a number"):
        accuracy_figure(PROBE, ("model",))
    with pytest.raises(InputError, match="columns is empty"):
        accuracy_figure(PROBE, ())


def sweep_row(tau_sim: float, tau_diff: Any, ratio: float, value: float, **more: Any) -> Row:
    return {"tau_sim": tau_sim, "tau_diff": tau_diff, "retain_ratio": ratio, "reference_overlap": value, **more}


def test_a_sweep() -> None:
    rows = [sweep_row(s, d, r, s * float(d) + r) for s in (0.7, 0.8) for d in ("0.1", "0.2", "0.3") for r in (0.3, 0.5)]
    left, right = sweep_figure(rows).axes
    assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("tau_sim = 0.8", "tau_diff = 0.2")
    np.testing.assert_allclose(left.lines[0].get_xydata(), [[0.1, 38], [0.2, 46], [0.3, 54]])
    np.testing.assert_allclose(right.lines[1].get_xydata(), [[0.7, 64], [0.8, 66]])
    assert [line.get_label() for line in left.lines] == ["retain_ratio 0.3", "retain_ratio 0.5"]


def test_a_sweep_of_percentiles_and_of_accuracy() -> None:
    rows = [
        sweep_row(0.8, d, 0.3, 0.5, accuracy=0.6, accuracy_low=0.5, accuracy_high=0.7) for d in ("p95", 0.3, "p80", 0.1)
    ]
    (left,) = sweep_figure(rows).axes  # tau_sim is not varied
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["0.1", "0.3", "p80", "p95"]
    np.testing.assert_allclose(left.lines[0].get_xydata(), [[i, 60] for i in range(4)])
    assert left.get_ylabel() == "questions answered correctly, %"
    with pytest.raises(InputError, match="no row has both tau_sim and tau_diff"):
        sweep_figure([{"tau_sim": None, "tau_diff": 0.2}])
    with pytest.raises(InputError, match="no column 'x'"):
        sweep_figure(rows, ("x",))


def test_backends() -> None:
    backends = ("lattice-components", "igraph-leiden")
    result = compare_backends(clip(), backend_settings(backends, seeds=(0, 1)), fidelity=False)
    figure = backend_figure(result.rows, result.overlap, 0.5)
    share, seconds, cap, quality, overlap = figure.axes
    means = {name: [r for r in result.rows if r["backend"] == name] for name in backends}
    for i, rows in enumerate(means.values()):
        assert share.patches[i].get_width() == pytest.approx(100 * np.mean([r["oversized_ratio"] for r in rows]))
        assert seconds.patches[i].get_width() == pytest.approx(1e3 * np.mean([r["detection_s"] for r in rows]))
        here = [r["cap_changed_ratio"] for r in rows if r["retain_ratio"] == 0.5]
        assert cap.patches[i].get_width() == pytest.approx(100 * np.mean(here))
    assert [t.get_text() for t in share.get_yticklabels()] == list(backends)
    assert quality.collections[1].get_offsets()[0][0] == pytest.approx(
        means["lattice-components"][0]["uncapped_modularity"]
    )
    pairs = [p["jaccard"] for p in result.overlap if p["retain_ratio"] == 0.5 and p["backend_a"] != p["backend_b"]]
    values = np.asarray(overlap.images[0].get_array())
    assert values[0, 1] == values[1, 0] == pytest.approx(np.mean(pairs))
    assert len(backend_figure(result.rows).axes) == 4
    with pytest.raises(InputError, match=r"ratio is 0\.2; the rows have 0\.1, 0\.3, 0\.5"):
        backend_figure(result.rows, ratio=0.2)
    with pytest.raises(InputError, match="there are no rows"):
        backend_figure([])
    with pytest.raises(
        InputError, match="the rows lack the column 'backend'; this figure is of rows of stgraph compare"
    ):
        backend_figure([{"x": 1}])


def test_selectors() -> None:
    rows = [
        {
            "selector": s,
            "backend": None,
            "retain_ratio": r,
            "fidelity_mean": v + r,
            "n_events_kept": 3,
            "event_fidelity_mean": None,
        }
        for s, v in (("evs", 0.3), ("srts", 0.2))
        for r in (0.1, 0.5)
    ]
    figure = selector_figure(rows)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "cosine of dropped tokens to the\nnearest token handed on, mean",
        "event tokens among those kept",
    ]
    np.testing.assert_allclose(figure.axes[0].lines[1].get_xydata(), [[0.1, 0.3], [0.5, 0.7]])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["evs", "srts"]
    with pytest.raises(InputError, match="the rows hold no figure"):
        selector_figure([{"selector": "a", "retain_ratio": 0.1}])
