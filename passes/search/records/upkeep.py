"""Files of records, rewritten: put together, thinned out, made ready to ship, brought up to date.

Lines stay as they are. They are sorted by what they are of, so that the same records give the same
file, whatever their order was, and changes are easy to review.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from passes.search.records import ranking
from passes.search.records.files import replace_lines, written
from passes.search.records.index import Index
from passes.search.records.layer import Entry, Point
from passes.search.records.record import Record


def merge(sources: Sequence[Path], target: Path) -> int:
    """Makes `target` (which may be a source too) hold each record of the sources once.

    Gives how many there are. Raises RecordError if a file cannot be read or written.
    """
    with written(target):
        return _write(_all(Index.of(sources)), target)


def prune(path: Path, keep: int, toolchain: Mapping[str, str]) -> int:
    """Keeps the `keep` best records of each point, for users of `toolchain`, and no failures.

    Gives how many there are. Raises RecordError if the file cannot be read or written.
    """
    with written(path):
        return _write(_best(Index.of([path]), keep, toolchain), path)


def export(
    sources: Sequence[Path],
    target: Path,
    toolchain: Mapping[str, str],
    workloads: Collection[str] | None = None,
) -> int:
    """Makes `target` hold the best record of each point, to ship it beside a recipe.

    Of all workloads, or some. To add to what is there, name `target` among the sources. Gives how
    many there are. Raises RecordError if a file cannot be read or written.
    """
    with written(target):
        best = _best(Index.of(sources), 1, toolchain)
        chosen = [e for e in best if workloads is None or e.point.workload in workloads]
        return _write(chosen, target)


def settle(path: Path, points: Collection[Point], winners: Collection[Record]) -> int:
    """Makes a file that is shipped say what a tuning found: at the points that were tuned the
    winners, none where the default schedule won; elsewhere what it said before.

    Gives how many records there are. Raises RecordError if the file cannot be read or written.
    """
    with written(path):
        before = _all(Index.of([path])) if path.is_file() else []
        kept = [(e.kind, e.point, e.line()) for e in before if e.point not in points]
        for record in winners:
            point = Point.of(record.workload, record.machine, record.dims, record.threads)
            kept.append((record.kind, point, record.line().encode()))
        replace_lines(path, [line for _, _, line in sorted(kept)])
    return len(kept)


def _all(index: Index) -> list[Entry]:
    return [entry for entries in index.points.values() for entry in entries]


def _best(index: Index, keep: int, toolchain: Mapping[str, str]) -> list[Entry]:
    return [e for entries in index.points.values() for e in ranking.first(entries, toolchain, keep)]


def _write(entries: Iterable[Entry], path: Path) -> int:
    lines = sorted([(e.kind, e.point, e.line()) for e in entries])
    replace_lines(path, [line for _, _, line in lines])
    return len(lines)
