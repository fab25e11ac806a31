"""Vectorized loops become vector statements.

    for i3 in vectorized(16):                  y1[ramp(k2*16, 1, 16)] = x0[ramp(k2*16, 1, 16)] * 2
        y1[k2*16 + i3] = x0[k2*16 + i3]*2  →
    for i3 in vectorized(16):
        s1[0] = s1[0] + x0[k2*16 + i3]     →   s1[0] = s1[0] + reduce_add(x0[ramp(k2*16, 1, 16)])

    for i3 in vectorized(16):                  if k2*16 + 15 < n:
        if k2*16 + i3 < n:                         y1[ramp(k2*16, 1, 16)] = …
            y1[k2*16 + i3] = …             →   else:
                                                   y1[masked(ramp(k2*16, 1, 16), mask)] = …

Vectorized loops directly inside each other become one long vector. Serial loops inside are
interchanged with the lanes. A condition that differs between lanes is tested for all of them at
once; where it does not hold for all, what is inside runs under a mask. What has no vector form
runs serially. Reassociates sums; otherwise exact.
"""

from __future__ import annotations

from itertools import product

from passes.codegen.lower.facts import CPU, Facts
from passes.codegen.lower.lanes import Lanes, NoVector
from passes.codegen.lower.masks import (
    chosen,
    for_all,
    for_any,
    masked,
    masked_place,
    needs_no_lane,
    neutral,
)
from passes.codegen.lower.walk import NOTHING, Walk, branch, constant
from passes.ir.arith import free_vars, substitute
from passes.ir.expr import (
    TRUE,
    Add,
    And,
    Call,
    Expr,
    Max,
    Min,
    Mul,
    Not,
    Ramp,
    Var,
    const,
)
from passes.ir.loop.nodes import For, Function, If, Load, Seq, Stmt, Store, While, seq
from passes.ir.node import postorder

_REDUCTIONS: dict[type[Expr], str] = {Add: "reduce_add", Max: "reduce_max", Min: "reduce_min"}


def vectorize(function: Function, facts: Facts = CPU) -> Function:
    """The function without vectorized loops; its buffers must be 1-D."""
    return function.replace(body=_Vectorize(function, facts).stmt(function.body))


