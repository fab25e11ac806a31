"""The arithmetic of a stored value, by kind.

y[i] + cast(x[i], f32)*w[i]*f32(2.0)   →   convert, mul, fma        one lane each
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from passes.ir import expr
from passes.ir.expr import Call, Expr
from passes.ir.loop.nodes import Load
from passes.search.features.rows import Access, Row
from passes.search.features.sums import Loop

# Products that a lane of the result adds up, where types do not show it
_PRODUCTS = {
    "dot4": 4, "dot4_words": 4, "dot4_pairs": 4, "dot4_signed": 4, "dot2_bf16": 2,
    "dot2_bf16_fma": 2,
}  # fmt: skip
_CHEAP = frozenset(["abs", "floor", "round"])
_FREE = frozenset(["masked", "thread_id", "num_threads"])
_NONE: frozenset[Loop] = frozenset()


@dataclass(frozen=True)
class Operation:
    """One operation on each of `lanes` numbers of up to `bits`; it depends on `loops`. Of a
    tensor instruction, a lane adds up `products`."""

    kind: str
    lanes: int
    bits: int
    loops: frozenset[Loop]
    products: int = 0


def operations_of(row: Row) -> list[Operation]:
    """All operations that compute the values of a row, shared ones once. Indices are no part of
    them."""
    count = _Count(row.loads, _NONE.union(*[access.loops for access in row.accesses]))
    count.values(row.values)
    return count.found


class _Count:
    def __init__(self, loads: Mapping[Load, Access], every: frozenset[Loop]) -> None:
        self.loads, self.every = loads, every
        self.found: list[Operation] = []
        self._done: dict[Expr, frozenset[Loop]] = {}

    def values(self, values: Iterable[Expr]) -> None:
        for value in values:
            self._visit(value)

    def _visit(self, e: Expr, inside: bool = False) -> frozenset[Loop]:
        """Counts an expression and what is below; gives the loops that it depends on. A product
        `inside` a sum is part of that."""
        done = self._done.get(e)
        if done is not None:
            return done
        if isinstance(e, Load):
            access = self.loads.get(e)
            loops = self.every if access is None else access.loops
        elif isinstance(e, expr.Var):
            loops = self.every
        else:
            fused = _fused(e)
            below = [c for c in e.children if isinstance(c, Expr)]
            loops = _NONE.union(*[self._visit(c, c is fused) for c in below])
            kind = "fma" if fused is not None else _kind(e)
            if kind is not None and not inside:
                bits = max([_bits(child) for child in (e, *below)])
                self.found.append(Operation(kind, e.dtype.lanes, bits, loops, products(e)))
        self._done[e] = loops
        return loops


def _bits(e: Expr) -> int:
    """Of a lane; index arithmetic of vectors is done in 32 bits."""
    return 32 if e.dtype.name == "index" else e.dtype.bits


def _fused(e: Expr) -> Expr | None:
    """The product that is added in one step with a sum."""
    if not isinstance(e, (expr.Add, expr.Sub)) or e.dtype.name == "index":
        return None
    return next((part for part in (e.b, e.a) if isinstance(part, expr.Mul)), None)


def products(e: Expr) -> int:
    """How many products a lane of a tensor instruction adds up; 0 for anything else."""
    if not isinstance(e, Call) or not (e.name in _PRODUCTS or "." in e.name):
        return 0
    return _PRODUCTS.get(e.name) or max(1, e.args[-1].dtype.lanes // e.dtype.lanes)


def _kind(e: Expr) -> str | None:
    is_float = e.dtype.is_float
    match e:
        case expr.Add() | expr.Sub():
            return "add" if is_float else "int"
        case expr.Mul():
            return "mul" if is_float else "int"
        case expr.Max() | expr.Min():
            return "max" if is_float else "int"
        case expr.Div():
            return "div"
        case expr.Compare() | expr.Select() | expr.And() | expr.Or() | expr.Not():
            return "compare"
        case expr.Cast():
            return "convert"
        case expr.Binary():
            return "int"
        case Call(name, _, _):
            return None if name in _FREE else _kind_of_call(e)
    return None


def _kind_of_call(e: Call) -> str:
    if products(e):
        return "tensor"
    if e.name == "fma" or e.name == "exp":
        return e.name
    if e.name in _CHEAP:
        return "max" if e.dtype.is_float else "int"
    return "add" if e.name.startswith("reduce_") else "call"
