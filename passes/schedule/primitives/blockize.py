"""blockize: a loop and all that is under it become the body of one block."""

from __future__ import annotations

from collections.abc import Sequence

from passes.ir.expr import Var
from passes.ir.expr_text import print_expr
from passes.ir.loop.nodes import Barrier, Block, Function, Launch, Stmt
from passes.schedule.accesses import ranges
from passes.schedule.dependence import steady
from passes.schedule.division import divided
from passes.schedule.legality import checked
from passes.schedule.tree import (
    Refusal,
    blocks_in,
    fresh_label,
    fresh_ordinal,
    path_to_loop,
    replace,
    spell,
    statements,
    written,
)


def blockize(function: Function, loop: Var) -> tuple[Function, str]:
    """Puts a block around a loop; gives the function and the block's label.

        for i_o: for k_o: for i_i in range(16): for k_i in range(4):                     at i_i
            block c: v = i_o*16 + i_i; u = reduce(K, k_o*4 + k_i); init y[v] = 0; y[v] += x[v, u]
        → for i_o: for k_o: block c_o: v_o = i_o; u_o = reduce(K//4, k_o)
              init: for i_i: block c_init: y[v_o*16 + i_i] = 0
              for i_i: for k_i: block c: v = v_o*16 + i_i; u = reduce(K, u_o*4 + k_i); y[v] += …

    Where bindings do not come apart like that, or several blocks are under the loop, the loops
    outside become the block's iterators, and reductions start where they did. Raises ScheduleError
    if no block is under the loop, threads meet there, or an extent around it reads memory that
    changes.
    """
    found = path_to_loop(function, loop, "blockize")
    refuse = Refusal("blockize", f"loop {spell(loop)}", function, loop)
    inside = blocks_in(found[-1])
    name = fresh_label(function, f"{inside[-1].label}_o") if inside else ""
    return checked(replace(function, found[-1], block_around(refuse, found, name)), refuse), name


def block_around(refuse: Refusal, found: Sequence[Stmt], label: str) -> Block:
    """The loop at the end of a path in the body of a block of that label.

    Raises what `refuse` makes if it cannot be.
    """
    function, at = refuse.function, found[-1]
    inside = blocks_in(at)
    if not inside:
        raise refuse("no block is under it")
    if any(isinstance(s, Barrier | Launch) for s in statements(at)):
        raise refuse("threads meet under it, which they may not inside a block")
    start = fresh_label(function, f"{inside[-1].label}_init")
    parts = divided(found, ranges(function), fresh_ordinal(function), start)
    for it in parts.iters:
        if not steady(it.extent, written(function.body)):
            extent = print_expr(it.extent)
            raise refuse(f"the extent {extent} around it reads memory that the function stores to")
    return Block(label, parts.iters, parts.bindings, parts.body, parts.init, parts.predicate)
