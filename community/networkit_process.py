"""networkit's map equation in a process of its own, and the program that process runs.

networkit shuffles nodes by a random generator that is seeded for the whole process, and whose state cannot be read or
restored: seeded in the caller's process, it would change the caller's own random draws. The process starts with the
first request, which takes as long as importing networkit, and ends with the caller's.

Messages are safetensors, each after its length in 8 bytes. A request holds ``src``, ``dst`` [E] uint64, ``weight`` [E]
float64 and ``numbers`` [3] int64 (nodes, seed, iterations); the answer holds ``labels`` [N] int64, or
``error`` as bytes. The program imports nothing of stgraph, so that it starts fast.
"""

from __future__ import annotations

import atexit
import os
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, Any

import numpy as np
from safetensors.numpy import load, save

Message = dict[str, np.ndarray[Any, Any]]
_LENGTH = struct.Struct("<q")


class NetworkitProcess:
    """A process that answers one request after another. Safe to share between threads, and after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def answer(self, request: Message) -> Message:
        """The answer to one request.

        Raises
        ------
        RuntimeError
            networkit failed, or the process ended, for example out of memory; the next request starts another
        """
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                _write(process.stdin, request)
                found = _read(process.stdout)
            except BaseException as error:  # an interrupt, too, leaves half a message behind
                self._stop(kill=True)
                if not isinstance(error, OSError):
                    raise
                found = None
            if found is None:
                status = self._stop(kill=True)
                raise RuntimeError(f"networkit's process ended while it worked (exit status {status})")
        if "error" in found:
            raise RuntimeError(f"networkit failed: {found['error'].tobytes().decode()}")
        return found

    def _running(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():
            self._let_go()
        if self._process is None or self._process.poll() is not None:
            self._stop(kill=True)
            path = os.pathsep.join(part or os.getcwd() for part in sys.path)
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # an interrupt at the terminal is the caller's to handle
            )
            atexit.register(self._stop)
        return self._process

    def _stop(self, kill: bool = False) -> int | None:
        """End the process; its exit status."""
        process, self._process = self._process, None
        atexit.unregister(self._stop)
        if process is None or self._owner != os.getpid():
            return None
        if kill:
            process.kill()
        _close(process)
        status: int = process.wait()
        return status

    def _let_go(self) -> None:
        """Forget the process after a fork, since it is the parent's: only this side's ends of its pipes are closed."""
        process, self._process, self._owner = self._process, None, os.getpid()
        if process is not None:
            _close(process)
            process.returncode = 0  # not a child of this process, which therefore cannot wait for it


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with suppress(OSError):  # of what was not yet written, where the reader is gone
            stream.close()


def _write(stream: IO[bytes], message: Message) -> None:
    data = save(message)
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def _read(stream: IO[bytes]) -> Message | None:
    """The next message, or None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    return load(data) if len(data) == length else None


def _found(request: Message) -> Message:
    """Communities of one request, on one thread."""
    import networkit

    n_nodes, seed, iterations = request["numbers"].tolist()
    networkit.setNumberOfThreads(1)
    networkit.setSeed(seed, False)
    columns = (request["weight"], (request["src"], request["dst"]))
    graph = networkit.GraphFromCoo(columns, n=n_nodes, weighted=True, directed=False)
    algorithm = networkit.community.LouvainMapEquation(graph, False, iterations, "none")
    algorithm.run()
    return {"labels": np.asarray(algorithm.getPartition().getVector(), dtype=np.int64)}


def serve() -> None:
    """Answer requests on the standard streams until the caller closes them."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what networkit prints must not stand between the messages
    while (request := _read(requests)) is not None:
        try:
            answer = _found(request)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            answer = {"error": np.frombuffer(text.encode(), dtype=np.uint8)}
        _write(answers, answer)


if __name__ == "__main__":
    serve()
