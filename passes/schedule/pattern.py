"""Finds the loop program that an instruction describes in another one.

    for j: for b: c[j] = c[j] + cast(w[j, b], i32)*cast(x[b], i32)                description
    for b5: for j6: y[i, p*16 + j6] += cast(x[i, k*4 + b5], i32)*cast(q[p, k, j6, b5], i32)
    →  c is y from [i, p*16] on, x is x from [i, k*4] on, w is q from [p, k, 0, 0] on

Names are free, loops may be nested in another order where theirs has no meaning, and operands of
sums and products may change places. A parameter lies in a buffer wherever its elements have the
strides that the description gives it; strides and extents that are dims of the description may
be anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

from passes.ir.arith import free_vars, linear, prove, simplify, substitute
from passes.ir.dtypes import INDEX
from passes.ir.expr import (
    Add,
    And,
    Binary,
    BitAnd,
    BitOr,
    BitXor,
    Const,
    Dim,
    Eq,
    Expr,
    Mul,
    Ne,
    Or,
    Var,
    const,
)
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import Block, Buffer, For, Function, Load, Seq, Stmt, Store
from passes.schedule.accesses import Ranges
from passes.schedule.regions import Region, row_major

COMMUTATIVE = (Add, Mul, BitAnd, BitOr, BitXor, And, Or, Eq, Ne)
_FREE = frozenset(["spatial", "reduce"])  # kinds of iterators whose instances have no order
_ZERO = const(0)


class Mismatch(Exception):
    """The program is another one than described; the text says in what."""


@dataclass(frozen=True)
class Match:
    """What the parameters and dims of the description are."""

    regions: Mapping[Buffer, Region]
    dims: Mapping[Any, Expr]


def match(description: Function, program: Stmt, known: Ranges) -> Match:
    """What the description's parameters are in a program that does what it says.

    Raises Mismatch.
    """
    search = _Search(frozenset(description.params), known)
    for found in search.stmt(description.body, program, _State()):
        try:
            return _finished(description, found, known)
        except Mismatch as error:
            search.note(found, str(error))
    raise Mismatch(search.reason)


@dataclass(frozen=True)
class _State:
    """What is known so far. `mine` and `theirs` say what the loops (None: a single iteration)
    and iterators of the description and of the program are, in loops of the program."""

    mine: Mapping[Var, Expr] = field(default_factory=dict)
    theirs: Mapping[Var, Expr] = field(default_factory=dict)
    loops: frozenset[Var] = frozenset()
    regions: Mapping[Buffer, Region] = field(default_factory=dict)
    dims: Mapping[Dim, Expr] = field(default_factory=dict)
    depth: int = 0


@dataclass(frozen=True)
class _Nest:
    """Loops and blocks directly inside each other, outermost first, and what is inside them."""

    parts: tuple[For | Block, ...]
    body: Stmt

    @property
    def loops(self) -> list[For]:
        return [part for part in self.parts if isinstance(part, For)]

    @property
    def blocks(self) -> list[Block]:
        return [part for part in self.parts if isinstance(part, Block)]

    def values(self, known: Mapping[Var, Expr]) -> dict[Var, Expr]:
        """What is known, and the values of the iterators of the blocks."""
        values = dict(known)
        for block in self.blocks:
            pairs = zip(block.iters, block.bindings, strict=True)
            values.update({it.var: simplify(substitute(e, values)) for it, e in pairs})
        return values

    def kinds(self) -> dict[Var, frozenset[str]]:
        """The kinds of the innermost iterators that each loop drives."""
        found: dict[Var, frozenset[str]] = {loop.var: frozenset() for loop in self.loops}
        values = self.values({})
        for it in self.blocks[-1].iters if self.blocks else ():
            for var in free_vars(values[it.var]) & set(found):
                found[var] |= {it.kind}
        return found


def _nest(stmt: Stmt) -> _Nest:
    parts: list[For | Block] = []
    while isinstance(stmt, For | Block):
        parts.append(stmt)
        stmt = stmt.body
    return _Nest(tuple(parts), stmt)


class _Search:
    """Tries every reading; `reason` tells why the one that came farthest is none."""

    def __init__(self, params: frozenset[Buffer], known: Ranges) -> None:
        self.params, self.known = params, known
        self.reason, self._depth = "", -1

    def note(self, state: _State, reason: str) -> None:
        if state.depth > self._depth:
            self.reason, self._depth = reason, state.depth

    # Statements

    def stmt(self, d: Stmt, t: Stmt, state: _State) -> Iterator[_State]:
        mine, theirs = _nest(d), _nest(t)
        for block in theirs.blocks:
            trouble = _untold(block)
            if trouble is not None:
                self.note(state, f"block '{block.label}' {trouble}")
                return
        for looped in self._loops(mine, theirs, state):
            values = mine.values(looped.mine), theirs.values(looped.theirs)
            inside = replace(looped, mine=values[0], theirs=values[1])
            yield from self._leaf(mine.body, theirs.body, inside)

    def _leaf(self, d: Stmt, t: Stmt, state: _State) -> Iterator[_State]:
        match d, t:
            case Seq(), Seq() if len(d.stmts) == len(t.stmts):
                yield from self._sequence(list(zip(d.stmts, t.stmts, strict=True)), state)
            case Store(), Store():
                mine, theirs = Load(d.buffer, d.indices), Load(t.buffer, t.indices)
                for stored in self.expr(mine, theirs, state):
                    yield from self.expr(d.value, t.value, stored)
            case _:
                self.note(state, f"it has a {_kind(t)} where a {_kind(d)} is described")

    def _sequence(self, pairs: list[tuple[Stmt, Stmt]], state: _State) -> Iterator[_State]:
        if not pairs:
            yield state
            return
        for first in self.stmt(*pairs[0], state):
            yield from self._sequence(pairs[1:], first)

    def _loops(self, mine: _Nest, theirs: _Nest, state: _State) -> Iterator[_State]:
        """Every way to take the program's loops for those of the description."""
        single = {s.var: _ZERO for s in theirs.loops if _is(s.extent, 1)}
        wanted, given = mine.kinds(), theirs.kinds()
        loops = [s for s in theirs.loops if s.var not in single]
        spare = len(mine.loops) - len(loops)
        if spare < 0:
            self.note(state, f"it has more loops ({_extents(loops)}) than described")
            return
        fixed = not all(k <= _FREE for k in (*wanted.values(), *given.values()))
        slots: Sequence[For | None] = [*loops, *[None] * spare]
        seen = set()
        for order in permutations(slots):
            named = tuple([s for s in order if s is not None])
            if order in seen or (fixed and list(named) != loops):
                continue
            seen.add(order)
            found: _State | None = replace(state, theirs={**state.theirs, **single})
            for d, t in zip(mine.loops, order, strict=True):
                if found is None:
                    break
                if t is not None and given[t.var] and wanted[d.var] != given[t.var]:
                    found = None
                    continue
                found = self._loop(d, t, found)
            if found is not None:
                yield replace(found, depth=found.depth + 1)
        described = f"those described ({_extents(mine.loops)})"
        self.note(state, f"its loops ({_extents(theirs.loops)}) do not run as {described}")

    def _loop(self, d: For, t: For | None, state: _State) -> _State | None:
        extent = const(1) if t is None else t.extent
        found = self._dim(d.extent, substitute(extent, state.theirs), state)
        if found is None or (t is None and not isinstance(d.extent, Dim)):
            return None
        value: Expr = _ZERO if t is None else t.var
        loops = found.loops if t is None else found.loops | {t.var}
        return replace(found, mine={**found.mine, d.var: value}, loops=loops)

    # Expressions

    def expr(self, d: Expr, t: Expr, state: _State) -> Iterator[_State]:
        if isinstance(d, Load) and d.buffer in self.params:
            found = self._access(d, t, state)
            if found is not None:
                yield found
            return
        if d.dtype == INDEX and t.dtype == INDEX:
            value = self._dim(d, substitute(t, state.theirs), state)
            if value is not None:
                yield value
            else:
                self._differ(d, t, state)
            return
        if type(d) is not type(t) or d.dtype != t.dtype:
            self._differ(d, t, state)
            return
        if isinstance(d, Binary) and isinstance(t, Binary):
            turned = isinstance(d, COMMUTATIVE) and t.a is not t.b
            for a, b in ((t.a, t.b), (t.b, t.a)) if turned else ((t.a, t.b),):
                for left in self.expr(d.a, a, state):
                    yield from self.expr(d.b, b, left)
            return
        yield from self._fields(list(zip(d.values(), t.values(), strict=True)), d, t, state)

    def _fields(
        self, pairs: list[tuple[Any, Any]], d: Expr, t: Expr, state: _State
    ) -> Iterator[_State]:
        if not pairs:
            yield state
            return
        (mine, theirs), rest = pairs[0], pairs[1:]
        if isinstance(mine, Expr) and isinstance(theirs, Expr):
            for first in self.expr(mine, theirs, state):
                yield from self._fields(rest, d, t, first)
        elif isinstance(mine, tuple) and isinstance(theirs, tuple) and len(mine) == len(theirs):
            yield from self._fields([*zip(mine, theirs, strict=True), *rest], d, t, state)
        elif mine == theirs:
            yield from self._fields(rest, d, t, state)
        else:
            self._differ(d, t, state)

    def _dim(self, d: Expr, value: Expr, state: _State) -> _State | None:
        """The state in which an index expression of the description has this value."""
        if isinstance(d, Dim) and d not in state.dims:
            free = free_vars(value) & state.loops
            return None if free else replace(state, dims={**state.dims, d: simplify(value)})
        mine = substitute(d, {**state.mine, **state.dims})
        return state if prove(mine.equal(value), self.known) else None

    def _access(self, d: Load, t: Expr, state: _State) -> _State | None:
        if not isinstance(t, Load) or t.buffer.dtype != d.buffer.dtype:
            self._differ(d, t, state)
            return None
        scope = d.buffer.scope
        if scope not in ("global", t.buffer.scope):
            self.note(state, f"'{name_of(t.buffer)}' is not in scope '{scope}'")
            return None
        spread = d.buffer.distribution
        if spread is not None and t.buffer.distribution is not spread:
            self.note(state, f"'{name_of(t.buffer)}' is not distributed as '{d.buffer.name}' is")
            return None
        region = self._region(d, t, state)
        known = state.regions.get(d.buffer)
        if region is None or (known is not None and known != region):
            if region is not None:
                self.note(state, f"{print_expr(t)} lies elsewhere than {d.buffer.name} did before")
            return None
        regions = {**state.regions, d.buffer: region}
        return replace(state, regions=regions, depth=state.depth + 1)

    def _region(self, d: Load, t: Load, state: _State) -> Region | None:
        along = [substitute(i, state.mine) for i in d.indices]
        base, steps = [], []
        for i in t.indices:
            place = substitute(i, state.theirs)
            form = linear(place, state.loops, self.known)
            if form is None:
                self.note(state, f"index {print_expr(place)} is not linear in the loops inside")
                return None
            coefficients, rest = form
            strangers = sorted(set(coefficients) - {e for e in along if isinstance(e, Var)},
                               key=name_of)  # fmt: skip
            if strangers:
                where = f"{print_expr(t)} moves with loop {name_of(strangers[0])}"
                self.note(state, f"{where}, along which {d.buffer.name} is described to stay")
                return None
            base.append(rest)
            steps.append(tuple([coefficients.get(e, _ZERO) if isinstance(e, Var) else _ZERO
                                for e in along]))  # fmt: skip
        return Region(t.buffer, tuple(base), tuple(steps))

    def _differ(self, d: Expr, t: Expr, state: _State) -> None:
        self.note(state, f"it computes {print_expr(t)} where {print_expr(d)} is described")


