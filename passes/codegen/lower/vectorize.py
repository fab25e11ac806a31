"""Vectorized loops become vector statements.

    for i3 in vectorized(16):                  y1[ramp(k2*16, 1, 16)] = x0[ramp(k2*16, 1, 16)] * 2
        y1[k2*16 + i3] = x0[k2*16 + i3]*2  →
    for i3 in vectorized(16):
        s1[0] = s1[0] + x0[k2*16 + i3]     →   s1[0] = s1[0] + reduce_add(x0[ramp(k2*16, 1, 16)])

Vectorized loops directly inside each other become one long vector. Serial loops inside are
interchanged with the lanes. A condition that differs between lanes is tested for all of them at
once: where it holds for all the vector runs, else the lanes one by one. What has no vector form
(and a loop whose extent is not constant) runs serially. Reassociates sums; otherwise exact.
"""

from __future__ import annotations

from itertools import product

from passes.codegen.lower.lanes import Lanes, NoVector
from passes.codegen.lower.walk import NOTHING, Walk, branch, constant
from passes.ir.arith import free_vars, linear, substitute
from passes.ir.dtypes import INDEX
from passes.ir.expr import Add, And, Call, Expr, Le, Lt, Max, Min, Mul, Ramp, Var, const
from passes.ir.loop.nodes import For, Function, If, Load, Seq, Stmt, Store, seq
from passes.ir.node import postorder

_REDUCTIONS: dict[type[Expr], str] = {Add: "reduce_add", Max: "reduce_max", Min: "reduce_min"}


def vectorize(function: Function) -> Function:
    """The function without vectorized loops; its buffers must be 1-D."""
    return function.replace(body=_Vectorize(function).stmt(function.body))


class _Vectorize(Walk):
    def __init__(self, function: Function) -> None:
        super().__init__(function)
        self._lanes: Lanes | None = None

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
        every = _for_all(stmt.cond, lanes)
        single = self._one_by_one(lanes, stmt)
        if every is None:
            return single
        every = self.simplified(every)
        return branch(every, self.stmt(stmt.then), single)

    def store(self, stmt: Store) -> Stmt:
        lanes = self._lanes
        if lanes is None:
            return stmt
        used = free_vars(stmt.indices[0])
        missing = [axis for axis in lanes.axes if axis[0] not in used]
        if 0 < len(missing) < len(lanes.axes):
            return self._serial_over(missing, lanes, stmt)
        try:
            return self._vector_store(lanes, stmt)
        except NoVector:
            return self._one_by_one(lanes, stmt)

    def _inner_loop(self, lanes: Lanes, loop: For) -> Stmt:
        if lanes.varies(loop.extent):
            return self._one_by_one(lanes, loop)
        if loop.kind == "vectorized":
            loop = loop.replace(kind="serial")
        return self.rebuilt(loop, loop.extent, self.inside(loop))

    def _vector_store(self, lanes: Lanes, stmt: Store) -> Stmt:
        position = lanes.of(stmt.indices[0])
        if lanes.varies(stmt.indices[0]):
            if position.dtype.lanes != lanes.count:
                raise NoVector
            position = self.simplified(position)
            if _own(stmt) in _loads(stmt.value) and not self._are_apart(lanes, stmt.indices[0]):
                raise NoVector
            return Store(stmt.buffer, (position,), self.simplified(lanes.wide(stmt.value)))
        if not lanes.varies(stmt.value):
            if _own(stmt) in _loads(stmt.value):
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

    def _reduction(self, lanes: Lanes, stmt: Store) -> Stmt:
        """`s = s op f(lane)` → `s = s op reduce_op(f of all lanes)`."""
        own, value = _own(stmt), stmt.value
        if isinstance(value, Call) and value.name == "fma" and value.args[2] is own:
            value = Add(own, Mul(value.args[0], value.args[1]))
        if not isinstance(value, Add | Max | Min) or own not in (value.a, value.b):
            raise NoVector
        term = value.b if value.a is own else value.a
        if stmt.buffer in {node.buffer for node in _loads(term)}:
            raise NoVector
        vector = self.simplified(lanes.wide(term))
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
    if isinstance(stmt, If):
        other = NOTHING if stmt.other is None else _serial(stmt.other)
        return branch(stmt.cond, _serial(stmt.then), other)
    return stmt


def _for_all(cond: Expr, lanes: Lanes) -> Expr | None:
    """A condition that holds only if `cond` holds in every lane; None if there is no simple one."""
    if not lanes.varies(cond):
        return cond
    if isinstance(cond, And):
        a, b = _for_all(cond.a, lanes), _for_all(cond.b, lanes)
        return None if a is None or b is None else And(a, b)
    if not isinstance(cond, Le | Lt) or cond.a.dtype != INDEX:
        return None
    split = linear(cond.b - cond.a, lanes.variables)
    if split is None:
        return None
    worst: dict[Var, Expr] = {}
    for var, extent in lanes.axes:
        step = constant(split[0].get(var, const(0)))
        if step is None:
            return None
        worst[var] = const(0 if step >= 0 else extent - 1)
    return substitute(type(cond)(const(0), cond.b - cond.a), worst)
