"""rewrite_tensorize: blocks that a rule left to an instruction."""

from __future__ import annotations

from passes.schedule.schedule import Schedule
from passes.search.defaults.shape import blocks
from passes.search.space.rule import Context

KEY = "tensorize"


def rewrite_tensorize(s: Schedule, context: Context) -> Schedule:
    """`with block("dot", tensorize="dot4_u8_i8")` becomes the instruction of that name.

    A rule notes what later rules are still to move about. Raises ScheduleError if the block, as
    they left it, is not what the instruction does.
    """
    for block in blocks(s):
        name = dict(block.annotations).get(KEY)
        if name is not None:
            s.unannotate(block.label, KEY)
            s.tensorize(block.label, str(name))
    return s
