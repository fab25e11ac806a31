"""merge: two loops side by side become one."""

from __future__ import annotations

from passes.ir.arith import prove, substitute
from passes.ir.expr import Var
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import For, Function, Seq, seq
from passes.schedule.accesses import ranges
from passes.schedule.dependence import conflict_between, steady
from passes.schedule.legality import checked
from passes.schedule.tree import Refusal, get_loop, path_to_loop, replace, spell, written


def merge(function: Function, first: Var, second: Var) -> Function:
    """One loop that does in each iteration what both did.

        for i in range(n): a(i)
        for j in range(n): b(j)
        → for i in range(n): a(i); b(i)

    Legal if no iteration of the second meets a later one of the first in a buffer. Raises
    ScheduleError otherwise, or if the second does not directly follow the first with its extent and
    kind.
    """
    one, two = get_loop(function, first, "merge"), get_loop(function, second, "merge")
    refuse = Refusal("merge", f"loops {spell(first)}, {spell(second)}", function, second)
    around = path_to_loop(function, first, "merge")
    parent = around[-2] if len(around) > 1 else None
    if not isinstance(parent, Seq) or not _adjacent(parent, one, two):
        raise refuse(f"loop {spell(second)} does not directly follow {spell(first)}")
    if one.kind != two.kind:
        raise refuse(f"the first is {one.kind}, the second {two.kind}")
    if not prove(one.extent.equal(two.extent)) or not steady(one.extent, written(function)):
        texts = f"{print_expr(one.extent)} and {print_expr(two.extent)}"
        raise refuse(f"their extents {texts} may differ")
    clash = conflict_between(one, two, ranges(function))
    if clash is not None:
        reason = "what the second needs may come from a later iteration of the first, in buffer"
        raise refuse(f"{reason} '{name_of(clash)}'")
    merged = one.replace(body=seq(one.body, substitute(two.body, {second: first})))
    kept = [merged if s is one else s for s in parent.stmts if s is not two]
    return checked(replace(function, parent, seq(*kept)), refuse)


def _adjacent(parent: Seq, one: For, two: For) -> bool:
    after = parent.stmts.index(one) + 1
    return after < len(parent.stmts) and parent.stmts[after] is two
