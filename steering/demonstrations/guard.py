"""Runs the reading of other people's files in a process of its own, with bounded time and memory.

Libraries that decode video, HDF5 and Parquet are written in C: a damaged file may crash or hang them. Here that ends
the child, and the caller gets one sentence. Costs half a second to start. Memory is bounded where the system can
(Linux); time everywhere.

The child is `python -m steering.demonstrations.guard`: one JSON line in, lines of JSON out.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from steering import errors
from steering.demonstrations.limits import LIMITS, Limits
from steering.errors import InputError, SteeringError
from steering.progress import Progress, Report

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS")}
POLL_S = 0.2
MAX_LINE_BYTES = 64 << 20


def guarded(
    function: str,
    arguments: Mapping[str, Any],
    *,
    name: str,
    limits: Limits = LIMITS,
    scratch: Path | None = None,
    progress: Progress = Progress(),
) -> Any:
    """What `function` (`module:name`) returns for the keyword `arguments`, both plain JSON values.

    The function gets `progress` too. name: of what is read, for messages. scratch: folder in which the child's
    temporary files lie (None: the system's); they are gone afterwards, however it ended. Raises the function's own
    SteeringError, or InputError where the child crashed, took longer than `limits.seconds` or needed more than
    `limits.memory_bytes`.
    """
    request = {"function": function, "arguments": dict(arguments), "name": name, "memory_bytes": limits.memory_bytes}
    with tempfile.TemporaryDirectory(prefix="reading-", dir=scratch, ignore_cleanup_errors=True) as temporary:
        return _run(request, Path(temporary), name, limits, progress)


def _run(request: Mapping[str, Any], temporary: Path, name: str, limits: Limits, progress: Progress) -> Any:
    python_path = os.pathsep.join([str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    child = subprocess.Popen(
        [sys.executable, "-m", "steering.demonstrations.guard"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env={**os.environ, **THREADS, "PYTHONPATH": python_path, "TMPDIR": str(temporary)},
    )
    assert child.stdin is not None and child.stdout is not None
    try:
        child.stdin.write(json.dumps(request) + "\n")
        child.stdin.close()
        return _watched(child, child.stdout, name, limits, progress)
    except BrokenPipeError:
        raise InputError(f"{name} could not be read: the reading process did not start.") from None
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def _watched(child: subprocess.Popen[str], output: IO[str], name: str, limits: Limits, progress: Progress) -> Any:
    lines: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        for line in iter(lambda: output.readline(MAX_LINE_BYTES), ""):
            lines.put(line)
        lines.put(None)

    threading.Thread(target=listen, daemon=True).start()
    end_s = time.monotonic() + limits.seconds
    last = (0.0, f"Opening {name}")
    while True:
        try:
            line = lines.get(timeout=POLL_S)
        except queue.Empty:
            progress.report(*last)
            if time.monotonic() > end_s:
                raise InputError(
                    f"{name} was not read within {limits.seconds:g} s and was given up; it is damaged or very large. "
                    "Give fewer episodes."
                ) from None
            continue
        if line is None:
            raise _crashed(child.wait(), name, limits)
        message = json.loads(line)
        if "result" in message:
            return message["result"]
        if "error" in message:
            kind = getattr(errors, message["error"], InputError)
            raise (kind if isinstance(kind, type) and issubclass(kind, SteeringError) else InputError)(message["words"])
        last = (message["fraction"], message["message"])
        progress.report(*last)


def _crashed(code: int, name: str, limits: Limits) -> InputError:
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return InputError(
        f"{name} made the library that reads it crash ({how}), or needs more than {limits.memory_bytes >> 30} GB; "
        "it is probably damaged. Copy it again."
    )


def _limit_memory(size: int) -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Serve one request."""
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print do not reach the protocol

    def send(**message: Any) -> None:
        protocol.write(json.dumps(message) + "\n")
        protocol.flush()

    def sink(report: Report) -> None:
        send(fraction=report.fraction, message=report.message)

    request = json.loads(sys.stdin.readline())
    name = request["name"]
    module, _, function = request["function"].partition(":")
    try:
        work = getattr(importlib.import_module(module), function)
        _limit_memory(request["memory_bytes"])
        send(result=work(**request["arguments"], progress=Progress(sink)))
    except SteeringError as error:
        send(error=type(error).__name__, words=str(error))
    except MemoryError:
        send(error="InputError", words=f"{name} needs more memory than is allowed. Give fewer episodes.")
    except Exception as error:  # the last line of defence: whatever a file provoked becomes a sentence
        send(error="InputError", words=f"{name} cannot be read ({type(error).__name__}: {str(error)[:200]}).")


if __name__ == "__main__":
    main()
