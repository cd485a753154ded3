"""The OpenAI-compatible server on loopback: ``python -m stgraph.serving.check.server plan.json out.json``."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from stgraph.errors import UnavailableError
from stgraph.serving.check.plans import OFFLINE, RATE, overrides
from stgraph.serving.check.prompts import Medium

FRAMES = 8
CLIPS = {"a": Medium(T=FRAMES, seed=21), "b": Medium(T=FRAMES, seed=22)}
_UP_S = 200


@contextmanager
def serving(checkpoint: str, arguments: Mapping[str, Any], *more: str, log: IO[str] | None = None) -> Iterator[str]:
    """Context with a server on a free loopback port; gives its address.

    Parameters
    ----------
    arguments : of :func:`stgraph.serving.check.plans.overrides`
    log : the server's log file; None for the streams of this process

    Raises
    ------
    UnavailableError
        the server exits, or does not start in time
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", checkpoint]
    command += ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--enforce-eager", "--max-model-len", "4096", "--limit-mm-per-prompt", '{"image":1,"video":3}']
    for name, value in arguments.items():
        command += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)]
    process = subprocess.Popen([*command, *more], env={**os.environ, **OFFLINE}, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + _UP_S
        while not _healthy(address):
            if process.poll() is not None:
                raise UnavailableError(f"the server ended with status {process.returncode}")
            if time.monotonic() > end:
                raise UnavailableError(f"the server is not up after {_UP_S} s")
            time.sleep(0.5)
        yield address
    finally:
        process.terminate()  # it ends its engine
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2):
            return True
    except OSError:
        return False


def mp4(medium: Medium) -> str:
    """The video as an mp4 in a data URL."""
    import cv2

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "clip.mp4")
        writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"mp4v"), medium.fps, (medium.W, medium.H))
        for frame in medium.frames():
            writer.write(frame[..., ::-1])
        writer.release()
        return "data:video/mp4;base64," + base64.b64encode(Path(path).read_bytes()).decode()


def ask(
    address: str, urls: list[str], n_tokens: int = 6, rate: float | None = None, text: str = "What happens?"
) -> dict[str, Any]:
    """One chat request; tokens of the prompt and the answer, or the status and the message of an error."""
    content: list[dict[str, Any]] = [{"type": "video_url", "video_url": {"url": url}} for url in urls]
    body: dict[str, Any] = {
        "model": "tiny",
        "temperature": 0,
        "max_tokens": n_tokens,
        "ignore_eos": True,
        "messages": [{"role": "user", "content": [*content, {"type": "text", "text": text}]}],
    }
    if rate is not None:
        body["mm_processor_kwargs"] = {"video_pruning_rate": rate}
    request = urllib.request.Request(
        f"{address}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            found = json.load(reply)
    except urllib.error.HTTPError as error:
        return {"status": error.code, "message": error.read().decode(errors="replace")}
    return {"n_prompt": found["usage"]["prompt_tokens"], "text": found["choices"][0]["message"]["content"]}


def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Ask alone, then both at once, several times; with the server's rate, with a request's own, and with a bad one."""
    clips = {name: mp4(medium) for name, medium in CLIPS.items()}
    arguments = overrides(plan["family"], "st-simdiff", RATE)
    with serving(plan["checkpoint"], arguments, "--trust-request-mm-kwargs") as address:
        alone = {name: ask(address, [url]) for name, url in clips.items()}
        alone["both"] = ask(address, list(clips.values()))
        with ThreadPoolExecutor(2) as pool:
            urls = [[url] for url in clips.values()] * 4
            together = list(pool.map(lambda each: ask(address, each), urls))
        rates = {str(rate): ask(address, [clips["a"]], rate=rate) for rate in (0.0, 0.5)}
        bad = ask(address, [clips["a"]], rate=1.5)
        after = ask(address, [clips["a"]])
    return {"alone": alone, "together": together, "rates": rates, "bad": bad, "after": after}


if __name__ == "__main__":
    found = run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
