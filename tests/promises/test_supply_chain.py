"""What stgraph stands on: licences of what is installed, floors that agree, and what a release holds."""

from __future__ import annotations

import re
import runpy
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from command_line import flat, run

from stgraph.cli import licences
from stgraph.cli.licences import Licence

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    """The packages of a list of requirements, ours left out."""
    found = {re.match(r"[A-Za-z0-9._-]+", text)[0] for text in requirements}  # type: ignore[index]
    return {licences._key(name) for name in found} - {licences.OURS}


def test_every_package_the_core_needs_is_listed_with_a_licence() -> None:
    found = {licences._key(one.package): one for one in licences.licences()}
    assert names(PROJECT["dependencies"]) <= found.keys()
    for name in names(PROJECT["dependencies"]):
        assert found[name].needed_by == "stgraph"
        assert found[name].version == distribution(name).version
    assert not [one.package for one in found.values() if one.licence == "not stated"]
    assert {"igraph", "leidenalg"} <= {one.package for one in found.values() if one.copyleft}
    assert "numpy" not in {one.package for one in found.values() if one.copyleft}
    assert "llvmlite" in found, "a package that numba needs"


class Stated:
    """A package with these metadata and files."""

    def __init__(self, *classifiers: str, files: tuple[str, ...] = (), **stated: str) -> None:
        self.files = [Path(file) for file in files]
        self.metadata = self
        self.json = {**stated, "classifier": [f"License :: OSI Approved :: {text}" for text in classifiers]}


@pytest.mark.parametrize(
    ("package", "licence", "copyleft"),
    [
        (Stated(license_expression="MIT"), "MIT", ""),
        (Stated(license_expression="MIT AND MPL-2.0"), "MIT AND MPL-2.0", "yes"),
        (Stated(license_expression="GPL-3.0-or-later WITH GCC-exception-3.1"), None, ""),
        (Stated("MIT License", license="Copyright ..."), "MIT License", ""),
        (Stated("GNU Lesser General Public License v3 (LGPLv3)"), None, "yes"),
        (Stated(license="AGPL-3.0\nmore"), "AGPL-3.0", "yes"),
        (Stated(), "not stated", ""),
        (Stated(license="MIT", files=("av.libs/libx264-1.so",)), "MIT", "carries x264 (GPL-2.0-or-later)"),
    ],
)
def test_what_counts_as_copyleft(package: Any, licence: str | None, copyleft: str) -> None:
    assert licences._copyleft(package) == copyleft
    assert licence is None or licences._licence(package) == licence


def test_doctor_names_the_copyleft_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Licence("igraph", "1.0", "stgraph", "GPL\x1b[2J", "yes")
    monkeypatch.setattr("stgraph.cli.licences.licences", lambda: [one, Licence("numpy", "2", "stgraph", "BSD", "")])
    text = run("doctor", "--licences")
    assert "\x1b" not in text
    assert flat("2 packages; under a copyleft licence, or carrying one: igraph") in flat(text)


def floors(requirements: list[str]) -> dict[str, tuple[int, ...]]:
    """Package -> the version it must have at least; 1.0 and 1 are the same."""
    found = {}
    for text in requirements:
        there = re.match(r"([A-Za-z0-9._-]+)>=([0-9.]+)", text)
        if there:
            numbers = [int(number) for number in there[2].split(".")]
            found[licences._key(there[1]).removeprefix("python-")] = (*numbers, 0, 0)[:3]
    return found


@pytest.mark.parametrize("name", ["environment.yml", "environment-cpu.yml"])
def test_environments_have_the_floors_of_the_core(name: str) -> None:
    lines = [line.strip().removeprefix("- ") for line in (ROOT / name).read_text().splitlines()]
    there, wanted = floors(lines), floors(PROJECT["dependencies"])
    assert {package: there.get(package) for package in wanted} == wanted


def test_the_description_on_an_index_has_no_relative_link() -> None:
    described = runpy.run_path(str(ROOT / "setup.py"))["on_an_index"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    outside = re.sub(r"^```.*?^```$", "", described(readme), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", outside)
    assert all(target.startswith("https://") for _, target in links)
    pictures = [target for picture, target in links if picture]
    assert len(pictures) == readme.count("![") > 0
    for target in pictures:
        start = f"{PROJECT['urls']['Repository']}/raw/main/"
        assert target.startswith(start)
        assert (ROOT / target.removeprefix(start)).is_file()
    assert described("```sh\nx[0](docs/a.md)\n```\n") == "```sh\nx[0](docs/a.md)\n```\n"
