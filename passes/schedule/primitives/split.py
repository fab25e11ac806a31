"""split: one loop becomes two."""

from __future__ import annotations

from passes.ir.arith import free_vars, prove, simplify, substitute
from passes.ir.dtypes import INDEX
from passes.ir.expr import Expr, Var, both, ceildiv, index
from passes.ir.expr_text import print_expr
from passes.ir.loop.nodes import Barrier, Block, For, Function, If, Launch, Load, Seq, Stmt, Store
from passes.ir.node import postorder
from passes.schedule.tree import Refusal, fresh_ordinal, get_loop, replace, spell


def split(function: Function, loop: Var, factor: int) -> tuple[Function, tuple[Var, Var]]:
    """Tiles a loop by a constant; gives the function and the outer and inner loop.

        for i in range(n): s(i)
        → for i_o in range(ceildiv(n, 4)):
              for i_i in range(4): s(i_o*4 + i_i)      # blocks get where(i_o*4 + i_i < n)

    No predicate is added where the factor provably divides the extent. Of a parallel loop, the
    outer part stays parallel; otherwise both have the kind of the loop.
    """
    at = get_loop(function, loop, "split")
    refuse = Refusal("split", f"loop {spell(loop)}", function, loop)
    if factor < 1:
        raise refuse(f"factor {factor} is less than 1")
    if loop.dtype != INDEX:
        raise refuse(f"its variable has type {loop.dtype}, not index")
    first = fresh_ordinal(function)
    outer, inner = Var(loop.name, first), Var(loop.name, first + 1)
    value = simplify(outer * factor + inner)
    body = substitute(at.body, {loop: value})
    if not prove((at.extent % factor).equal(0)):
        trouble = _unguardable(at.body, loop)
        if trouble is not None:
            text = print_expr(at.extent)
            raise refuse(f"factor {factor} may not divide its extent {text}, and {trouble}")
        body = _guarded(body, value < at.extent)
    kind = "serial" if at.kind == "parallel" else at.kind
    inside = For(inner, index(factor), body, kind, at.annotations)
    new = For(outer, simplify(ceildiv(at.extent, factor)), inside, at.kind, at.annotations)
    return replace(function, at, new), (outer, inner)


def _unguardable(stmt: Stmt, loop: Var) -> str | None:
    """What in the body a predicate on its blocks would not keep from surplus iterations."""
    match stmt:
        case Seq(stmts):
            return next((r for s in stmts if (r := _unguardable(s, loop)) is not None), None)
        case For(var, extent, body):
            if _reads_by(extent, loop):
                return f"the extent of loop {spell(var)} reads memory at it"
            return _unguardable(body, loop)
        case If(cond, then, other):
            if _reads_by(cond, loop):
                return "a condition reads memory at it"
            parts = [_unguardable(s, loop) for s in (then, other) if s is not None]
            return next((reason for reason in parts if reason is not None), None)
        case Block():
            asked = [*stmt.bindings, *([] if stmt.predicate is None else [stmt.predicate])]
            if any(_reads_by(e, loop) for e in asked):
                return f"a binding or predicate of block '{stmt.label}' reads memory at it"
            return None
        case Store() | Launch() | Barrier():
            return "a statement outside any block cannot be guarded"
    return None


def _reads_by(e: Expr, loop: Var) -> bool:
    return any(isinstance(n, Load) and loop in free_vars(n) for n in postorder(e))


def _guarded(stmt: Stmt, guard: Expr) -> Stmt:
    """The statement with the guard on its outermost blocks; what is inside those needs none."""
    match stmt:
        case Seq(stmts):
            return Seq(tuple([_guarded(s, guard) for s in stmts]))
        case For(_, _, body):
            return stmt.replace(body=_guarded(body, guard))
        case If(_, then, other):
            last = None if other is None else _guarded(other, guard)
            return stmt.replace(then=_guarded(then, guard), other=last)
        case Block():
            return stmt.replace(predicate=both(stmt.predicate, guard))
    return stmt
