"""The density of communities as Markdown tables: the last tables of ``docs/objectives.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stgraph.aliases import Row
from stgraph.community.objectives import default_resolution
from stgraph.plain_json import parse_json
from stgraph.viz.markdown.study import accuracy, corrected_table, markdown, ratios_of

FILES = ("densities", "density-contrasts")
_NAMES = {"leidenalg-leiden-surprise": "surprise", "leidenalg-leiden-significance": "significance"}


def tables(found: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Tables by name, of the rows of :data:`FILES`."""
    rows, contrasts = (found[name] for name in FILES)
    return {"densities": density_table(rows), "density-differences": difference_table(contrasts)}


def density_table(rows: Sequence[Row]) -> str:
    """Accuracy by threshold and ratio, a line per resolution of CPM, then the objectives without one."""
    taus, ratios = sorted({row["tau_sim"] for row in rows} - {None}), ratios_of(rows)
    given = {row["parameters"] for row in rows if row["backend"] == "lattice-leiden"}
    lines = {_name(one): ("lattice-leiden", one) for one in sorted(given, key=_resolution)}
    lines |= {name: (backend, None) for backend, name in _NAMES.items()}
    body = []
    for name, (backend, parameters) in lines.items():
        setting = {"backend": backend, "parameters": parameters}
        body.append([name, *(accuracy(rows, r, **setting, tau_sim=tau) for r in ratios for tau in taus)])
    return markdown(["density", *(f"r = {r}, {tau}" for r in ratios for tau in taus)], body)


def difference_table(contrasts: Sequence[Row]) -> str:
    """Differences from CPM at its default; Holm's correction over the table."""

    def labels(row: Row) -> tuple[str, ...]:
        name = _NAMES[row["a"]] if row["contrast"] == "backend" else _name(row["a"])
        return f"{name} over {_name(None)}", str(row["tau_sim"])

    return corrected_table(("choice", "tau_sim"), contrasts, labels)


def _name(parameters: str | None) -> str:
    return f"CPM, {_resolution(parameters):g}"


def _resolution(parameters: str | None) -> float:
    """Of CPM, from the parameters of a row; the default where none is given."""
    return default_resolution("cpm") if parameters is None else float(parse_json(parameters)["resolution"])
