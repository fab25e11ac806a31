"""reindex_cache_write: a block computes into a buffer of its own shape, copied out afterwards."""

from __future__ import annotations

from passes.ir.loop.nodes import Function, Scope
from passes.schedule.layouts import IndexMap
from passes.schedule.reindexing import store_apart
from passes.schedule.tree import Refusal, path_to_block


def reindex_cache_write(
    function: Function,
    label: str,
    scope: Scope,
    layout: IndexMap | None = None,
    buffer: str | None = None,
) -> tuple[Function, str]:
    """Gives the function and the label of the copying block.

        for h: for d: block c: y[h*8 + d] = …
        → for h: for d: block c: y_w[h, d] = …
          for h: for d: block c_write: y[h*8 + d] = y_w[h, d]

    The buffer has one axis for each block iterator that says where the block stores, in the
    block's order; a `layout` of those axes says otherwise where its elements lie. No two
    instances of these iterators may store to one element. Of a block that stores to several
    buffers, the one meant is named.

    Raises ScheduleError if one of these does not hold.
    """
    found = path_to_block(function, label, "reindex_cache_write")
    refuse = Refusal("reindex_cache_write", f"block '{label}'", function, label)
    return store_apart(refuse, function, found, buffer, scope, layout)
