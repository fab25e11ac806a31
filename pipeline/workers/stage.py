"""The child process: runs one entry function and says how it went.

    job.json {"entry": "module:function", "arguments": {...}, "paths": {...}}
      -> function(**arguments, **paths as Path[, progress=...])
      -> one JSON event a line: progress*, then done or failed

Whatever the stage itself prints goes to standard error. When the parent dies, so does this
process with all it started.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.workers.imports import import_by_content, root_of

# A stage may report progress in its inner loop; the parent need not hear all of it.
_EVENT_SECONDS = 0.05


def main(job_path: str) -> int:
    """Runs the job and gives the exit code: 0 done, 1 failed (the reason went out as an event)."""
    events = _take_stdout()
    _die_with_parent()
    job = json.loads(Path(job_path).read_bytes())
    import_by_content(job["roots"], job["bytecode"])
    try:
        _call(job, _reporter(events))
    except Exception as error:
        _send(events, event="failed", reason=_reason(error, job["roots"]))
        with suppress(OSError):  # a disk that is full has no room for this, either
            traceback.print_exc()
        return 1
    _send(events, event="done", peak_bytes=_peak_bytes(), modules=_modules(job["roots"]))
    return 0


def _take_stdout() -> BinaryIO:
    """Keeps the pipe to the parent for events; prints, also those of native code, go to stderr."""
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return events


def _die_with_parent() -> None:
    """The parent holds the other end of standard input and never writes: an end means it died."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _call(job: Mapping[str, Any], progress: Callable[[float, str], None]) -> None:
    module, _, name = job["entry"].partition(":")
    function = getattr(importlib.import_module(module), name)
    paths = {name: _as_paths(value) for name, value in job["paths"].items()}
    reports = {"progress": progress} if job["reports"] else {}
    function(**job["arguments"], **paths, **reports)


def _as_paths(value: str | Mapping[str, str]) -> Path | dict[str, Path]:
    if isinstance(value, str):
        return Path(value)
    return {name: Path(path) for name, path in value.items()}


def _reporter(events: BinaryIO) -> Callable[[float, str], None]:
    last = 0.0

    def progress(done: float, text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVENT_SECONDS:
            last = now
            _send(events, event="progress", done=float(done), text=str(text))

    return progress


def _send(events: BinaryIO, **event: Any) -> None:
    events.write(json.dumps(event).encode() + b"\n")


def _reason(error: Exception, roots: list[str]) -> dict[str, Any]:
    """What went wrong, for the parent to word. An error that Python raised itself is most likely
    a mistake in our code, so its place goes along."""
    reason: dict[str, Any] = {"kind": type(error).__name__, "message": str(error)}
    if isinstance(error, OSError):
        reason |= {"errno": error.errno, "file": error.filename and str(error.filename)}
    if type(error).__module__ == "builtins":
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            root = root_of(frame.filename, roots)
            if root is not None:
                reason["place"] = f"{os.path.relpath(frame.filename, root)}:{frame.lineno}"
                break
    return reason


def _modules(roots: list[str]) -> list[str]:
    """The project modules that were imported, whichever way: its key has to cover them."""
    return sorted(
        name
        for name, module in list(sys.modules.items())
        if root_of(getattr(module, "__file__", None) or "", roots) and name != "__main__"
    )


def _peak_bytes() -> int:
    """The most memory this process has had. Linux's rusage counts the parent's before exec too,
    so the kernel's own mark is preferred."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
