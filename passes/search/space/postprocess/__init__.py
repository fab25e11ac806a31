"""What is done to a schedule after all rules, a function a file: schedule → schedule.

rewrite_tensorize   blocks that are annotated with an instruction become that
rewrite_reductions  inits leave the loops of their reductions
cooperative_fetch   copies to shared memory go to all threads of a block (GPU)
unbound_blocks      nests that no rule gave to threads run in parallel
layout              no parameters but constants lie in another order
verify_limits       code, private memory and registers are within what the target has

Each may raise ScheduleError, which tells what of the schedule cannot be: the candidate is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from passes.schedule.schedule import Schedule
from passes.search.space.postprocess.cooperative_fetch import cooperative_fetch
from passes.search.space.postprocess.layout import layout
from passes.search.space.postprocess.rewrite_reductions import rewrite_reductions
from passes.search.space.postprocess.rewrite_tensorize import rewrite_tensorize
from passes.search.space.postprocess.unbound_blocks import unbound_blocks
from passes.search.space.postprocess.verify_limits import verify_limits
from passes.search.space.rule import Context

Postprocess = Callable[[Schedule, Context], Schedule]

POSTPROCESSES: tuple[Postprocess, ...] = (
    rewrite_tensorize,
    rewrite_reductions,
    cooperative_fetch,
    unbound_blocks,
    layout,
    verify_limits,
)


def postprocessed(s: Schedule, context: Context) -> Schedule:
    """The schedule after all of them. Raises ScheduleError, which names the cause."""
    for postprocess in POSTPROCESSES:
        s = postprocess(s, context)
    return s
