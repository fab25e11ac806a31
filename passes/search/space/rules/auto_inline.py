"""auto_inline: maps dissolve in what reads them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from passes.ir.loop.nodes import Block, Load, Store
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, get_block
from passes.search.defaults.contraction.roles import roles_of, without_casts
from passes.search.space.rule import Context
from passes.search.space.rules.attempts import Steps, keep, ways
from passes.search.space.rules.facts import computes, fills_temporary, readers


@dataclass(frozen=True)
class AutoInline:
    """A map into a temporary dissolves in its readers, or stays, which is a decision where
    computing an element again costs more than to load it.

    t[i] = exp(x[i]);  y[i] = t[i] + 1   →   y[i] = exp(x[i]) + 1

    Suggested: staying for those that several read, that are read along more axes than they have,
    or that products take as a factor.
    """

    name: str = "auto_inline"
    group: str = "inline"

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        block = get_block(s.function, label, self.name)
        reading = readers(s, block) if fills_temporary(s, block) else []
        if not reading:
            return [s]
        tried: list[Steps] = [partial(_inlined, label=label)]
        if _is_factor(block, reading):
            tried.insert(0, keep)
        elif computes(block):
            once = len(reading) == 1 and len(reading[0].iters) == len(block.iters)
            tried.insert(1 if once else 0, keep)
        return ways(s, self.name, label, tried)


def _inlined(s: Schedule, label: str) -> None:
    """Into the readers, or, if these cannot take it, into the map that it reads."""
    try:
        s.compute_inline(label)
    except ScheduleError as error:
        try:
            s.reverse_compute_inline(label)
        except ScheduleError:
            raise error from None


def _is_factor(block: Block, reading: list[Block]) -> bool:
    """Whether a sum of products reads what does more than to move elements."""
    store = block.body
    assert isinstance(store, Store)
    moves = isinstance(without_casts(store.value), Load)
    return not moves and any(roles_of(one) is not None for one in reading)
