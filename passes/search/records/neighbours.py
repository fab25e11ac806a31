"""Records of similar kernels: where the search for a kernel without records starts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest

from passes.search.records.database import Database
from passes.search.records.layer import Entry, Point
from passes.search.records.ranking import standing
from passes.search.records.record import Record
from passes.search.records.structure import Structure, structure_of
from passes.search.task import Task


def nearest(
    database: Database, task: Task, dims: Mapping[str, int], threads: int, count: int
) -> list[Record]:
    """Successful records, at most `count`, whose decisions are worth trying for a task at a point.

    Those of the same structure on the same machine come first, then those on others, then in turn
    those of the same kind. Within each of these, the best of every point, the nearest point first,
    then the second best of every point, and so on. No two have the same decisions.
    """
    like = structure_of(task.function)
    here = Point.of(task.workload, task.machine, dims, threads)
    chosen: list[Record] = []
    for entry in _in_order(database, like, here, count):
        if len(chosen) == count:
            break
        record = entry.record()
        if all(record.decisions != other.decisions for other in chosen):
            chosen.append(record)
    return chosen


def _in_order(database: Database, like: Structure, here: Point, count: int) -> Iterator[Entry]:
    same = database.of_structure(like.digest)
    akin = [point for point in database.of_kind(like.kind) if point not in same]
    for points in (same, akin):
        for elsewhere in (False, True):
            places = [p for p in points if (p.machine != here.machine) is elsewhere]
            yield from _by_turns([_best(database, point, count) for point in places], like, here)


def _best(database: Database, point: Point, count: int) -> list[Entry]:
    timed = [entry for entry in database.entries(point) if entry.seconds is not None]
    return sorted(timed, key=standing)[:count]


def _by_turns(points: Iterable[list[Entry]], like: Structure, here: Point) -> Iterator[Entry]:
    """The first of each, then the second of each: those of points near `here` before others."""
    keyed = [
        (rank, _distance(entry, like, here), entry.point, entry)
        for entries in points
        for rank, entry in enumerate(entries)
    ]
    for *_, entry in sorted(keyed, key=lambda item: item[:3]):
        yield entry


def _distance(entry: Entry, like: Structure, here: Point) -> float:
    """Of two points in the space of the logarithms of extents, dims and threads.

    The loops of other structures correspond by their lengths.
    """
    theirs, ours = entry.extents, like.extents
    if entry.structure != like.digest:
        theirs, ours = (tuple(sorted(extents, reverse=True)) for extents in (theirs, ours))
    mine, other = dict(here.dims), dict(entry.point.dims)
    pairs = [
        *zip_longest(theirs, ours, fillvalue=1),
        *[(other.get(name, 1), mine.get(name, 1)) for name in sorted(mine.keys() | other.keys())],
        (entry.point.threads, here.threads),
    ]
    return math.hypot(*[math.log2(max(a, 1) / max(b, 1)) for a, b in pairs])
