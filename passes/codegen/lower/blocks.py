"""Blocks become the statements they stand for, and so do updates of tuples and groups of copies.

    for k3 in range(64):                       for k3 in range(64):
        with block("sum"):                         if k3 == 0:
            i4 = spatial(8, i2)                        y1[i2] = 0
            k5 = reduce(64, k3)           →        y1[i2] = y1[i2] + x0[i2, k3]
            with init(): y1[i4] = 0
            y1[i4] = y1[i4] + x0[i4, k5]

    at1[i], top2[i] = argmax(…)           →    at1[i] = select(top2[i] < x0[i, k], k, at1[i])
                                               top2[i] = max(top2[i], x0[i, k])

A predicate becomes an `if`, dropped where it provably holds. Accesses of a view become accesses of
the buffer that it is a region of. An update stores first what no later result reads; where each
needs the others, through temporaries. A loop whose lanes would update the same tuple is serial, and
so is one that needs such temporaries for lanes of unknown number. Copies are done where they are
issued, and waits disappear. Multiples of loop variables are products again: `strength` finds those
of the loops that are left. Exact.
"""

from __future__ import annotations

from passes.codegen.lower.walk import NOTHING, Walk, branch
from passes.ir.arith import free_vars, simplify, substitute
from passes.ir.expr import TRUE, Const, Eq, Expr, Var, both, const
from passes.ir.loop.multiples import spelled_out
from passes.ir.loop.nodes import (
    AsyncGroup,
    AsyncWait,
    Block,
    Buffer,
    For,
    Function,
    Load,
    Stmt,
    Store,
    Update,
    View,
    seq,
)
from passes.ir.loop.traverse import resolved
from passes.ir.node import Node, postorder, rewrite


def lower_blocks(function: Function) -> Function:
    """The function without blocks, views, updates of tuples and asynchronous copies."""
    walk = _Blocks(function)
    body = walk.stmt(spelled_out(function.body))
    return function.replace(body=body, allocs=(*function.allocs, *walk.temporaries))


class _Blocks(Walk):
    def __init__(self, function: Function) -> None:
        super().__init__(function)
        self.temporaries: list[Buffer] = []
        self.views: dict[Buffer, View] = {}
        self._serial: set[Var] = set()  # loops whose iterations cannot be lanes

    def stmt(self, stmt: Stmt) -> Stmt:
        if isinstance(stmt, Update):
            return self._update(stmt)
        if isinstance(stmt, AsyncGroup):
            return self.stmt(stmt.body)
        if isinstance(stmt, AsyncWait):
            return NOTHING
        return super().stmt(stmt)

    def loop(self, loop: For) -> Stmt:
        done = super().loop(loop)
        lanes = loop.var in self._serial and isinstance(done, For)
        return done.replace(kind="serial") if lanes else done

    def expr(self, e: Expr) -> Expr:
        if self.views:
            e = rewrite(e, self._behind)
        return self.simplified(e)

    def _behind(self, node: Node) -> Node | None:
        return resolved(node, self.views) if isinstance(node, Load) else None

    def store(self, stmt: Store) -> Stmt:
        place = resolved(Load(stmt.buffer, stmt.indices), self.views)
        return super().store(Store(place.buffer, place.indices, stmt.value))

    def block(self, block: Block) -> Stmt:
        values: dict[Var, Expr] = {}
        starts: list[Expr] = []
        for iterator, binding in zip(block.iters, block.bindings, strict=True):
            values[iterator.var] = binding
            if iterator.kind == "reduce":
                starts.append(Eq(binding, const(0, binding.dtype)))
        for view in block.views:
            self.views[view.buffer] = view.replace(source=substitute(view.source, values))
        body = self.stmt(substitute(block.body, values))
        first: Stmt = NOTHING
        if block.init is not None:
            init = self.stmt(substitute(block.init, values))
            first = branch(self.simplified(both(*starts) or TRUE), init)
        cond = TRUE if block.predicate is None else self.simplified(block.predicate)
        return branch(cond, seq(first, body))

    def _update(self, stmt: Update) -> Stmt:
        targets = [resolved(target, self.views) for target in stmt.targets]
        for loop in self.loops:
            apart = [any(loop.var in free_vars(i) for i in target.indices) for target in targets]
            if loop.kind == "vectorized" and not all(apart):
                self._serial.add(loop.var)
        operands = zip(stmt.combiner.params, (*targets, *stmt.operands), strict=True)
        meanings = dict(operands)
        results = [self.expr(substitute(e, meanings)) for e in stmt.combiner.results]
        left = list(range(len(targets)))
        early: list[Stmt] = []
        late: list[Stmt] = []
        while left:
            unread = (
                k for k in left if not _read(targets[k], [results[j] for j in left if j != k])
            )
            chosen = next(unread, None)
            number = left[0] if chosen is None else chosen
            left.remove(number)
            target, value = targets[number], results[number]
            if chosen is None:
                kept = self._temporary(target)
                early.append(Store(kept.buffer, kept.indices, value))
                late.append(self.store(Store(target.buffer, target.indices, kept)))
            else:
                early.append(self.store(Store(target.buffer, target.indices, value)))
        return seq(*early, *late)

    def _temporary(self, target: Load) -> Load:
        """A place for a result until all are known, one for each lane."""
        vectors = [loop for loop in self.loops if loop.kind == "vectorized"]
        lanes = [loop for loop in vectors if isinstance(loop.extent, Const)]
        self._serial.update(loop.var for loop in vectors if loop not in lanes)
        shape = tuple([loop.extent for loop in lanes]) or (const(1),)
        name, dtype = f"{target.buffer.name}_new", target.buffer.dtype
        made = Buffer(name, next(self._ordinals), shape, dtype, "local")
        self.temporaries.append(made)
        return Load(made, tuple([loop.var for loop in lanes]) or (const(0),))


def _read(target: Load, values: list[Expr]) -> bool:
    """Whether one of the values may read the element."""
    for node in postorder(*values):
        if isinstance(node, Load) and node.buffer is target.buffer:
            gaps = [simplify(a - b) for a, b in zip(node.indices, target.indices, strict=True)]
            if not any(isinstance(gap, Const) and gap.value for gap in gaps):
                return True
    return False
