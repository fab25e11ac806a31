"""What an instruction computes, wherever its operands lie: iterators, and what they touch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from passes.ir.arith import free_vars, simplify, substitute
from passes.ir.expr import Cast, Const, Dim, Expr, Var, const
from passes.ir.loop.nodes import Block, Buffer, For, Load, Store
from passes.schedule.intrinsics import TensorIntrinsic
from passes.schedule.pattern import COMMUTATIVE
from passes.schedule.regions import row_major
from passes.schedule.tree import Refusal, loaded

Roles = Mapping[Buffer, Expr]


@dataclass(frozen=True)
class Kin:
    """The iterators of a description that touch the same parameters, outermost first, with the
    names of their loops."""

    iters: tuple[Var, ...]
    names: tuple[str, ...]
    extents: tuple[Expr, ...]
    kind: str
    touched: frozenset[Buffer]


@dataclass(frozen=True)
class Shape:
    """One store of a description: `result[…] = value`. `places` has the iterator (None: 0) of each
    axis of each parameter; `dims` what dims that are extents are to be."""

    intrinsic: TensorIntrinsic
    result: Buffer
    value: Expr
    kins: tuple[Kin, ...]
    places: Mapping[Buffer, tuple[Var | None, ...]]
    dims: Mapping[Dim, Expr]

    def strides(self, param: Buffer, extents: Mapping[Var, Expr]) -> list[Expr]:
        """The strides described, for these extents of the iterators; dims where they are free."""
        dims = dict(self.dims)
        for kin in self.kins:
            for var, extent in zip(kin.iters, kin.extents, strict=True):
                if isinstance(extent, Dim):
                    dims[extent] = extents[var]
        return [simplify(substitute(e, dims)) for e in row_major(param)]


def shape_of(intrinsic: TensorIntrinsic, sizes: Mapping[str, int], refuse: Refusal) -> Shape | None:
    """None for a description that is more than one store in a block in loops."""
    description = intrinsic.description
    extents: dict[Var, Expr] = {}
    stmt = description.body
    while isinstance(stmt, For):
        extents[stmt.var] = stmt.extent
        stmt = stmt.body
    if not isinstance(stmt, Block) or not isinstance(stmt.body, Store):
        return None
    pairs = zip(stmt.iters, stmt.bindings, strict=True)
    loops = {it.var: e for it, e in pairs if isinstance(e, Var)}
    if stmt.init is not None or set(loops.values()) != set(extents):
        return None
    store = stmt.body
    dims = _sized(refuse, intrinsic, sizes, [e for e in extents.values() if isinstance(e, Dim)])
    places = {store.buffer: _place(store.indices)}
    touched: dict[Var, set[Buffer]] = {it.var: set() for it in stmt.iters}
    todo: list[Expr] = [Load(store.buffer, store.indices), store.value]
    while todo:
        e = todo.pop()
        if isinstance(e, Load):
            places[e.buffer] = _place(e.indices)
            for var in free_vars(e):
                touched[var].add(e.buffer)
        else:
            todo.extend([c for c in e.children if isinstance(c, Expr)])
    kins: dict[tuple[str, frozenset[Buffer]], list[Var]] = {}
    for it in stmt.iters:
        kins.setdefault((it.kind, frozenset(touched[it.var])), []).append(it.var)
    made = []
    for (kind, params), group in kins.items():
        own = [loops[v] for v in group]
        names = tuple([v.name for v in own])
        made.append(Kin(tuple(group), names, tuple([extents[v] for v in own]), kind, params))
    return Shape(intrinsic, store.buffer, store.value, tuple(made), places, dims)


def _place(indices: Sequence[Expr]) -> tuple[Var | None, ...]:
    return tuple([i if isinstance(i, Var) else None for i in indices])


def _sized(
    refuse: Refusal, intrinsic: TensorIntrinsic, sizes: Mapping[str, int], free: Sequence[Dim]
) -> dict[Dim, Expr]:
    for name in sizes:
        if name not in {dim.name for dim in free}:
            known = ", ".join([dim.name for dim in free]) or "none"
            raise refuse(f"it has no size '{name}'; those it has: {known}")
    made: dict[Dim, Expr] = {}
    for dim in free:
        size = sizes.get(dim.name, dim.lo)
        if not dim.lo <= size <= dim.hi:
            raise refuse(f"size {dim.name} is {size}, not within {dim.lo}..{dim.hi}")
        made[dim] = const(size)
    for condition in intrinsic.where:
        given = simplify(substitute(condition, made))
        if isinstance(given, Const) and not given.value:
            text = ", ".join([f"{dim.name} = {e.value}" for dim, e in made.items()])  # type: ignore[attr-defined]
            raise refuse(f"it does not take the sizes {text}")
    return made


@dataclass(frozen=True)
class Reading:
    """What plays each parameter; `turned` as in `Mapping`."""

    roles: Roles
    turned: tuple[bool, ...] = ()


def readings(shape: Shape, store: Store, turned: Sequence[bool] | None = None) -> list[Reading]:
    """What may play the parameters where a store computes what the description does, wherever the
    elements lie: all that may, or that with operands `turned` so. Nothing that is cast may: it is
    what it is cast from that can be put in order."""
    result = Load(store.buffer, store.indices)
    found = _read(shape.value, store.value, Reading({shape.result: result}))
    return [
        one
        for one in found
        if (turned is None or one.turned == tuple(turned))
        and not any(
            store.buffer in loaded(e) for param, e in one.roles.items() if param is not shape.result
        )
    ]


def _read(d: Expr, t: Expr, known: Reading) -> Iterator[Reading]:
    if isinstance(d, Load):
        fits = d.dtype == t.dtype and not isinstance(t, Cast)
        if fits and known.roles.get(d.buffer, t) is t:
            yield Reading({**known.roles, d.buffer: t}, known.turned)
        return
    pairs = _operands(d, t)
    if pairs is None:
        return
    if not isinstance(d, COMMUTATIVE):
        yield from _each(pairs, known)
        return
    (a, x), (b, y) = pairs
    yield from _each([(a, x), (b, y)], Reading(known.roles, (*known.turned, False)))
    if x is not y:
        yield from _each([(a, y), (b, x)], Reading(known.roles, (*known.turned, True)))


def _each(pairs: Sequence[tuple[Expr, Expr]], known: Reading) -> Iterator[Reading]:
    if not pairs:
        yield known
        return
    for first in _read(*pairs[0], known):
        yield from _each(pairs[1:], first)


def _operands(d: Expr, t: Expr) -> list[tuple[Expr, Expr]] | None:
    """The operands of two expressions of the same operation, side by side; None for others."""
    if type(d) is not type(t) or d.dtype != t.dtype:
        return None
    pairs: list[tuple[Expr, Expr]] = []
    for mine, theirs in zip(d.values(), t.values(), strict=True):
        if isinstance(mine, Expr):
            pairs.append((mine, theirs))
        elif isinstance(mine, tuple) and len(mine) == len(theirs):
            pairs.extend(zip(mine, theirs, strict=True))
        elif mine != theirs:
            return None
    return pairs