class _Vectorize(Walk):
    def __init__(self, function: Function, facts: Facts) -> None:
        super().__init__(function)
        self._facts = facts
        self._lanes: Lanes | None = None
        self._mask: Expr | None = None

    def stmt(self, stmt: Stmt) -> Stmt:
        if self._lanes is None or not isinstance(stmt, While):
            return super().stmt(stmt)
        if self._mask is not None:
            raise NoVector
        return self._one_by_one(self._lanes, stmt)

    def loop(self, loop: For) -> Stmt:
        if self._lanes is not None:
            return self._inner_loop(self._lanes, loop)
        extent = constant(loop.extent)
        if loop.kind != "vectorized" or extent is None:
            kind = "serial" if loop.kind == "vectorized" else loop.kind
            return self.rebuilt(loop.replace(kind=kind), loop.extent, self.inside(loop))
        nest, body = [loop], loop.body
        while isinstance(body, For) and body.kind == "vectorized" and constant(body.extent):
            nest.append(body)
            body = body.body
        for level in nest:
            self.env[level.var] = (0, level.extent - 1)
        self.loops.extend(nest)
        self._lanes = Lanes([(level.var, constant(level.extent) or 0) for level in nest])
        whole = self.stmt(body)
        self._lanes = None
        del self.loops[-len(nest) :]
        for level in nest:
            del self.env[level.var]
        return whole

    def branch(self, stmt: If) -> Stmt:
        lanes = self._lanes
        if lanes is None or not lanes.varies(stmt.cond):
            return super().branch(stmt)
        if self._mask is not None:
            return self._under(lanes, stmt)
        every = for_all(stmt.cond, lanes)
        if every is not None:
            every = self.simplified(every)
        whole = None if every is None else self.stmt(stmt.then)
        if every is TRUE and whole is not None:
            return whole
        try:
            some = self._partly(lanes, stmt)
        except NoVector:
            some = self._one_by_one(lanes, stmt)
        return some if every is None or whole is None else branch(every, whole, some)

    def _partly(self, lanes: Lanes, stmt: If) -> Stmt:
        """A branch for the lanes that its condition chooses. Raises `NoVector`."""
        sizes = {n.buffer.dtype.bytes for n in postorder(stmt) if isinstance(n, Load | Store)}
        if not sizes <= set(self._facts.masked_bytes) or not _can_wait(stmt):
            raise NoVector
        some = for_any(stmt.cond, lanes) if stmt.other is None else None
        if some is None and not _needs_no_lane(stmt, lanes):
            raise NoVector
        whole = self._under(lanes, stmt)
        return whole if some is None else branch(self.simplified(some), whole)

    def _under(self, lanes: Lanes, stmt: If) -> Stmt:
        """Both sides of a branch, each under its mask."""
        outer = self._mask
        cond = self.simplified(lanes.wide(stmt.cond))
        if outer is not None:
            cond = masked(cond, outer)
        parts = []
        for mask, part in ((cond, stmt.then), (Not(cond), stmt.other)):
            if part is not None:
                self._mask = self.simplified(mask if outer is None else And(outer, mask))
                try:
                    parts.append(self.stmt(part))
                finally:
                    self._mask = outer
        return seq(*parts)

    def store(self, stmt: Store) -> Stmt:
        lanes = self._lanes
        if lanes is None:
            return stmt
        if self._mask is not None:
            return self._masked_store(lanes, stmt, self._mask)
        used = free_vars(stmt.indices[0])
        missing = [axis for axis in lanes.axes if axis[0] not in used]
        if 0 < len(missing) < len(lanes.axes):
            return self._serial_over(missing, lanes, stmt)
        try:
            return self._vector_store(lanes, stmt)
        except NoVector:
            return self._one_by_one(lanes, stmt)

    def _masked_store(self, lanes: Lanes, stmt: Store, mask: Expr) -> Stmt:
        """The store in the lanes of the mask. Raises `NoVector`."""
        done = self._vector_store(lanes, stmt)
        position = done.indices[0]
        if position.dtype.lanes == 1:
            return done
        place = masked_place(position, mask)
        return Store(done.buffer, (place,), masked(done.value, mask))

    def _inner_loop(self, lanes: Lanes, loop: For) -> Stmt:
        if lanes.varies(loop.extent):
            if self._mask is not None:
                raise NoVector
            return self._one_by_one(lanes, loop)
        if loop.kind == "vectorized":
            loop = loop.replace(kind="serial")
        return self.rebuilt(loop, loop.extent, self.inside(loop))

    def _vector_store(self, lanes: Lanes, stmt: Store) -> Store:
        position = lanes.of(stmt.indices[0])
        if lanes.varies(stmt.indices[0]):
            if position.dtype.lanes != lanes.count:
                raise NoVector
            position = self.simplified(position)
            if _own(stmt) in _loads(stmt.value) and not self._are_apart(lanes, stmt.indices[0]):
                raise NoVector
            return Store(stmt.buffer, (position,), self.simplified(lanes.wide(stmt.value)))
        if not lanes.varies(stmt.value):
            if self._mask is not None or _own(stmt) in _loads(stmt.value):
                raise NoVector
            return stmt
        return self._reduction(lanes, stmt)

    def _are_apart(self, lanes: Lanes, position: Expr) -> bool:
        """True if no two lanes have the same position."""
        if isinstance(lanes.of(position), Ramp):
            return True
        digits = product(*[range(extent) for _, extent in lanes.axes])
        places = [
            substitute(position, {v: const(d) for (v, _), d in zip(lanes.axes, lane, strict=True)})
            for lane in digits
        ]
        offsets = {constant(self.simplified(place - places[0])) for place in places}
        return None not in offsets and len(offsets) == lanes.count

    def _reduction(self, lanes: Lanes, stmt: Store) -> Store:
        """`s = s op f(lane)` → `s = s op reduce_op(f of all lanes)`, or of those of the mask."""
        own, value = _own(stmt), stmt.value
        if isinstance(value, Call) and value.name == "fma" and value.args[2] is own:
            value = Add(own, Mul(value.args[0], value.args[1]))
        if not isinstance(value, Add | Max | Min) or own not in (value.a, value.b):
            raise NoVector
        term = value.b if value.a is own else value.a
        if stmt.buffer in {node.buffer for node in _loads(term)}:
            raise NoVector
        vector = self.simplified(lanes.wide(term))
        if self._mask is not None:
            rest = neutral(type(value), term.dtype)
            vector = chosen(self._mask, masked(vector, self._mask), rest)
        whole = Call(_REDUCTIONS[type(value)], (vector,), term.dtype)
        return Store(stmt.buffer, stmt.indices, type(value)(own, whole))

    def _serial_over(self, axes: list[tuple[Var, int]], lanes: Lanes, stmt: Store) -> Stmt:
        """A store to fewer places than lanes: one vector store for each iteration of `axes`."""
        self._lanes = Lanes([axis for axis in lanes.axes if axis not in axes])
        renamed = {var: self.renamed(var) for var, _ in axes}
        body = self.store(substitute(stmt, renamed))
        self._lanes = lanes
        return _nest([(renamed[var], extent) for var, extent in axes], body)

    def _one_by_one(self, lanes: Lanes, stmt: Stmt) -> Stmt:
        """The statement in serial loops over the lanes."""
        fresh = {var: self.renamed(var) for var, _ in lanes.axes}
        body = _serial(self.copy(stmt, fresh))
        return _nest([(fresh[var], extent) for var, extent in lanes.axes], body)


