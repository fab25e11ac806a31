"""cache_write: a block computes into a temporary, a new block copies it out."""

from __future__ import annotations

from passes.ir.loop.nodes import Buffer, Function, Scope
from passes.schedule.tree import Refusal, fresh_ordinal, path_to_block
from passes.schedule.write_back import output_of, written_back


def cache_write(
    function: Function, label: str, scope: Scope, buffer: str | None = None
) -> tuple[Function, str]:
    """Gives the function and the label of the copying block.

        for i: block c: y[i] = y[i] + x[i]
        → for i: block c: y_c[i] = y_c[i] + x[i]
          for i: block c_write: y[i] = y_c[i]

    Of a block that stores to several buffers, the one meant is named. The block stores to it
    unconditionally and in one place. An init that reads the old content of what it stores still
    does, and a sum without init, which continues one, begins by reading it. What says which
    instances there are reads nothing that the block stores to. Raises ScheduleError otherwise.
    """
    found = path_to_block(function, label, "cache_write")
    refuse = Refusal("cache_write", f"block '{label}'", function, label)
    output = output_of(refuse, function, found, buffer)
    target = output.buffer
    name, first = f"{target.name}_c", fresh_ordinal(function)
    cache = Buffer(name, first, target.shape, target.dtype, scope)
    return written_back(refuse, function, found, output, cache, output.indices)
