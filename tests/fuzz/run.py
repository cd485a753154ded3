"""Coverage-guided fuzzing of the readers with atheris (libFuzzer): ``make fuzz``, ``python -m fuzz.run TARGET...``.

Each target runs in a process of its own, from a fixed seed, under a limit of memory and of time per input. A crash, a
hang, too much memory, or an exception that is not one of stgraph's own ends it, and leaves the input in the folder
``fuzz-found``; add it to ``tests/fuzz/corpus/TARGET``, which the test suite replays, and fix the reader.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
LIMIT_MB = 1024  # of resident memory; PyArrow, FFmpeg and the interpreter take a fifth of it
LIMIT_S = 20  # for one input, on a machine that has other work
LOADED_LATE = (
    "arrays",
    "container_header",
    "container",
    "grid",
    "signals",
    "tokens",
    "dump",
)  # instrumented all the same
SHORT = {"dump": 8000, "query": 2000, "partition": 2000, "selection": 2000, "video": 800, "parquet": 3000}
SHORT |= dict.fromkeys(("csv", "json", "jsonl", "task"), 8000)


def fuzz(name: str, n_runs: int, seconds: int, seed: int, found: Path) -> None:
    """Run one target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["stgraph"]):
        for module in LOADED_LATE:
            importlib.import_module(f"stgraph.{module}")
        from fuzz.targets import TARGETS, attempt
    from fuzz.mutate_dump import mutate

    target = TARGETS[name]
    folder = tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    path = Path(folder) / f"input{target.suffix}"

    def one(data: bytes) -> None:
        path.write_bytes(data)
        attempt(target, path)

    def change(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        made = mutate(data, rng) if rng.random() < 0.8 else atheris.Mutate(data, most)
        return made[:most]

    options = [f"-runs={n_runs}", f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={target.max_bytes}"]
    limits = [f"-rss_limit_mb={LIMIT_MB}", f"-timeout={LIMIT_S}", f"-artifact_prefix={found}/{name}-"]
    # FFmpeg and PyArrow are not instrumented: valid files stay in the corpus though they reach nothing new of ours.
    guidance = ["-keep_seed=1", "-len_control=0"]
    grown = tempfile.mkdtemp()  # libFuzzer adds what it finds interesting to the first folder
    structured = {"custom_mutator": change} if name in ("dump", "query", "partition", "selection") else {}
    atheris.Setup([sys.argv[0], grown, str(CORPUS / name), *options, *limits, *guidance], one, **structured)
    atheris.Fuzz()


def main() -> int:
    """Run the targets one after the other, say how each ended, and count."""
    parser = argparse.ArgumentParser(prog="fuzz.run", description=__doc__.split("\n")[0])
    parser.add_argument("targets", nargs="*", choices=[*SHORT, []], help="default: all")
    parser.add_argument("--runs", type=int, help="inputs a target; -1: until the time is up; default: a short run")
    parser.add_argument("--seconds", type=int, default=60, help="at most, a target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"), help="folder for inputs that break something")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        fuzz(asked.targets[0], asked.runs, asked.seconds, asked.seed, asked.found)
        return 0
    asked.found.mkdir(exist_ok=True)
    failed = 0
    for name in asked.targets or SHORT:
        runs = SHORT[name] if asked.runs is None else asked.runs
        options = ["--runs", runs, "--seconds", asked.seconds, "--seed", asked.seed, "--found", asked.found]
        command = [sys.executable, "-m", "fuzz.run", name, "--here", *map(str, options)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=asked.seconds + 60)
        except subprocess.TimeoutExpired:  # libFuzzer's own limit does not end a loop in Python
            failed += 1
            sys.stdout.write(f"{name:8} failed: it hangs\n")
            continue
        last = next((line for line in done.stderr.splitlines() if "DONE" in line), "ended early").replace("\t", " ")
        sys.stdout.write(f"{name:8} {'failed' if done.returncode else 'passed'}: {last}\n")
        if done.returncode:
            failed += 1
            sys.stdout.write(done.stderr[-4000:])
    sys.stdout.write(f"fuzz: {len(asked.targets or SHORT) - failed} passed, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