def _nest(axes: list[tuple[Var, int]], body: Stmt) -> Stmt:
    for var, extent in reversed(axes):
        body = For(var, const(extent, var.dtype), body)
    return body


def _own(stmt: Store) -> Load:
    return Load(stmt.buffer, stmt.indices)


def _loads(e: Expr) -> list[Load]:
    return [node for node in postorder(e) if isinstance(node, Load)]


def _serial(stmt: Stmt) -> Stmt:
    if isinstance(stmt, Seq):
        return seq(*[_serial(inner) for inner in stmt.stmts])
    if isinstance(stmt, For):
        kind = "serial" if stmt.kind == "vectorized" else stmt.kind
        return stmt.replace(body=_serial(stmt.body), kind=kind)
    if isinstance(stmt, While):
        return While(stmt.cond, _serial(stmt.body))
    if isinstance(stmt, If):
        other = NOTHING if stmt.other is None else _serial(stmt.other)
        return branch(stmt.cond, _serial(stmt.then), other)
    return stmt


def _needs_no_lane(stmt: If, lanes: Lanes) -> bool:
    """True if both sides of a branch may run for no lanes at all."""
    stack: list[Stmt] = [stmt.then, stmt.other or NOTHING]
    while stack:
        parts = stack.pop().children
        if not all(needs_no_lane(e, lanes) for e in parts if isinstance(e, Expr)):
            return False
        stack.extend(part for part in parts if isinstance(part, Stmt))
    return True


def _can_wait(stmt: Stmt) -> bool:
    """True if no condition inside reads what the statement stores, so that it still holds later."""
    nodes = postorder(stmt)
    stored = {node.buffer for node in nodes if isinstance(node, Store)}
    conds = [node.cond for node in nodes if isinstance(node, If)]
    return not any(load.buffer in stored for cond in conds for load in _loads(cond))
