"""The stores of a scheduled program: the loops around each, what it accesses and computes.

    for k in range(128):                             row "dot":  loops k (128), i (8), j (16)
        for i in unrolled(8):                          y [i, j]  read and written
            for j in vectorized(16):                   a [i, k]  read
                with block("dot"): …                   b [k, j]  read

Indices are sums over the loops (see `sums`). Conditions that keep iterations from running make
the loop that they speak of first shorter, on average; lanes of vectors that they keep from
running are not filled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from passes.ir.expr import And, Expr, Le, Lt, Not
from passes.ir.loop.buffers import lanes_of
from passes.ir.loop.nodes import (
    CONCURRENT,
    AsyncGroup,
    Block,
    Buffer,
    For,
    Function,
    If,
    Load,
    Seq,
    Stmt,
    Store,
    Update,
    View,
    While,
)
from passes.schedule.accesses import loads_in
from passes.schedule.pipelining import noted
from passes.search.features.forms import Forms
from passes.search.features.sums import Loop, Sum, ends, mean, plus, scaled
from passes.search.features.tape import Number, at_most, ceildiv, choose, least, most, times

_UNKNOWN = 16  # iterations of loops whose number only memory tells


@dataclass(eq=False)
class Access:
    """Elements of a buffer that one instance of a store reads or writes: one, or `lanes`."""

    buffer: Buffer
    indices: tuple[Sum, ...]
    is_store: bool
    lanes: int

    @property
    def loops(self) -> frozenset[Loop]:
        """The loops that it depends on."""
        return frozenset().union(*[i.loops for i in self.indices])


@dataclass(eq=False)
class Row:
    """A store. `loops` are those that it runs over, of all in the `nest` around it: the
    instances of an init are fewer. `trips` are their iterations on average, what conditions let
    run; `filled` is the share of the lanes that run."""

    label: str
    init: bool
    nest: tuple[Loop, ...]
    loops: tuple[Loop, ...]
    trips: tuple[Number, ...]
    filled: Number
    masked: Number
    loads: dict[Load, Access]
    stores: tuple[Access, ...]
    values: tuple[Expr, ...]

    @property
    def accesses(self) -> tuple[Access, ...]:
        return (*self.loads.values(), *self.stores)


@dataclass(frozen=True)
class _Place:
    nest: tuple[Loop, ...] = ()
    loops: tuple[Loop, ...] = ()
    trips: tuple[Number, ...] = ()
    filled: Number = 1
    masked: Number = 0
    label: str = ""
    init: bool = False
    views: tuple[View, ...] = ()

    def inside(self, loop: Loop) -> _Place:
        loops, trips = (*self.loops, loop), (*self.trips, loop.trips)
        return replace(self, nest=(*self.nest, loop), loops=loops, trips=trips)

    def without(self, loops: frozenset[Loop]) -> _Place:
        kept = [pair for pair in zip(self.loops, self.trips, strict=True) if pair[0] not in loops]
        return replace(self, loops=tuple([k[0] for k in kept]), trips=tuple([k[1] for k in kept]))


def runs_of(row: Row, depth: int = 0) -> Number:
    """Instances of a row while the loops from number `depth` inwards run."""
    return times(row.trips[depth:]) * row.filled


def rows_of(function: Function, forms: Forms) -> list[Row]:
    """The stores of a function in program order, the init of a block before its body."""
    walk = _Walk(forms)
    walk.stmt(function.body, _Place())
    return walk.rows


class _Walk:
    def __init__(self, forms: Forms) -> None:
        self.forms = forms
        self.rows: list[Row] = []

    def stmt(self, stmt: Stmt, at: _Place) -> None:
        match stmt:
            case Seq(stmts):
                for inner in stmts:
                    self.stmt(inner, at)
            case For():
                self._loop(stmt, at)
            case While(_, body):
                self.stmt(body, at.inside(Loop(_UNKNOWN, _UNKNOWN, "serial")))
            case If(cond, then, other):
                self.stmt(then, self._where(cond, at))
                if other is not None:
                    self.stmt(other, self._where(Not(cond), at))
            case Block():
                self._block(stmt, at)
            case Store(buffer, indices, value):
                written = [self._access(Load(buffer, indices), at, True)]
                self._row(at, written, (value,), (*indices, value))
            case Update(targets, operands, combiner):
                written = [self._access(target, at, True) for target in targets]
                self._row(at, written, combiner.results, (*targets, *operands))
            case AsyncGroup():
                self.stmt(stmt.body, at)

    def _loop(self, stmt: For, at: _Place) -> None:
        extent = self.forms.of(stmt.extent)
        kind = "parallel" if stmt.kind in CONCURRENT else stmt.kind
        whole = ends(extent)
        middle = mean(extent)
        longest: Number = _UNKNOWN
        trips: Number = _UNKNOWN
        if whole is not None and middle is not None:
            longest, trips = whole[1], middle
        if extent.terms:
            longest, trips = most(longest, 1), most(trips, 0)
        pipeline = noted(stmt)
        stages = max(pipeline[0], default=0) + 1 if pipeline else 1
        ahead = dict(stmt.annotations).get("prefetch", 0)
        loop = Loop(longest, trips, kind, stages, bool(ahead))
        variable = self.forms.loop(loop)
        self.forms.bind(stmt.var, variable)
        for multiple in stmt.multiples:
            step = self.forms.of(multiple.step).constant
            self.forms.bind(multiple.var, scaled(variable, step))
        self.stmt(stmt.body, at.inside(loop))

    def _block(self, block: Block, at: _Place) -> None:
        moved: dict[bool, frozenset[Loop]] = {True: frozenset(), False: frozenset()}
        for it, binding in zip(block.iters, block.bindings, strict=True):
            value = self.forms.of(binding)
            self.forms.bind(it.var, value)
            moved[it.kind == "reduce"] |= value.loops
        here = replace(at, label=block.label, views=(*at.views, *block.views))
        if block.predicate is not None:
            here = self._where(block.predicate, here)
        if block.init is not None:
            begun = here.without(moved[True] - moved[False])
            self.stmt(block.init, replace(begun, init=True))
        self.stmt(block.body, here)

    def _row(
        self,
        at: _Place,
        stores: Sequence[Access],
        values: Sequence[Expr],
        mentioned: Iterable[Expr],
    ) -> None:
        loads = dict.fromkeys([load for e in mentioned for load in loads_in(e)])
        read = {load: self._access(load, at, False) for load in loads}
        self.rows.append(
            Row(
                label=at.label,
                init=at.init or not read,
                nest=at.nest,
                loops=at.loops,
                trips=at.trips,
                filled=at.filled,
                masked=at.masked,
                loads=read,
                stores=tuple(stores),
                values=tuple(values),
            )
        )

    def _access(self, place: Load, at: _Place, is_store: bool) -> Access:
        buffer, indices = place.buffer, tuple([self.forms.of(i) for i in place.indices])
        for view in reversed(at.views):
            if buffer is view.buffer:
                inner = iter(indices)
                starts = [self.forms.of(i) for i in view.source.indices]
                pairs = zip(starts, view.extents, strict=True)
                indices = tuple([s if e is None else plus(s, next(inner)) for s, e in pairs])
                buffer = view.source.buffer
        return Access(buffer, indices, is_store, lanes_of(place.indices))

    def _where(self, cond: Expr, at: _Place) -> _Place:
        """The place where a condition holds as well; what is not understood always does."""
        match cond:
            case And(a, b):
                return self._where(b, self._where(a, at))
            case Lt(a, b):
                return self._below(plus(self.forms.of(a), self.forms.of(b), -1), at)
            case Le(a, b):
                less = plus(self.forms.of(a), self.forms.of(b), -1)
                return self._below(Sum(less.terms, less.constant - 1), at)
            case Not(Lt(a, b)):
                return self._where(Le(b, a), at)
            case Not(Le(a, b)):
                return self._where(Lt(b, a), at)
        return at

    def _below(self, a: Sum, at: _Place) -> _Place:
        """The place where a sum is below zero, as part of all the values that it takes."""
        whole = ends(a)
        first = next((k for k, loop in enumerate(at.loops) if loop in a.loops), None)
        if whole is None or first is None:
            return at
        values = whole[1] - whole[0] + 1
        hold = least(most(-whole[0], 0), values)
        vectors = [loop.extent for loop in at.loops if loop in a.loops and _is_vector(loop)]
        if not vectors:
            return _shortened(at, first, hold / values)
        width = times(vectors)
        touched = least(ceildiv(hold, width) * width, values)
        at = _shortened(at, first, touched / values)
        masked = choose(at_most(values, hold), at.masked, 1)
        return replace(at, filled=at.filled * (hold / most(touched, 1)), masked=masked)


def _shortened(at: _Place, number: int, share: Number) -> _Place:
    trips = at.trips[number] * share
    return replace(at, trips=(*at.trips[:number], trips, *at.trips[number + 1 :]))


def _is_vector(loop: Loop) -> bool:
    return loop.kind == "vectorized"
