"""Buffers become one-dimensional; strides and shapes go into the index.

    x0: f32[n, 64]                                x0: f32[n*64]
    w1: f16[8, 4](strides=[160, 1])        →      w1: f16[1124]
    … x0[i2, k3] * w1[i2, 1] …                    … x0[i2*64 + k3] * w1[i2*160 + 1] …

A view is as long as its last element is far away; an empty one may have none. Exact.
"""

from __future__ import annotations

from passes.codegen.lower.walk import Walk
from passes.ir.arith import prove, simplify
from passes.ir.expr import Broadcast, Call, Const, Expr, Ramp, const, index, maximum, product
from passes.ir.loop.nodes import Buffer, Function, Load, Stmt, Store
from passes.ir.node import Node, rewrite


def flatten(function: Function) -> Function:
    """The function with 1-D buffers only."""
    walk = _Flatten(function)
    body = walk.stmt(function.body)
    params, allocs = (
        tuple([_flat(buffer) for buffer in group]) for group in (function.params, function.allocs)
    )
    return function.replace(params=params, allocs=allocs, body=body)


class _Flatten(Walk):
    def expr(self, e: Expr) -> Expr:
        return self.simplified(rewrite(e, _flat_load))

    def store(self, stmt: Store) -> Stmt:
        position = self.expr(_position(stmt.buffer, tuple([self.expr(i) for i in stmt.indices])))
        return Store(_flat(stmt.buffer), (position,), self.expr(stmt.value))


def _flat_load(node: Node) -> Node | None:
    if not isinstance(node, Load):
        return None
    return Load(_flat(node.buffer), (_position(node.buffer, node.indices),))


def _flat(buffer: Buffer) -> Buffer:
    if buffer.strides is None:
        size = product(buffer.shape)
    else:
        size = index(1)
        for extent, stride in zip(buffer.shape, buffer.strides, strict=True):
            size = size + (extent - 1) * stride
        if not all(prove(extent >= 1) for extent in buffer.shape):
            size = maximum(simplify(size), 0)
    return buffer.replace(shape=(simplify(size),), strides=None, pitch=None)


def _position(buffer: Buffer, indices: tuple[Expr, ...]) -> Expr:
    strides = buffer.strides
    if strides is None:
        strides = tuple([product(buffer.shape[axis + 1 :]) for axis in range(len(indices))])
    whole: Expr = const(0)
    moving: Expr | None = None
    for position, stride in zip(indices, strides, strict=True):
        if position.dtype.lanes == 1:
            whole = whole + position * stride
        else:
            moving = _scaled(position, stride)
    if moving is None:
        return whole
    if isinstance(moving, Call) and moving.name == "masked":
        place, mask = moving.args
        shifted = _plus(whole, place)
        return Call("masked", (shifted, mask), shifted.dtype)
    return _plus(whole, moving)


def _plus(whole: Expr, moving: Expr) -> Expr:
    if isinstance(moving, Ramp):
        return Ramp(whole + moving.base, moving.stride, moving.lanes)
    return Broadcast(whole, moving.dtype.lanes) + moving


def _scaled(position: Expr, stride: Expr) -> Expr:
    if isinstance(position, Call) and position.name == "masked":
        place, mask = position.args
        scaled = _scaled(place, stride)
        return Call("masked", (scaled, mask), scaled.dtype)
    if isinstance(position, Ramp) and isinstance(stride, Const):
        step = int(stride.value)
        return Ramp(position.base * step, position.stride * step, position.lanes)
    return position * Broadcast(stride, position.dtype.lanes)
