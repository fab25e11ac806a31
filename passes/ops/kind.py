"""How an operation may fuse, read off its loop definition, so that any operator fuses like ours.

elementwise   each result from the operand elements at its own coordinates
broadcast     … or at some of its coordinates, in their order (a vector along an axis)
injective     … or anywhere, each result written once (transpose, gather, append)
reduction     results combine operands along reduce iterators
contraction   … as sums of products of two operands (matrix products)
opaque        anything else: ordered iteration, loops bound by data, several stores in a block
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from passes.ir.arith import free_vars, linear, prove
from passes.ir.expr import Add, Cast, Const, Expr, Mul, Var, index
from passes.ir.loop.nodes import Block, BlockIter, For, Function, Load, Store, Update
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
                if target is not None:
                    stored.add(target)
            case For() if _loads(node.extent):
                found.append("opaque")
    return max(found, key=KINDS.index)


def _block(block: Block) -> Kind:
    spatial = [it for it in block.iters if it.kind == "spatial"]
    reduced = [it.var for it in block.iters if it.kind == "reduce"]
    store = block.body
    if len(spatial) + len(reduced) < len(block.iters):
        return "opaque"
    if isinstance(store, Update):
        apart = all(_distinct(target.indices, spatial) for target in store.targets)
        return "reduction" if reduced and apart else "opaque"
    if not isinstance(store, Store):
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


def _distinct(indices: Sequence[Expr], iters: Sequence[BlockIter]) -> bool:
    """True if different values of the iterators surely store to different places: each axis is
    stepped by iterators of its own, which others may shift if they have axes of their own."""
    extents = {it.var: it.extent for it in iters}
    told: dict[Var, frozenset[Var]] = {}  # iterator -> what else its axis depends on
    for e in sorted(indices, key=lambda e: len(free_vars(e))):
        parts = linear(e, tuple(v for v in extents if v in free_vars(e) and v not in told))
        if parts is None:
            continue
        steps = {var: by for var, by in parts[0].items() if isinstance(by, Const) and by.value}
        if len(steps) == len(parts[0]) and _digits(steps, extents):
            told |= dict.fromkeys(steps, free_vars(parts[1]))
    alone = {var for var, others in told.items() if not others}
    return len(told) == len(extents) and all(others <= alone for others in told.values())


def _digits(steps: Mapping[Var, Const], extents: Mapping[Var, Expr]) -> bool:
    """Whether a sum of iterators times steps tells each of them, as digits tell a number: in
    order of their steps, each step is as large as all that is below it."""
    order = sorted(steps, key=lambda var: abs(int(steps[var].value)))
    room: Expr = index(1)
    for var in order:
        step = abs(int(steps[var].value))
        if not prove(room <= step):
            return False
        room = extents[var] * step
    return True


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
