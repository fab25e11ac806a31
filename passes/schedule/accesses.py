"""Where a program loads and stores: every access with its place and the conditions around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from passes.ir.arith import substitute
from passes.ir.derived import Derived
from passes.ir.expr import Const, Expr, Not, Ramp, Var
from passes.ir.loop.nodes import (
    AsyncGroup,
    AsyncWait,
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    If,
    Load,
    Seq,
    Stmt,
    Store,
    Update,
    While,
)
from passes.ir.node import Node

Path = tuple[tuple[Stmt, int], ...]
Ranges = Mapping[Var, tuple[Expr, Expr]]
_SHORT = 16  # lanes of vectors whose elements are told apart


class Access(NamedTuple):
    """One load or store of a buffer with its indices as expressions of the loops around it; of a
    short vector there is one for each element.

    `path` leads from the root to it: statements with the number of the part that was entered.
    `conditions` are the predicates and branches on the way; that of a `while` is among them,
    though it holds only when an iteration begins.
    """

    buffer: Buffer
    indices: tuple[Expr, ...]
    is_store: bool
    block: Block | None
    path: Path
    conditions: tuple[Expr, ...]

    @property
    def loops(self) -> list[For]:
        """The loops around it, from the root inwards."""
        return [s for s, _ in self.path if isinstance(s, For)]


@lru_cache(maxsize=1 << 11)
def accesses(root: Stmt) -> tuple[Access, ...]:
    """All accesses below `root` in program order, block iterators replaced by their bindings."""
    found: list[Access] = []
    _walk(root, (), (), found)
    return tuple(found)


@lru_cache(maxsize=1 << 8)
def ranges(root: Node) -> Ranges:
    """The loops below `root` with their first and last value, in terms of other loops."""
    body = root.body if isinstance(root, Function) else root
    return {loop: _range(extent) for loop, extent in _extents(body)}


@lru_cache(maxsize=1 << 11)
def _extents(stmt: Node) -> tuple[tuple[Var, Expr], ...]:
    """The loops below a statement and their extents, block iterators replaced by their bindings."""
    below = [pair for child in stmt.children if isinstance(child, Stmt) for pair in _extents(child)]
    if isinstance(stmt, For):
        return ((stmt.var, stmt.extent), *below)
    if isinstance(stmt, Block) and below:
        values = {it.var: e for it, e in zip(stmt.iters, stmt.bindings, strict=True)}
        return tuple([(loop, substitute(extent, values)) for loop, extent in below])
    return tuple(below)


@lru_cache(maxsize=1 << 10)
def _range(extent: Expr) -> tuple[Expr, Expr]:
    return Const(0, extent.dtype), extent - 1


def iterator_ranges(iters: Iterable[BlockIter]) -> Ranges:
    """Iterators of blocks with their first and last value."""
    return {it.var: _range(it.extent) for it in iters}


def precedes(a: Access, b: Access) -> tuple[list[For], bool]:
    """The loops around both, and whether `a` comes first within one iteration of them all.

    That is never known inside a `while`, whose iterations have no number.
    """
    common: list[For] = []
    ordered = True
    for (one, at), (other, to) in zip(a.path, b.path, strict=False):
        if one is not other:
            break
        if at != to:
            return common, ordered and not isinstance(one, If) and at < to
        if isinstance(one, For):
            common.append(one)
        ordered = ordered and not isinstance(one, While)
    return common, False


def _loads(node: Node, below: Sequence[tuple[Load, ...]]) -> tuple[Load, ...]:
    found = dict.fromkeys([load for part in below for load in part])
    if isinstance(node, Load):
        found[node] = None
    return tuple(found)


loads_in = Derived("loads", _loads)
"""The loads in an expression, inner ones first, each once."""


def _read(
    roots: Iterable[Expr], path: Path, conditions: tuple[Expr, ...], found: list[Access]
) -> None:
    loads = [load for e in roots for load in loads_in(e)]
    for load in dict.fromkeys(loads) if loads else ():
        for indices in _elements(load.indices):
            found.append(Access(load.buffer, indices, False, None, path, conditions))


def _elements(indices: tuple[Expr, ...]) -> list[tuple[Expr, ...]]:
    """The places of the elements of a short vector; others are one place."""
    for axis, vector in enumerate(indices):
        if vector.dtype.lanes > 1:
            if not isinstance(vector, Ramp) or vector.lanes > _SHORT:
                break
            places = [vector.base + vector.stride * lane for lane in range(vector.lanes)]
            return [(*indices[:axis], place, *indices[axis + 1 :]) for place in places]
    return [indices]


def corners(i: Expr) -> tuple[Expr, Expr] | None:
    """The least and the greatest element of a vector of indices; a scalar is both. None for
    vectors of no order."""
    if isinstance(i, Ramp):
        last = i.base + i.stride * (i.lanes - 1)
        return (i.base, last) if i.stride >= 0 else (last, i.base)
    return (i, i) if i.dtype.lanes == 1 else None


def _walk(stmt: Stmt, path: Path, conditions: tuple[Expr, ...], found: list[Access]) -> None:
    """The accesses below a statement in terms of the variables that its expressions have."""
    here = (*path, (stmt, 0))
    match stmt:
        case Seq(stmts):
            for k, inner in enumerate(stmts):
                _walk(inner, (*path, (stmt, k)), conditions, found)
        case For():
            _read((stmt.extent,), path, conditions, found)
            _walk(stmt.body, here, conditions, found)
        case While(cond, body):
            _read((cond,), here, conditions, found)
            _walk(body, here, (*conditions, cond), found)
        case If(cond, then, other):
            _read((cond,), path, conditions, found)
            _walk(then, here, (*conditions, cond), found)
            if other is not None:
                _walk(other, (*path, (stmt, 1)), (*conditions, Not(cond)), found)
        case Block():
            for buffer, indices, is_store, block, below, asked in _inside(stmt):
                block = block or (stmt if below else None)
                asked = conditions + asked
                found.append(Access(buffer, indices, is_store, block, path + below, asked))
        case Store(buffer, indices, value):
            _read((*indices, value), path, conditions, found)
            for element in _elements(indices):
                found.append(Access(buffer, element, True, None, here, conditions))
        case Update(targets, values):
            _read((*targets, *values), path, conditions, found)
            for target in targets:
                place = target.buffer, target.indices
                found.append(Access(*place, True, None, here, conditions))
        case AsyncGroup():
            _walk(stmt.body, here, conditions, found)
        case AsyncWait(_, pending, buffers):
            _read((pending,), path, conditions, found)
            for buffer in buffers:  # what lands here, lands anywhere
                axes = range(len(buffer.shape))
                anywhere = tuple([Var("landing", -30_000_000 - axis) for axis in axes])
                found.append(Access(buffer, anywhere, True, None, here, conditions))


@lru_cache(maxsize=1 << 11)
def _inside(block: Block) -> tuple[Access, ...]:
    """The accesses of a block in terms of the loops around it, their paths beginning with it.

    Those of its bindings and predicate come first; they happen outside.
    """
    found: list[Access] = []
    asked = () if block.predicate is None else (block.predicate,)
    _read((*block.bindings, *asked), (), (), found)
    pairs = zip(block.iters, block.bindings, strict=True)
    values: dict[Var, Expr] = {it.var: e for it, e in pairs}
    own: list[Access] = []
    _read([e for view in block.views for e in view.source.indices], (), (), own)
    parts = (() if block.init is None else accesses(block.init), (*own, *accesses(block.body)))
    for part, inside in enumerate(parts):
        here = ((block, part),)
        for buffer, indices, is_store, inner, path, conditions in inside:
            for view in reversed(block.views):
                if buffer is view.buffer:
                    source = view.at(indices)
                    buffer, indices = source.buffer, source.indices
            indices = tuple([values.get(i) or substitute(i, values) for i in indices])  # type: ignore[call-overload]
            conditions = (*asked, *[substitute(c, values) for c in conditions])
            found.append(Access(buffer, indices, is_store, inner, here + path, conditions))
    return tuple(found)
