"""Private temporaries shrink to what one iteration of the loops around their uses touches.

    t2: f32[n, 64] local                       t2: f32[1, 64] local
    for i3 in parallel(n):                     for i3 in parallel(n):
        for j4 in range(64):             →         for j4 in range(64):
            t2[i3, j4] = x0[i3, j4]                    t2[0, j4] = x0[i3, j4]
        …                                          …

The loops are taken only as far in as no iteration needs what another one has left there. Buffers
of scope `local` and `register` must end up with a constant shape. Exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from passes.codegen.lower.walk import Walk, constant
from passes.ir.arith import (
    free_vars,
    linear,
    prove,
    simplify,
    substitute,
    symbolic_max,
    symbolic_min,
    upper_bound,
)
from passes.ir.expr import Broadcast, Expr, Le, Ramp, Var, const
from passes.ir.loop.nodes import Buffer, For, Function, If, Load, Seq, Stmt, Store, While
from passes.ir.node import IRError, Node, postorder, rewrite

LARGEST = 1 << 20
"""Most bytes of one private buffer; they lie on the thread's stack."""
Use = tuple[Load | Store, tuple[For, ...]]


@dataclass(frozen=True)
class _Region:
    """What accesses touch of an axis: `base` up to `base + size - 1`."""

    base: Expr
    size: int


def compact(function: Function) -> Function:
    """The function with small private temporaries. Raises `IRError` for one of unknown size."""
    uses = _Uses(function)
    uses.stmt(function.body)
    changes: dict[Buffer, tuple[Buffer, tuple[Expr, ...]]] = {}
    allocs: list[Buffer] = []
    for buffer in function.allocs:
        found = uses.of.get(buffer)
        if buffer.scope == "global":
            allocs.append(buffer)
        elif found:
            changes[buffer] = uses.shrunk(buffer, found)
            allocs.append(changes[buffer][0])
    if not changes:
        return function.replace(allocs=tuple(allocs))

    def move(node: Node) -> Node | None:
        if not isinstance(node, Load | Store) or node.buffer not in changes:
            return None
        small, bases = changes[node.buffer]
        indices = tuple([_less(i, b) for i, b in zip(node.indices, bases, strict=True)])
        return node.replace(buffer=small, indices=indices)

    moved = function.replace(allocs=tuple(allocs), body=rewrite(function.body, move))
    return moved.replace(body=_Simplify(moved).stmt(moved.body))


class _Simplify(Walk):
    def expr(self, e: Expr) -> Expr:
        return self.simplified(e)


class _Uses(Walk):
    """Collects the accesses of private buffers and the loops around each."""

    def __init__(self, function: Function) -> None:
        super().__init__(function)
        self.of: dict[Buffer, list[Use]] = {}
        self._outside: list[int] = []  # how many loops are around each `while` at hand
        self._fixed: dict[Buffer, int] = {}  # how many are around the first that uses a buffer

    def stmt(self, stmt: Stmt) -> Stmt:
        if not isinstance(stmt, While):
            return super().stmt(stmt)
        self._outside.append(len(self.loops))
        super().stmt(stmt)
        self._outside.pop()
        return stmt

    def store(self, stmt: Store) -> Stmt:
        self._note(stmt)
        for i in stmt.indices:
            self.expr(i)
        self.expr(stmt.value)
        return stmt

    def expr(self, e: Expr) -> Expr:
        for node in postorder(e):
            if isinstance(node, Load):
                self._note(node)
        return e

    def _note(self, access: Load | Store) -> None:
        buffer = access.buffer
        if buffer.scope != "global":
            self.of.setdefault(buffer, []).append((access, tuple(self.loops)))
            if self._outside:
                known = self._fixed.get(buffer, self._outside[0])
                self._fixed[buffer] = min(known, self._outside[0])

    def shrunk(self, buffer: Buffer, uses: list[Use]) -> tuple[Buffer, tuple[Expr, ...]]:
        """The smaller buffer, and what to take off its indices."""
        around = _common([loops for _, loops in uses])
        axes = range(len(buffer.shape))
        whole = [upper_bound(extent) for extent in buffer.shape]
        regions: list[_Region] = []
        for kept in range(len(around), -1, -1):
            found = [_region(axis, whole[axis], uses, around[:kept]) for axis in axes]
            regions = [region for region in found if region is not None]
            again = kept > self._fixed.get(buffer, kept)  # a `while` comes back to the elements
            if len(regions) == len(axes) and (
                _written_first(uses, regions, around[:kept])
                or (not again and _carries_nothing(regions, around[:kept]))
            ):
                break
        else:
            raise IRError(
                f"'{self.function.name}': {buffer.scope} buffer '{buffer.name}{buffer.ordinal}' "
                "has no constant size; compute it inside the loops that use it, or give it "
                "scope 'global'"
            )
        nbytes = prod(region.size for region in regions) * buffer.dtype.bytes
        if nbytes > LARGEST:
            raise IRError(
                f"'{self.function.name}': {buffer.scope} buffer '{buffer.name}{buffer.ordinal}' "
                f"would take {nbytes} bytes of a thread's stack, more than {LARGEST}; tile the "
                "loops around its uses, or give it scope 'global'"
            )
        shape = tuple([const(region.size) for region in regions])
        return buffer.resized(shape), tuple([region.base for region in regions])


