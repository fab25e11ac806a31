"""reindex: a block reads or writes a buffer in the order of its own iterators."""

from __future__ import annotations

from typing import Literal

from passes.ir.loop.nodes import Block, Function
from passes.schedule.reindexing import read_part, stage_part, store_apart
from passes.schedule.tree import Refusal, path_to_block

Access = Literal["read", "write"]


def reindex(function: Function, label: str, buffer: str, access: Access) -> tuple[Function, str]:
    """Gives the function and the label of the block that rearranges.

        block c: y[i] = y[i] + x[i//4, k*2] * w[k]                reads of x
        → for i: for k: block c_read: x_r[i, k] = x[i//4, k*2]
          block c: y[i] = y[i] + x_r[i, k] * w[k]

    The buffer put in between has one axis for each block iterator that the access speaks of, in the
    block's order. Written buffers are filled from it afterwards, by a block `c_write`. Raises
    ScheduleError if the block accesses no element of the buffer, or several, or reads what may not
    be there beforehand.
    """
    found = path_to_block(function, label, "reindex")
    block = found[-1]
    assert isinstance(block, Block)
    place = f"block '{label}', buffer '{buffer}', {access}"
    refuse = Refusal("reindex", place, function, label)
    if access == "write":
        return store_apart(refuse, function, found, buffer, "global", None)
    part, name = read_part(refuse, function, block, buffer)
    return stage_part(refuse, function, found, part, name, "global", None)
