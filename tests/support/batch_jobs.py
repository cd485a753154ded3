"""A job whose inputs say what happens to the worker that reads them."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from stgraph.bench.batch.jobs import Job, Row, writing
from stgraph.errors import InputError
from stgraph.files import atomic_path


@dataclass(frozen=True, kw_only=True)
class Obedient(Job):
    """Does what the text of its input says: "ok", "slow", "wrong", "bug", "share", "die", "full"; with "-once" it is
    done the first time only, which a file beside the input remembers."""

    factor: int = 1
    write: bool = False

    name: ClassVar[str] = "obedient"
    suffixes: ClassVar[tuple[str, ...]] = (".txt",)
    columns: ClassVar[Mapping[str, type]] = {"length": int, "nothing": float, "work_s": float}

    @property
    def output(self) -> tuple[str, str] | None:
        return ("made", ".out") if self.write else None

    def run(self, path: Path, target: Path | None) -> list[Row]:
        text = path.read_text()
        what, _, once = text.partition("-")
        marker = path.with_name(path.name + ".seen")
        if not (once.strip() == "once" and marker.exists()):
            if once:
                marker.touch()
            self._do(what.strip(), path)
        if target is not None:
            with writing(), atomic_path(target) as temporary:
                temporary.write_text(text)
        return [{"length": self.factor * len(text) + i, "work_s": time.perf_counter()} for i in range(2)]

    def _do(self, what: str, path: Path) -> None:
        if what == "slow":
            time.sleep(0.15)
        elif what == "wrong":
            raise InputError(f"{path.name} is wrong")
        elif what == "bug":
            raise ZeroDivisionError("a bug")
        elif what == "share":
            raise ConnectionError("the share went away")
        elif what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "full":
            with writing():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def written(folder: Path, texts: Mapping[str, str]) -> Path:
    """A folder of inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def rows(output: Path, *, times: bool = False) -> list[dict[str, Any]]:
    """Every row of a batch, by input; without what differs between two runs."""
    from pyarrow import dataset

    found = dataset.dataset(output / "rows", format="parquet", exclude_invalid_files=False).to_table().to_pylist()
    found.sort(key=lambda row: (row["input"], row.get("length") or 0))
    drop = () if times else ("attempts",)
    return [{k: v for k, v in row.items() if times or not (k.endswith("_s") or k in drop)} for row in found]
