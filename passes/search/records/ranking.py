"""Which of the candidates that were measured at one point is best.

Times drift with the machine, so candidates of one toolchain are ordered by their time relative to
the default kernel's, timed in turns with theirs; those without such a reference come last, by
plain time.

Another toolchain has another code generator, and perhaps another default kernel: neither its times
nor its ratios say much alone. Its best candidate is preferred only if it is faster than the best
of one's own by more than MARGIN in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from passes.search.records.layer import Entry, Toolchain, as_toolchain

MARGIN = 0.05
"""What is no faster than this (relative) may well be as fast."""


def standing(entry: Entry) -> tuple[bool, float, bytes]:
    """The less, the better among successful candidates of a point and toolchain; never equal for
    two different ones."""
    assert entry.seconds is not None
    if entry.reference is None:
        return True, entry.seconds, entry.digest
    return False, entry.seconds / entry.reference, entry.digest


def best(entries: Iterable[Entry], toolchain: Mapping[str, str]) -> Entry | None:
    """The best of the entries of a point for a user of `toolchain`; None if all failed."""
    winners: dict[Toolchain, Entry] = {}
    for entry in entries:
        if entry.seconds is None:
            continue
        leader = winners.get(entry.toolchain)
        if leader is None or standing(entry) < standing(leader):
            winners[entry.toolchain] = entry
    own = winners.pop(as_toolchain(toolchain), None)
    if own is None:
        return min(winners.values(), key=standing, default=None)
    return min([e for e in winners.values() if _beats(e, own)], key=standing, default=own)


def first(entries: Iterable[Entry], toolchain: Mapping[str, str], count: int) -> list[Entry]:
    """The best ones in order, at most `count`."""
    left = list(entries)
    chosen: list[Entry] = []
    while len(chosen) < count and (found := best(left, toolchain)) is not None:
        chosen.append(found)
        left.remove(found)
    return chosen


def _beats(other: Entry, own: Entry) -> bool:
    assert other.seconds is not None and own.seconds is not None
    if other.seconds >= own.seconds * (1 - MARGIN):
        return False
    if other.reference is None or own.reference is None:
        return True
    return other.seconds / other.reference < own.seconds / own.reference * (1 - MARGIN)
