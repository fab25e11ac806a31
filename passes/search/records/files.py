"""Writing files of records: one writer at a time, nothing half, nothing lost once written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from passes.search.records.checks import RecordError

_PATIENCE = 60  # seconds; appending takes milliseconds, pruning a large file seconds
_POLL = 0.01  # seconds


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Keeps other writers of a file away while the block runs. A killed process holds nothing.

    Raises RecordError if another writer does not end, or the system refuses something in the block.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock).acquire(timeout=_PATIENCE, poll_interval=_POLL):
            yield
    except Timeout:
        raise RecordError(
            f"{path}: another process has held {lock.name} for {_PATIENCE} seconds; "
            "wait for it or end it"
        ) from None
    except OSError as error:
        raise RecordError(
            f"{path} cannot be written: {error.strerror or error}; what was there is kept"
        ) from error


def append_line(path: Path, line: bytes, end: int, is_open: bool) -> None:
    """Puts a line after the first `end` bytes, of which the last line may still be open.

    What stands there, the rest of a line whose writer was killed, is cut off. On the disk when
    this returns; if it fails, nothing is added.
    """
    is_new = not path.exists()
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.ftruncate(file, end)
        os.lseek(file, end, os.SEEK_SET)
        _write(file, b"\n" * is_open + line + b"\n")
    except BaseException:
        with suppress(OSError):
            os.ftruncate(file, end)
        raise
    finally:
        os.close(file)
    if is_new:
        _sync_folder(path.parent)


def replace_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Makes these lines a file's content in one step: readers see the old ones or the new."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        try:
            _write(file, b"".join([line + b"\n" for line in lines]))
        finally:
            os.close(file)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _write(file: int, data: bytes) -> None:
    """Writes all of it through to the disk; in one call unless the system takes less."""
    while data:
        data = data[os.write(file, data) :]
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
