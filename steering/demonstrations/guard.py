"""Runs the reading of other people's files in a process of its own, with bounded time and memory.

Libraries that decode video, HDF5 and Parquet are written in C: a damaged file may crash or hang them. Here that ends
the child, and the caller gets one sentence. Costs half a second to start. Memory is bounded where the system can
(Linux); time everywhere.

The child is `python -m steering.demonstrations.guard` (`steering.child`): one request, then progress and the result.
"""

from __future__ import annotations

import importlib
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steering import errors, hub, logins
from steering.child import ONE_CORE, Child, Gone, Parent, Silent
from steering.demonstrations.limits import LIMITS, Limits
from steering.errors import InputError, SteeringError
from steering.logins import Login
from steering.progress import Progress, Report

POLL_S = 0.2


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
    if login := logins.of(hub.account_of(arguments.values())):
        request["login"] = asdict(login)
    with tempfile.TemporaryDirectory(prefix="reading-", dir=scratch, ignore_cleanup_errors=True) as temporary:
        return _run(request, Path(temporary), name, limits, progress)


def _run(request: Mapping[str, Any], temporary: Path, name: str, limits: Limits, progress: Progress) -> Any:
    child = Child(("-m", "steering.demonstrations.guard"), {**ONE_CORE, "TMPDIR": str(temporary)}, quiet=True)
    end_s = time.monotonic() + limits.seconds
    last = (0.0, f"Opening {name}")
    try:
        child.send(request)
        while True:
            try:
                message = child.receive(POLL_S).fields
            except Silent:
                progress.report(*last)
                if time.monotonic() > end_s:
                    raise InputError(
                        f"{name} was not read within {limits.seconds:g} s and was given up; it is damaged or very "
                        "large. Give fewer episodes."
                    ) from None
                continue
            if "result" in message:
                return message["result"]
            if "error" in message:
                kind = getattr(errors, message["error"], InputError)
                known = isinstance(kind, type) and issubclass(kind, SteeringError)
                raise (kind if known else InputError)(message["words"])
            last = (message["fraction"], message["message"])
            progress.report(*last)
    except Gone as end:
        raise _crashed(end.code, name, limits) from None
    finally:
        child.end()


def _crashed(code: int | None, name: str, limits: Limits) -> InputError:
    if code is None:
        return InputError(f"{name} could not be read: the reading process did not start.")
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
    parent = Parent()
    asked = parent.receive()
    if asked is None:
        return
    request = asked.fields
    if "login" in request:
        logins.remember(Login(**request["login"]))

    def sink(report: Report) -> None:
        parent.send({"fraction": report.fraction, "message": report.message})

    name = request["name"]
    module, _, function = request["function"].partition(":")
    try:
        work = getattr(importlib.import_module(module), function)
        _limit_memory(request["memory_bytes"])
        parent.send({"result": work(**request["arguments"], progress=Progress(sink))})
    except SteeringError as error:
        parent.send({"error": type(error).__name__, "words": str(error)})
    except MemoryError:
        parent.send({"error": "InputError", "words": f"{name} needs more memory than is allowed. Give fewer episodes."})
    except Exception as error:  # the last line of defence: whatever a file provoked becomes a sentence
        parent.send(
            {"error": "InputError", "words": f"{name} cannot be read ({type(error).__name__}: {str(error)[:200]})."}
        )


if __name__ == "__main__":
    main()
