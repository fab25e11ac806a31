"""inline_constants: numbers that are the same wherever they are read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from passes.ir.loop.nodes import Load
from passes.ir.node import postorder
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_block
from passes.search.defaults.shape import attempt
from passes.search.space.rule import Context
from passes.search.space.rules.facts import fills_temporary


@dataclass(frozen=True)
class InlineConstants:
    """A temporary whose elements are computed from no memory dissolves in its readers.

    t[i] = 0.5;  y[i] = x[i] * t[i]   →   y[i] = x[i] * 0.5
    """

    name: str = "inline_constants"
    group: str = "inline"

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        block = get_block(s.function, label, self.name)
        if fills_temporary(s, block) and not any(
            isinstance(n, Load) for n in postorder(block.body)
        ):
            attempt(s, partial(s.compute_inline, label))
        return [s]
