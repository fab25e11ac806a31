"""Records by what they are of: one file that grows, over others that are only read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from passes.search.records import ranking
from passes.search.records.files import append_line, written
from passes.search.records.index import Index
from passes.search.records.layer import Entry, Layer, Point
from passes.search.records.record import Record


class Database:
    """Looks records up in time that does not depend on how many there are of other workloads.

    A file is read once, line by line; of each an index of places stays in memory, and lines are
    read again when asked for. Nothing is replayed. A line that several files have counts once.
    Opening and looking up write nothing.
    """

    def __init__(self, path: Path, below: Sequence[Path]) -> None:
        self._path, self._below = path, tuple(below)
        self._read_anew()

    @staticmethod
    def open(path: Path, below: Sequence[Path] = ()) -> Database:
        """The records of a file, which is made by the first `append`, and of files `below` it, such
        as those that a recipe ships.

        Raises RecordError if a file cannot be read, or one of those below is not there.
        """
        return Database(path, below)

    def append(self, record: Record) -> None:
        """Adds a record, which is on the disk when this returns.

        Other processes may append to the same file; what they did is known from then on. Raises
        RecordError if it cannot be written; the file is as before then.
        """
        line = record.line().encode()
        with written(self._path):
            self.refresh()
            append_line(self._path, line, self._own.end, self._own.is_open)
            self.refresh()

    def refresh(self) -> None:
        """Takes in what other processes did to the file since it was last read."""
        if self._own.replaced():
            self._read_anew()
        else:
            self._index.take(self._own)

    def best(
        self,
        workload: str,
        machine: str,
        dims: Mapping[str, int],
        threads: int,
        toolchain: Mapping[str, str],
    ) -> Record | None:
        """The fastest record of a point, as `ranking` compares them for a user of `toolchain`."""
        found = ranking.best(self.entries(Point.of(workload, machine, dims, threads)), toolchain)
        return None if found is None else found.record()

    def trials(self, workload: str, machine: str) -> Iterator[Record]:
        """All that was measured, failures too: of files below first, in the order of each."""
        for entry in tuple(self._index.workloads.get((workload, machine), ())):
            yield entry.record()

    def entries(self, point: Point) -> Sequence[Entry]:
        """What was measured at a point, without decisions and traces."""
        return self._index.points.get(point, ())

    def of_structure(self, digest: str) -> Collection[Point]:
        """Where kernels of one structure were measured."""
        return self._index.structures.get(digest, {}).keys()

    def of_kind(self, kind: str) -> Collection[Point]:
        """Where kernels of one kind were measured."""
        return self._index.kinds.get(kind, {}).keys()

    def _read_anew(self) -> None:
        self._index = Index.of(self._below)
        self._own = Layer(self._path)
        self._index.take(self._own)
