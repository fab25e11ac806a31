"""software_pipeline: temporaries of the next iteration are made during this one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from passes.ir.expr import Var
from passes.ir.loop.nodes import Block, For, Seq
from passes.schedule.schedule import Schedule
from passes.schedule.tree import blocks_in, get_loop, loaded, loops_in, path_to_block, written
from passes.search.defaults.choose import choose
from passes.search.defaults.shape import is_map
from passes.search.space.rule import Context
from passes.search.space.rules.attempts import attempted


@dataclass(frozen=True)
class SoftwarePipeline:
    """A serial loop that first fills temporaries and then works on them, in stages.

    for i: t[…] = x[i, …]; y += … t[…] …
    → t₀ = x[0, …];  for i: t₁ = x[i + 1, …]; y += … t₀ …          # when lowered

    Decided: how many iterations ahead they are filled; suggested is none, for a CPU reorders by
    itself. It takes a loop at its first block.
    """

    most_stages: int = 2
    name: str = "software_pipeline"
    group: str = "pipeline"

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        for loop in loops_in(path_to_block(s.function, label, self.name)):
            filling = _filling(loop)
            if filling and blocks_in(loop)[0].label == label:
                steps = partial(self._in_stages, label=label, loop=loop.var, filling=filling)
                attempted(s, self.name, label, steps)
        return [s]

    def _in_stages(self, s: Schedule, label: str, loop: Var, filling: int) -> None:
        ahead = choose(s, f"{label}: stages", range(self.most_stages + 1), 0)
        if ahead == 0:
            return
        body = get_loop(s.function, loop, self.name).body
        assert isinstance(body, Seq)
        count = len(body.stmts)
        stages = [0] * filling + [ahead] * (count - filling)
        s.software_pipeline(loop, stages, range(count))


def _filling(loop: For) -> int:
    """How many of the loop's first statements do nothing but fill temporaries that those after them
    read; 0 for a loop that is not serial, or is in stages already."""
    body = loop.body
    if loop.kind != "serial" or loop.annotations or not isinstance(body, Seq):
        return 0
    count = 0
    for stmt in body.stmts[:-1]:
        if not all(
            _copies(block) and not loaded(block) & written(body) for block in blocks_in(stmt)
        ):
            break
        count += 1
    if any(buffer.scope == "register" for buffer in written(body)):
        return 0  # iterations under way would each need registers of their own
    rest = body.stmts[count:]
    used = any(loaded(after) & written(stmt) for stmt in body.stmts[:count] for after in rest)
    return count if used else 0


def _copies(block: Block) -> bool:
    """Whether the block brings elements from memory to memory."""
    return is_map(block) and bool(loaded(block))
