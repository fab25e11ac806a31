"""split: one loop becomes several, nested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from passes.ir.arith import dims_of, free_vars, prove, simplify, substitute
from passes.ir.dtypes import INDEX
from passes.ir.expr import Const, Expr, Var, both, index, product
from passes.ir.expr_text import print_expr
from passes.ir.loop.nodes import CONCURRENT, Block, Buffer, For, Function, If, Seq, Stmt, While
from passes.schedule.accesses import Ranges, iterator_ranges, loads_in, ranges
from passes.schedule.dependence import steady
from passes.schedule.faults import divisors
from passes.schedule.pipelining import NOTES, kept_pipelines
from passes.schedule.primitives.fuse import check_orders
from passes.schedule.reductions import conjuncts
from passes.schedule.tree import (
    Refusal,
    fresh_ordinal,
    iters_in,
    loaded,
    path_to_loop,
    replace,
    spell,
    written,
)

Factor: TypeAlias = int | Expr | None


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
    which takes what is left; a single one is that of the inner of two loops. No predicate is added
    where their product provably is the extent; with `predicate=False` it has to be. Of a loop run
    by threads, the outermost part stays so; otherwise all have the kind of the loop. A software
    pipeline is from then on that of the innermost part. Raises ScheduleError if the factors may not
    reach the extent, or something inside cannot be kept from running beyond it.
    """
    found = path_to_loop(function, loop, "split")
    at = found[-1]
    assert isinstance(at, For)
    refuse = Refusal("split", f"loop {spell(loop)}", function, loop)
    given = factors if isinstance(factors, tuple) else (None, factors)
    extents, exact = _extents(refuse, at, given, predicate)
    for extent in extents[1:]:
        check_orders(refuse, found, extent, {loop}, f"the extent {print_expr(extent)} of a part")
    first = fresh_ordinal(function)
    new = tuple([Var(loop.name, first + k) for k in range(len(extents))])
    value: Expr = new[0]
    for var, extent in zip(new[1:], extents[1:], strict=True):
        value = value * extent + var
    value = simplify(value)
    body = substitute(at.body, {loop: value})
    if not exact:
        beyond = {loop: (index(0), product(extents) - 1)}
        known = {**ranges(function), **iterator_ranges(iters_in(found)), **beyond}
        surplus = _Surplus(loop, written(at.body), known)
        trouble = surplus.unguarded(at.body, None not in given and not prove(at.extent >= 1))
        if trouble is not None:
            raise refuse(f"{_not_dividing(at, given)}, and {trouble}")
        body = _guarded(body, value < at.extent)
    for k in reversed(range(len(new))):
        kind = "serial" if k and at.kind in CONCURRENT else at.kind
        innermost = k == len(new) - 1
        kept = [note for note in at.annotations if innermost or note[0] not in NOTES]
        body = For(new[k], extents[k], body, kind, tuple(kept))
    return kept_pipelines(replace(function, at, body), refuse), new


def _extents(
    refuse: Refusal, at: For, given: tuple[Factor, ...], predicate: bool
) -> tuple[list[Expr], bool]:
    """The extents of the new loops, and whether they run over the old one's exactly."""
    if len(given) < 2 or given.count(None) > 1:
        raise refuse("it takes at least two factors, of which at most one is left open")
    known = [index(f) for f in given if f is not None]
    for e in known:
        if free_vars(e) or loaded(e):
            raise refuse(f"factor {print_expr(e)} is not an expression of dims")
        if not dims_of(e) <= {*refuse.function.dims}:
            raise refuse(f"factor {print_expr(e)} speaks of dims that the function has not")
        if not prove(e >= 1):
            small = isinstance(e, Const)
            raise refuse(f"factor {print_expr(e)} {'is' if small else 'may be'} less than 1")
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


@dataclass(frozen=True)
class _Surplus:
    """Iterations of the loop beyond its extent, in which predicates keep blocks from running."""

    loop: Var
    stored: frozenset[Buffer]
    known: Ranges

    def unguarded(self, stmt: Stmt, anew: bool) -> str | None:
        """What a predicate on the blocks of the statement would not keep from those iterations.

        With `anew` it may be that no other iteration gets to the statement.
        """
        match stmt:
            case Seq(stmts):
                return self._first([self.unguarded(s, anew) for s in stmts])
            case For(var, extent, body):
                trouble = self._trouble(extent, anew)
                if trouble is not None:
                    return f"the extent of loop {spell(var)} {trouble}"
                return self.unguarded(body, anew or self._moves(extent))
            case If(cond, then, other):
                trouble = self._trouble(cond, anew)
                if trouble is not None:
                    return f"a condition {trouble}"
                anew = anew or self._moves(cond)
                parts = [then] if other is None else [then, other]
                return self._first([self.unguarded(s, anew) for s in parts])
            case While():
                return "a while loop inside might not end"
            case Block():
                asked = [*stmt.bindings, *conjuncts(stmt.predicate)]
                trouble = self._first([self._trouble(e, anew) for e in asked])
                whose = f"a binding or predicate of block '{stmt.label}'"
                return None if trouble is None else f"{whose} {trouble}"
        return "a statement outside any block cannot be guarded"

    def _trouble(self, e: Expr, anew: bool) -> str | None:
        for load in loads_in(e):
            if anew or any(self._moves(i) for i in load.indices):
                return "reads memory at it"
        for divisor in divisors(e, self.known):
            if anew or self._moves(divisor):
                return f"divides by {print_expr(divisor)}, which may be 0 beyond it"
        return None

    def _moves(self, e: Expr) -> bool:
        """Whether its value may be one that it has in no other iteration."""
        return self.loop in free_vars(e) or not steady(e, self.stored)

    @staticmethod
    def _first(found: Sequence[str | None]) -> str | None:
        return next((reason for reason in found if reason is not None), None)


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
