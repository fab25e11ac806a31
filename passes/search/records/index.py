"""Entries of files of records by what they are looked up by."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from passes.search.records.checks import RecordError
from passes.search.records.layer import Entry, Layer, Point


class Index:
    """What is in some files; a line that several have, or one twice, counts once."""

    def __init__(self) -> None:
        self.points: dict[Point, list[Entry]] = {}
        self.workloads: dict[tuple[str, str], list[Entry]] = {}
        self.structures: dict[str, dict[Point, None]] = {}
        self.kinds: dict[str, dict[Point, None]] = {}
        self._seen: set[bytes] = set()

    @staticmethod
    def of(paths: Iterable[Path]) -> Index:
        """That of files which have to be there. Raises RecordError if one cannot be read."""
        index = Index()
        for path in paths:
            if not path.is_file():
                raise RecordError(f"there is no file of records {path}: leave it out, or fetch it")
            index.take(Layer(path))
        return index

    def take(self, layer: Layer) -> None:
        """Adds what a layer has and was not read before."""
        for entry in layer.entries():
            if entry.digest in self._seen:
                continue
            self._seen.add(entry.digest)
            point = entry.point
            self.points.setdefault(point, []).append(entry)
            self.workloads.setdefault((point.workload, point.machine), []).append(entry)
            self.structures.setdefault(entry.structure, {})[point] = None
            self.kinds.setdefault(entry.kind, {})[point] = None
