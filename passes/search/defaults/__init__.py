"""Default schedules: the first rule that takes a function schedules it.

attention    blocks ordered along a stream of keys
contraction  sums of products: matrices, vectors, convolutions, their staging and epilogue
rows         reductions and normalisations along rows, and what is computed from them
pointwise    everything else: nests of maps, gathers, scatters; what has no element to compute
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from passes.ir.loop.nodes import BlockIter, For, Function
from passes.ir.node import postorder
from passes.schedule.sampling import suggested
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError
from passes.search.defaults import attention, contraction, pointwise, rows
from passes.search.defaults.shape import constant, told
from passes.search.defaults.target import Target

Rule = Callable[[Schedule, Target], Schedule | None]


def default_schedule(
    function: Function, target: Target, constants: Collection[int] = ()
) -> Schedule:
    """The function under the first rule that fits, all decided as the rules suggest.

    `constants` are the parameters, by number, whose layout is the schedule's to choose.
    """
    return ruled(Schedule(function, suggested), target, constants)


def ruled(start: Schedule, target: Target, constants: Collection[int] = ()) -> Schedule:
    """A schedule that changed nothing yet continued by the first rule that fits; `pointwise` takes
    any.

    A rule one of whose steps is refused is left out, which the notes of the trace tell.
    """
    contract = partial(contraction.schedule, constants=constants)
    rules: dict[str, Rule] = {
        "attention": attention.schedule,
        "contraction": contract,
        "rows": rows.schedule,
        "pointwise": pointwise.schedule,
    }
    extents = [n.extent for n in postorder(start.function.body) if isinstance(n, For | BlockIter)]
    if any(constant(extent) == 0 for extent in extents):
        return pointwise.schedule(start, target)
    notes: list[str] = []
    for name, rule in rules.items():
        try:
            done = rule(start.at(len(start.trace)), target)
        except ScheduleError as error:
            notes.append(f"rule {name} left out: {told(error)}")
            continue
        if done is not None:
            done.trace.notes[:0] = notes
            return done
    raise AssertionError("pointwise takes every function")
