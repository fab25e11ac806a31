"""Default schedules: the first rule that takes a function schedules it.

attention    blocks ordered along a stream of keys
contraction  products with weights, their staging and epilogue
rows         reductions along rows, and what is computed from them
pointwise    everything else: nests of maps
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from passes.ir.loop.nodes import Function
from passes.schedule.schedule import Schedule
from passes.search.defaults import attention, contraction, pointwise, rows
from passes.search.defaults.target import Target


def default_schedule(
    function: Function, target: Target, constants: Collection[int] = ()
) -> Schedule:
    """The function under the first rule that fits; `pointwise` takes any.

    `constants` are the parameters, by number, whose layout is the schedule's to choose.
    """
    contract = partial(contraction.schedule, constants=constants)
    for rule in (attention.schedule, contract, rows.schedule, pointwise.schedule):
        done = rule(function, target)
        if done is not None:
            return done
    raise AssertionError("pointwise takes every function")
