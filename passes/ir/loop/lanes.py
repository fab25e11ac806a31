"""What the lanes of a vectorized loop do together.

    for i in vectorized(8):            for i in vectorized(8):
        t[i] = x[i]             =          t[i] = x[i]
        y[i] = t[i] + s[0]             for i in vectorized(8):
                                           y[i] = t[i] + s[0]

Lanes run each statement together: an init before all that is added to what it starts, and an
iteration of an unrolled loop inside before the next one.
"""

from __future__ import annotations

from functools import lru_cache

from passes.ir.arith import free_vars, substitute
from passes.ir.arith.terms import terms
from passes.ir.expr import Const, Eq, Expr, Not, Var, both
from passes.ir.loop.nodes import AsyncGroup, Block, For, If, Seq, Stmt, Store, While, seq
from passes.ir.loop.traverse import loaded_in, stored_in


@lru_cache(maxsize=1 << 7)
def in_step(body: Stmt) -> Stmt:
    """The same statement with vectorized loops around single ones, as far as they are told
    apart."""
    return _stepping(body)


def _stepping(stmt: Stmt) -> Stmt:
    match stmt:
        case Seq(stmts):
            return seq(*[_stepping(inner) for inner in stmts])
        case For():
            body = _stepping(stmt.body)
            done = stmt.replace(body=body)
            return _whole(body, done, ()) if stmt.kind == "vectorized" else done
        case While() | AsyncGroup():
            return stmt.replace(body=_stepping(stmt.body))
        case Block():
            init = None if stmt.init is None else _stepping(stmt.init)
            return stmt.replace(body=_stepping(stmt.body), init=init)
        case If(_, then, other):
            denied = None if other is None else _stepping(other)
            return stmt.replace(then=_stepping(then), other=denied)
    return stmt


def _apart(stmt: Stmt, lanes: For, around: tuple[Block | If, ...]) -> Stmt | None:
    """The parts of a statement inside `lanes` and `around`, each in all lanes; None if it is one.

    What is around is evaluated again for each part, so nothing in it may change on the way.
    """
    match stmt:
        case Seq(stmts):
            return seq(*[_whole(inner, lanes, around) for inner in stmts])
        case For(_, Const(), body):
            parts = _apart(body, lanes, around)
            return None if parts is None else stmt.replace(body=parts)
        case If(cond, then, other) if _keeps([cond], stmt):
            if other is None:
                return _apart(then, lanes, (*around, stmt))
            denied = If(Not(cond), other)
            return seq(
                _whole(then, lanes, (*around, If(cond, then))),
                _whole(other, lanes, (*around, denied)),
            )
        case Block() if not stmt.views and _keeps([*stmt.bindings, stmt.predicate], stmt):
            bare = stmt.replace(init=None)
            sums = _apart(stmt.body, lanes, (*around, bare))
            if stmt.init is None or (sums is None and _own_element(stmt, lanes.var, around)):
                return sums
            pairs = zip(stmt.iters, stmt.bindings, strict=True)
            zero = [Eq(e, Const(0, e.dtype)) for it, e in pairs if it.kind == "reduce"]
            start = bare.replace(predicate=both(stmt.predicate, *zero))
            first = _whole(stmt.init, lanes, (*around, start))
            return seq(first, sums or _around(stmt.body, lanes, (*around, bare)))
    return None


def _whole(stmt: Stmt, lanes: For, around: tuple[Block | If, ...]) -> Stmt:
    return _apart(stmt, lanes, around) or _around(stmt, lanes, around)


def _around(stmt: Stmt, lanes: For, around: tuple[Block | If, ...]) -> Stmt:
    body = stmt
    for outer in reversed(around):
        body = If(outer.cond, body) if isinstance(outer, If) else outer.replace(body=body)
    return lanes.replace(body=body)


def _keeps(asked: list[Expr | None], stmt: Stmt) -> bool:
    """Whether nothing that the statement stores changes these expressions."""
    stored = stored_in(stmt)
    return all(e is None or stored.isdisjoint(loaded_in(e)) for e in asked)


def _own_element(block: Block, lane: Var, around: tuple[Block | If, ...]) -> bool:
    """Whether the block stores to one element, another one in each lane."""
    if not isinstance(block.body, Store):
        return False
    blocks = [outer for outer in (*around, block) if isinstance(outer, Block)]
    for place in block.body.indices:
        for outer in reversed(blocks):
            given = zip(outer.iters, outer.bindings, strict=True)
            place = substitute(place, {it.var: e for it, e in given})
        parts = terms(place)
        others = [atom for part in parts if part != (lane,) for atom in part]
        if (lane,) in parts and not any(lane in free_vars(atom) for atom in others):
            return True
    return False