def _region(
    axis: int, whole: int | None, uses: list[Use], around: tuple[For, ...]
) -> _Region | None:
    """What one iteration of the loops `around` touches along an axis; None if not constant."""
    everything = None if whole is None else _Region(const(0), whole)
    env = _ranges(around)
    lows: list[Expr] = []
    highs: list[Expr] = []
    for access, loops in uses:
        first, last = _ends(access.indices[axis])
        if first.dtype.lanes > 1:
            return everything
        over = {loop.var: loop.extent for loop in loops[len(around) :]}
        low, high = symbolic_min(first, over, env), symbolic_max(last, over, env)
        if low is None or high is None:
            return everything
        lows.append(low)
        highs.append(high)
    base = next((x for x in lows if all(prove(Le(x, y), env) for y in lows)), None)
    top = next((x for x in highs if all(prove(Le(y, x), env) for y in highs)), None)
    if base is None or top is None:
        return everything
    size = upper_bound(top - base + 1, env)
    if size is None or (whole is not None and size > whole):
        return everything
    return _Region(base, max(size, 1))


def _written_first(uses: list[Use], regions: list[_Region], around: tuple[For, ...]) -> bool:
    """True if each iteration of the innermost loop around begins by writing all that it touches.

    The first statement with an access must be a nest of stores alone, one for each element, that
    surely runs.
    """
    depth = len(around)
    first = uses[0][1][depth] if len(uses[0][1]) > depth else None
    if first is None or not around:
        return False
    body = around[-1].body
    if first not in (body.stmts if isinstance(body, Seq) else (body,)):
        return False  # under a condition
    mine = [(access, loops) for access, loops in uses if loops[depth : depth + 1] == (first,)]
    if any(isinstance(access, Load) for access, _ in mine):
        return False
    if any(isinstance(node, If | While) for node in postorder(first)):
        return False
    access, loops = mine[0]
    if any(i.dtype.lanes > 1 for i in access.indices):
        return False
    extents = {loop.var: constant(loop.extent) for loop in loops[depth:]}
    for i, region in zip(access.indices, regions, strict=True):
        if not _visits_all(simplify(i - region.base), region.size, extents):
            return False
    env = _ranges(loops)
    again = [loop.extent for loop in loops[depth:] if loop.var in extents]
    return all(prove(Le(const(1, extent.dtype), extent), env) for extent in again)


def _visits_all(offset: Expr, size: int, extents: dict[Var, int | None]) -> bool:
    """True if the offset takes each value below `size` as the loops run: its strides nest like
    the digits of a number. Takes the loops it speaks of out of `extents`: each serves one axis."""
    form = linear(offset, list(extents))
    if form is None or constant(form[1]) != 0:
        return False
    reached = 1
    for step, _, var in sorted(
        [(constant(c) or 0, v.ordinal, v) for v, c in form[0].items()], key=lambda item: item[:2]
    ):
        count = extents.pop(var)
        if step != reached or count is None:
            return False
        reached *= count
    return reached == size


def _carries_nothing(regions: list[_Region], around: tuple[For, ...]) -> bool:
    """True if no iteration can see what another one has left in the smaller buffer.

    Iterations of parallel loops never may. Of the serial ones inside, either some axis touches
    other elements each time, or nothing moves from there inwards.
    """
    parallel = [level for level, loop in enumerate(around) if loop.kind == "parallel"]
    for level in range(parallel[-1] + 1 if parallel else 0, len(around)):
        inner = {loop.var for loop in around[level:]}
        if not any(free_vars(region.base) & inner for region in regions):
            return True
        if not any(_advances(region, level, around) for region in regions):
            return False
    return True


def _advances(region: _Region, level: int, around: tuple[For, ...]) -> bool:
    """True if each iteration of a loop touches elements beyond all those of the one before."""
    env = _ranges(around[: level + 1])
    over = {loop.var: loop.extent for loop in around[level + 1 :]}
    var = around[level].var
    top = symbolic_max(region.base, over, env)
    following = symbolic_min(substitute(region.base, {var: var + 1}), over, env)
    if top is None or following is None:
        return False
    return prove(Le(top + region.size, following), env)


def _ranges(loops: tuple[For, ...]) -> dict[Var, tuple[Expr | int, Expr | int]]:
    return {loop.var: (0, loop.extent - 1) for loop in loops}


def _ends(position: Expr) -> tuple[Expr, Expr]:
    if isinstance(position, Ramp):
        return position.base, position.base + position.stride * (position.lanes - 1)
    return position, position


def _common(paths: list[tuple[For, ...]]) -> tuple[For, ...]:
    """The loops around all uses, down to the first vectorized one (its lanes differ)."""
    shared: list[For] = []
    for level in zip(*paths, strict=False):
        if any(loop is not level[0] for loop in level) or level[0].kind == "vectorized":
            break
        shared.append(level[0])
    return tuple(shared)


def _less(position: Expr, base: Expr) -> Expr:
    if isinstance(position, Ramp):
        return Ramp(position.base - base, position.stride, position.lanes)
    if position.dtype.lanes > 1:
        return position - Broadcast(base, position.dtype.lanes)
    return position - base
