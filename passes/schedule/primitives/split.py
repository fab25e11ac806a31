"""split: one loop becomes several, nested."""

from __future__ import annotations

from typing import TypeAlias

from passes.ir.arith import free_vars, prove, simplify, substitute
from passes.ir.dtypes import INDEX
from passes.ir.expr import Const, Expr, Var, both, index, product
from passes.ir.expr_text import print_expr
from passes.ir.loop.nodes import CONCURRENT, Block, For, Function, If, Seq, Stmt, While
from passes.schedule.accesses import loads_in
from passes.schedule.dependence import steady
from passes.schedule.tree import Refusal, fresh_ordinal, get_loop, loaded, replace, spell, written

Factor: TypeAlias = "int | Expr | None"


def split(
    function: Function,
    loop: Var,
    factors: Factor | tuple[Factor, ...],
    predicate: bool = True,
) -> tuple[Function, tuple[Var, ...]]:
    """Tiles a loop; gives the function and the new loops, outermost first.

        for i in range(n): s(i)                                     factors 4, or (None, 4)
        → for i_o in range(ceildiv(n, 4)):
              for i_i in range(4): s(i_o*4 + i_i)      # blocks get where(i_o*4 + i_i < n)

    `factors` are the extents of the new loops: numbers or expressions of dims, one of them None,
    which takes what is left; a single one is that of the inner of two loops. No predicate is
    added where their product provably is the extent; with `predicate=False` it has to be. Of a
    loop run by threads, the outermost part stays so; otherwise all have the kind of the loop.
    """
    at = get_loop(function, loop, "split")
    refuse = Refusal("split", f"loop {spell(loop)}", function, loop)
    given = factors if isinstance(factors, tuple) else (None, factors)
    extents, exact = _extents(refuse, at, given, predicate)
    first = fresh_ordinal(function)
    new = tuple([Var(loop.name, first + k) for k in range(len(extents))])
    value: Expr = new[0]
    for var, extent in zip(new[1:], extents[1:], strict=True):
        value = value * extent + var
    value = simplify(value)
    body = substitute(at.body, {loop: value})
    if not exact:
        trouble = _unguardable(at.body, loop)
        if trouble is not None:
            raise refuse(f"{_not_dividing(at, given)}, and {trouble}")
        body = _guarded(body, value < at.extent)
    for k in reversed(range(len(new))):
        kind = "serial" if k and at.kind in CONCURRENT else at.kind
        body = For(new[k], extents[k], body, kind, at.annotations)
    return replace(function, at, body), new


def _extents(
    refuse: Refusal, at: For, given: tuple[Factor, ...], predicate: bool
) -> tuple[list[Expr], bool]:
    """The extents of the new loops, and whether they run over the old one's exactly."""
    if len(given) < 2 or given.count(None) > 1:
        raise refuse("it takes at least two factors, of which at most one is left open")
    known = [index(f) for f in given if f is not None]
    for e in known:
        text = print_expr(e)
        if free_vars(e) or loaded(e):
            raise refuse(f"factor {text} is not an expression of dims")
        if not prove(e >= 1):
            small = isinstance(e, Const)
            raise refuse(f"factor {text} {'is' if small else 'may be'} less than 1")
    if at.var.dtype != INDEX:
        raise refuse(f"its variable has type {at.var.dtype}, not index")
    whole = simplify(product(known))
    if None in given:
        rest = simplify((at.extent + (whole - 1)) // whole)
        exact = prove((at.extent % whole).equal(0))
    else:
        rest, exact = whole, prove(at.extent.equal(whole))
        if not exact and not prove(at.extent <= whole):
            raise refuse(f"the factors may not reach its extent {print_expr(at.extent)}")
    if not exact and not predicate:
        raise refuse(_not_dividing(at, given))
    again = not exact or given[0] is not None
    if again and loaded(at.extent) and not steady(at.extent, written(at.body)):
        raise refuse(f"its extent {print_expr(at.extent)} reads memory stored to inside")
    extents = [rest if f is None else simplify(index(f)) for f in given]
    if at.kind in ("vectorized", "unrolled"):
        for e in (e for e in extents if not isinstance(e, Const)):
            raise refuse(f"it is {at.kind}, and {print_expr(e)} is not a constant")
    return extents, exact


def _not_dividing(at: For, given: tuple[Factor, ...]) -> str:
    text, extent = "*".join([print_expr(index(f)) for f in given if f is not None]), at.extent
    if None not in given:
        return f"the product {text} may not be its extent {print_expr(extent)}"
    return f"factor {text} may not divide its extent {print_expr(extent)}"


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
        case While():
            return "a while loop inside might not end"
        case Block():
            asked = [*stmt.bindings, *([] if stmt.predicate is None else [stmt.predicate])]
            if any(_reads_by(e, loop) for e in asked):
                return f"a binding or predicate of block '{stmt.label}' reads memory at it"
            return None
    return "a statement outside any block cannot be guarded"


def _reads_by(e: Expr, loop: Var) -> bool:
    return any(loop in free_vars(load) for load in loads_in(e))


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
