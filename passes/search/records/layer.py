"""A file of records, of which only what they are looked up by stays in memory."""

from __future__ import annotations

import hashlib
import os
import stat
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from passes.search.records.checks import MAX_LINE, RecordError
from passes.search.records.record import Record

Named: TypeAlias = tuple[tuple[str, int], ...]
Toolchain: TypeAlias = tuple[tuple[str, str], ...]


class Point(NamedTuple):
    """What records must share for their times to be compared."""

    workload: str
    machine: str
    dims: Named
    threads: int

    @staticmethod
    def of(workload: str, machine: str, dims: Mapping[str, int], threads: int) -> Point:
        return Point(workload, machine, tuple(sorted(dims.items())), threads)


def as_toolchain(versions: Mapping[str, str]) -> Toolchain:
    """Versions by package, in a form that is equal for equal ones."""
    return tuple(sorted(versions.items()))


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A record as an index has it: `length` bytes from `start` of its layer's file.

    `seconds` is the median, None of what failed; `digest` that of the line.
    """

    layer: Layer
    start: int
    length: int
    digest: bytes
    point: Point
    kind: str
    structure: str
    extents: tuple[int, ...]
    toolchain: Toolchain
    seconds: float | None
    reference: float | None

    def line(self) -> bytes:
        """The record's line as the file has it, without its end."""
        return self.layer.read(self.start, self.length)

    def record(self) -> Record:
        return Record.read(self.line(), str(self.layer.path))


class Layer:
    """The records of one file; a file that is not there has none.

    What stands after the last end of a line is a record if it can be read as one. Otherwise it is
    what a killed process left, or what another is writing just now, and left alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end = 0
        """Bytes that were read as records."""
        self.is_open = False
        """Whether the last of them lacks the end of its line."""
        self._lines = 0
        self._file = -1

    def entries(self) -> Iterator[Entry]:
        """Those that were not read before. Raises RecordError for a line that is no record."""
        if self._file < 0 and not self._found():
            return
        with open(self._file, "rb", closefd=False) as file:
            file.seek(self.end)
            if self.is_open and file.read(1) == b"\n":
                self.end, self.is_open = self.end + 1, False
            while line := file.readline(MAX_LINE + 1):
                whole = line.endswith(b"\n")
                text = line[:-1] if whole else line
                try:
                    record = Record.read(text, f"{self.path}:{self._lines + 1}")
                except RecordError:
                    if whole or len(line) > MAX_LINE:
                        raise
                    return
                entry = self._entry(record, text)
                self.end, self.is_open = self.end + len(line), not whole
                self._lines += 1
                yield entry

    def replaced(self) -> bool:
        """Whether the path no longer leads to what was read: that was replaced, cut or removed."""
        if self._file < 0:
            return False
        try:
            now = os.stat(self.path)
        except FileNotFoundError:
            return True
        return not os.path.samestat(now, os.fstat(self._file)) or now.st_size < self.end

    def _found(self) -> bool:
        """Opens the file if it is there."""
        try:
            self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise RecordError(f"{self.path} cannot be read: {error.strerror}") from error
        weakref.finalize(self, os.close, self._file)
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise RecordError(f"{self.path} is no file, and cannot hold records; name another")
        return True

    def read(self, start: int, length: int) -> bytes:
        return os.pread(self._file, length, start)

    def _entry(self, record: Record, text: bytes) -> Entry:
        return Entry(
            layer=self,
            start=self.end,
            length=len(text),
            digest=hashlib.blake2b(text, digest_size=16).digest(),
            point=Point.of(record.workload, record.machine, record.dims, record.threads),
            kind=record.kind,
            structure=record.structure,
            extents=record.extents,
            toolchain=as_toolchain(record.toolchain),
            seconds=record.median,
            reference=record.reference,
        )
