"""The parent's side of a worker: start, listen, and say in plain words how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.store.errors import describe_os_error
from pipeline.store.files import write_atomic

# What a worker may see of the environment: how to find programs, libraries and temporary space.
# Results depend on none of it; hash seed, locale and time zone are not passed on.
_ENVIRONMENT = (
    "PATH", "HOME", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
)  # fmt: skip
_OWN_MODULES = {"pipeline", "pipeline.workers", "pipeline.workers.imports"}
_STDERR_LINES = 5
_live: set[subprocess.Popen[bytes]] = set()
_live_guard = threading.Lock()


class WorkerError(Exception):
    """A worker failed; the message says how, in plain words, with its last lines of output."""


@dataclass(frozen=True)
class Usage:
    """What a worker took, and the project modules that it had imported in the end, those of the
    worker itself left out."""

    seconds: float
    peak_bytes: int
    modules: tuple[str, ...]


def run_worker(
    entry: str,
    *,
    arguments: Mapping[str, Any],
    paths: Mapping[str, Path | Mapping[str, Path]],
    folder: Path,
    roots: Sequence[Path],
    progress: Callable[[float, str], None] | None,
    log: Path,
    bytecode: Path,
) -> Usage:
    """Calls an entry ("module:function") in a new process and waits for it.

    `folder` is its working folder, `roots` is where project modules are found. A function that
    takes no `progress` is called without. What it wrote to standard error is kept in `log` if it
    fails; compiled modules are kept below `bytecode`.

    Raises WorkerError if it fails, crashes or is killed.
    """
    job = {
        "entry": entry,
        "arguments": dict(arguments),
        "paths": {name: _plain(value) for name, value in paths.items()},
        "roots": [str(root) for root in roots],
        "bytecode": str(bytecode),
        "reports": progress is not None,
    }
    job_path, stderr_path, cwd = folder / "job.json", folder / "stderr.txt", folder / "cwd"
    started = time.monotonic()
    try:
        job_path.write_text(json.dumps(job))
        cwd.mkdir()
        with open(stderr_path, "wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pipeline.workers.stage", str(job_path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=cwd,
                env=_environment(roots),
                start_new_session=True,
            )
    except OSError as error:
        raise WorkerError(describe_os_error(error, "starting a worker")) from error
    last = _listen(process, progress)
    if last.get("event") == "done" and process.returncode == 0:
        modules = tuple(name for name in last["modules"] if name not in _OWN_MODULES)
        return Usage(time.monotonic() - started, int(last["peak_bytes"]), modules)
    said = stderr_path.read_bytes()
    raise WorkerError(_describe(process.returncode, last, said, _keep(log, said)))


def _plain(value: Path | Mapping[str, Path]) -> str | dict[str, str]:
    if isinstance(value, Path):
        return str(value)
    return {name: str(path) for name, path in value.items()}


def _environment(roots: Sequence[Path]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    places = os.pathsep.join(str(root) for root in roots)
    return kept | {"PYTHONPATH": places, "PYTHONUTF8": "1", "PYTHONFAULTHANDLER": "1"}


def _listen(
    process: subprocess.Popen[bytes], progress: Callable[[float, str], None] | None
) -> dict[str, Any]:
    """Passes progress on until the worker ends; gives its last word. Never leaves it running."""
    last: dict[str, Any] = {}
    with _live_guard:
        _live.add(process)
    threading.Thread(target=_end_group, args=[process], daemon=True).start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            event = _parse_event(line)
            if event.get("event") == "progress" and progress is not None:
                progress(event["done"], event["text"])
            else:
                last = event
        process.wait()
    finally:
        _kill(process)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        with _live_guard:
            _live.discard(process)
    return last


def _parse_event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}  # half a line: the worker was killed while it wrote
    return event if isinstance(event, dict) else {}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """When the worker ends, ends what it had forked: those hold the pipe that we listen to, and
    we would listen for ever. The worker is not reaped yet, so its group number is still its own."""
    if not hasattr(os, "waitid"):
        return
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        os.killpg(process.pid, signal.SIGKILL)
    except (ChildProcessError, ProcessLookupError, PermissionError):
        pass


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        pass


def stop_all() -> None:
    """Kills every live worker, also those that other threads wait for."""
    with _live_guard:
        processes = list(_live)
    for process in processes:
        _kill(process)


def _keep(log: Path, said: bytes) -> str:
    try:
        write_atomic(log, said)
    except OSError:
        return ""  # the disk is full: the message has the last lines anyway
    shown = os.path.relpath(log)
    return f"\nlog: {log if shown.startswith('..') else shown}"


def _describe(code: int, last: Mapping[str, Any], said: bytes, log: str) -> str:
    if last.get("event") == "failed":
        return _describe_reason(last["reason"], log)
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    # Where Python's fault handler spoke, its first lines name the place of the crash.
    fatal = next((i for i, line in enumerate(lines) if line.startswith("Fatal Python")), None)
    shown = lines[-_STDERR_LINES:] if fatal is None else lines[fatal : fatal + _STDERR_LINES]
    tail = "".join(f"\n  | {line[:200]}" for line in shown)
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = {
            "SIGKILL": "something killed it, most often the system when memory runs out",
            "SIGXFSZ": "a file grew past the size limit of this process",
        }.get(name, "it crashed in native code")
        return f"the worker ended by {name}: {hint}{tail}{log}"
    return f"the worker ended with exit code {code} before it was done{tail}{log}"


def _describe_reason(reason: Mapping[str, Any], log: str) -> str:
    message, kind, place = reason["message"], reason["kind"], reason.get("place")
    if reason.get("errno"):
        error = OSError(reason["errno"], os.strerror(reason["errno"]), reason["file"])
        return describe_os_error(error, "running the stage")
    if kind == "MemoryError":
        return f"out of memory: close other programs or build on a larger machine{log}"
    if place is None:
        return str(message) or str(kind)
    return f"{message or 'no message'} ({kind} at {place}){log}"
