"""annotate, unannotate: notes on loops and blocks for the passes that come later."""

from __future__ import annotations

import math
from keyword import iskeyword

from passes.ir.expr import Var
from passes.ir.loop.nodes import Attr, Block, For, Function
from passes.schedule.pipelining import NOTES
from passes.schedule.tree import Refusal, get_block, get_loop, replace, spell


def annotate(function: Function, at: Var | str, key: str, value: Attr) -> Function:
    """Notes `key=value` on `at`, a loop or the label of a block; an earlier value goes.

    for i in range(n): …        →        for i in range(n, key=value): …

    The notes of a software pipeline are `software_pipeline`'s to make. Raises ScheduleError for
    these, and for a key or a value that has no text.
    """
    refuse, noted = _noted(function, at, "annotate")
    if key in NOTES:
        raise refuse(f"'{key}' is part of a software pipeline, which software_pipeline notes")
    if not key.isidentifier() or iskeyword(key):
        raise refuse(f"'{key}' is no name that an annotation can have")
    if isinstance(value, float) and not math.isfinite(value):
        raise refuse(f"the value {value} is not finite")
    kept = [(name, given) for name, given in noted.annotations if name != key]
    return replace(function, noted, noted.replace(annotations=(*kept, (key, value))))


def unannotate(function: Function, at: Var | str, key: str) -> Function:
    """Removes what is noted as `key`; of a software pipeline all notes, which belong together.

    for i in range(n, key=value): …        →        for i in range(n): …

    Raises ScheduleError if nothing is.
    """
    refuse, noted = _noted(function, at, "unannotate")
    gone = NOTES if key in NOTES else (key,)
    kept = tuple([(name, given) for name, given in noted.annotations if name not in gone])
    if kept == noted.annotations:
        raise refuse(f"it has no annotation '{key}'")
    return replace(function, noted, noted.replace(annotations=kept))


def _noted(function: Function, at: Var | str, primitive: str) -> tuple[Refusal, For | Block]:
    if isinstance(at, Var):
        place = f"loop {spell(at)}"
        return Refusal(primitive, place, function, at), get_loop(function, at, primitive)
    place = f"block '{at}'"
    return Refusal(primitive, place, function, at), get_block(function, at, primitive)
