"""How an operation may fuse, read off its loop definition, so that any operator fuses like ours.

elementwise   each result from the operand elements at its own coordinates
broadcast     … or at some of its coordinates, in their order (a vector along an axis)
injective     … or anywhere, each result written once (transpose, gather, append)
reduction     results combine operands along reduce iterators
contraction   … as sums of products of two operands (matrix products)
opaque        anything else: ordered iteration, loops bound by data, several stores in a block
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from passes.ir.arith import free_vars, linear
from passes.ir.expr import Add, Cast, Const, Expr, Mul, Var
from passes.ir.loop.nodes import Block, For, Function, Load, Store
from passes.ir.node import postorder

Kind: TypeAlias = Literal[
    "elementwise", "broadcast", "injective", "reduction", "contraction", "opaque"
]
KINDS: tuple[Kind, ...] = (
    "elementwise", "broadcast", "injective", "reduction", "contraction", "opaque",
)  # fmt: skip


def kind(function: Function) -> Kind:
    """The loosest of the kinds of the function's blocks."""
    found: list[Kind] = ["elementwise"]
    stored: set[object] = set()
    for node in postorder(function.body):
        match node:
            case Block():
                found.append(_block(node))
                target = node.body.buffer if isinstance(node.body, Store) else None
                if target in stored:  # parts of one result, such as those of a concatenation
                    found.append("injective")
                stored.add(target)
            case For() if _loads(node.extent):
                found.append("opaque")
    return max(found, key=KINDS.index)


def _block(block: Block) -> Kind:
    spatial = [it.var for it in block.iters if it.kind == "spatial"]
    reduced = [it.var for it in block.iters if it.kind == "reduce"]
    store = block.body
    if len(spatial) + len(reduced) < len(block.iters) or not isinstance(store, Store):
        return "opaque"
    if not _distinct(store.indices, spatial):
        return "opaque"
    if reduced:
        return "contraction" if _is_product(store, reduced) else "reduction"
    plain = [i for i in store.indices if isinstance(i, Var)]
    if block.predicate is not None or len(plain) != len(store.indices):
        return "injective"
    loads = _loads(store.value)
    if all(load.indices == store.indices for load in loads):
        return "elementwise"
    return "broadcast" if all(_is_part(load, plain) for load in loads) else "injective"


def _loads(e: Expr) -> list[Load]:
    return [node for node in postorder(e) if isinstance(node, Load)]


def _distinct(indices: Sequence[Expr], spatial: Sequence[Var]) -> bool:
    """True if different values of the iterators surely store to different places: each iterator
    steps one axis alone, which others may shift if they have an axis of their own."""
    steps: dict[Var, Expr] = {}
    for e in sorted(indices, key=lambda e: len(free_vars(e))):
        for var in spatial:
            parts = linear(e, (var,))
            if var in steps or var not in free_vars(e) or parts is None:
                continue
            coefficient = parts[0].get(var)
            if isinstance(coefficient, Const) and coefficient.value == 1:
                steps[var] = parts[1]
                break
    alone = {var for var, rest in steps.items() if not free_vars(rest)}
    return len(steps) == len(spatial) and all(free_vars(rest) <= alone for rest in steps.values())


def _is_part(load: Load, axes: Sequence[Var]) -> bool:
    """True if the coordinates are some of `axes`, in order, or constants."""
    places = [axes.index(i) if i in axes else -1 for i in load.indices if not _is_const(i)]
    return -1 not in places and places == sorted(set(places))


def _is_const(e: Expr) -> bool:
    return isinstance(e, Const)


def _is_product(store: Store, reduced: Sequence[Var]) -> bool:
    """True for `t[…] = t[…] + a * b` where both factors vary along the reduction, and one of them
    is used again along an axis that only the other one varies with."""
    if not isinstance(store.value, Add) or store.value.a is not Load(store.buffer, store.indices):
        return False
    term = store.value.b
    while isinstance(term, Cast):
        term = term.value
    if not isinstance(term, Mul):
        return False
    sides = [
        {load.buffer for load in _loads(side) if free_vars(load) & frozenset(reduced)}
        for side in (term.a, term.b)
    ]
    axes = [free_vars(term.a) - frozenset(reduced), free_vars(term.b) - frozenset(reduced)]
    return bool(sides[0]) and bool(sides[1]) and sides[0] != sides[1] and axes[0] != axes[1]