def _finished(description: Function, state: _State, known: Ranges) -> Match:
    """The match with the dims that are strides; raises Mismatch for strides of other values."""
    dims = dict(state.dims)
    for param in description.params:
        region = state.regions[param]
        for axis, (extent, described) in enumerate(zip(param.shape, row_major(param), strict=True)):
            if _is(simplify(substitute(extent, dims)), 1):
                continue
            stride = region.stride(axis)
            if isinstance(described, Dim) and described not in dims:
                dims[described] = stride
                continue
            wanted = simplify(substitute(described, dims))
            if not prove(stride.equal(wanted), known):
                raise Mismatch(
                    f"elements of {name_of(region.buffer)} along axis {axis} of"
                    f" '{param.name}' are {print_expr(stride)} apart, not {print_expr(wanted)}"
                )
    for dim in description.dims:
        value = dims.setdefault(dim, const(dim.lo))
        if not prove(value >= dim.lo, known) or not prove(value <= dim.hi, known):
            text = print_expr(value)
            raise Mismatch(f"{dim.name} would be {text}, not within {dim.lo}..{dim.hi}")
    return Match(state.regions, dims)


def _untold(block: Block) -> str | None:
    """What a block does that no description says."""
    if block.predicate is not None:
        return "is guarded by a predicate"
    if block.init is not None:
        return "starts its reduction inside, not before"
    return "names regions by views" if block.views else None


def _is(e: Expr, value: int) -> bool:
    return isinstance(e, Const) and e.value == value


def _kind(stmt: Stmt) -> str:
    return {"For": "loop", "Seq": "sequence"}.get(type(stmt).__name__, type(stmt).__name__.lower())


def _extents(loops: Sequence[For]) -> str:
    return ", ".join([f"{s.var.name} to {print_expr(s.extent)}" for s in loops]) or "none"
