"""The entries of the table of tensor intrinsics, by instruction set: texts of loop programs.

Nothing here is parsed, so that target descriptions can be checked against it at little cost;
`passes.schedule.intrinsics` reads the texts.
"""

from __future__ import annotations

from collections.abc import Iterable

from passes.schedule.instructions import arm, outer, x86
from passes.schedule.instructions.entry import Entry

ENTRIES: dict[str, Entry] = {
    entry.name: entry for entry in (*x86.ENTRIES, *arm.ENTRIES, *outer.ENTRIES)
}


def available(arch: str, features: Iterable[str], vector_bits: int) -> tuple[str, ...]:
    """The entries that a target of these features has, at that width of its vectors, in the
    table's order."""
    has = frozenset(features)
    return tuple([name for name, entry in ENTRIES.items() if entry.fits(arch, has, vector_bits)])
