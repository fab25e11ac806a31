"""The nests of a contraction: sums of products and the block that ends them, cut alike.

An axis is the number of an axis of the result, or the name of one that is summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from passes.ir.arith import prove, simplify
from passes.ir.expr import Expr, Var, index
from passes.ir.loop.nodes import Block, Load, Store
from passes.ir.node import postorder
from passes.schedule.accesses import ranges
from passes.schedule.dependence import carried
from passes.schedule.primitives import fuse
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, blocks_in, get_block, get_loop, written
from passes.search.defaults.contraction.roles import Roles
from passes.search.defaults.shape import driven, extent, own_loops, vectorize_lanes
from passes.search.defaults.target import Target

Axis = int | str
_ZERO, _ONE = index(0), index(1)


@dataclass(frozen=True)
class Nest:
    """A block in loops of its own; `axes` says what each of them runs along. `partial`: the nest
    behind sums up its results. `staged` is the factor, if any, that is computed in registers at
    each step of an instruction."""

    label: str
    axes: tuple[Axis, ...]
    partial: bool = False
    staged: int | None = None

    def loops(self, s: Schedule) -> dict[Axis, Var]:
        """Raises ScheduleError where steps since left the block other loops."""
        loops = own_loops(s, self.label)
        if len(loops) != len(self.axes):
            reason = f"it has {len(loops)} loops of its own, not one along each of {self.axes}"
            raise ScheduleError("nests", f"block '{self.label}'", reason, s.function)
        return dict(zip(self.axes, loops, strict=True))

    def extent(self, s: Schedule, axis: Axis) -> Expr:
        return extent(s, self.loops(s)[axis])

    def outermost(self, s: Schedule, axis: Axis) -> Nest:
        """The nest with the loop along an axis outside all others."""
        order = (axis, *[a for a in self.axes if a != axis])
        if order != self.axes:
            loops = self.loops(s)
            s.reorder(*[loops[a] for a in order])
        return replace(self, axes=order)


Nests = tuple[Nest, ...]


def by_sum(nests: Nests) -> list[Nests]:
    """Each sum with the nests before it that make its parts."""
    ends = [k + 1 for k, nest in enumerate(nests) if not nest.partial]
    return [nests[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def cut(s: Schedule, nests: Nests, axis: Axis, point: Expr) -> tuple[Nests, Nests]:
    """The parts of nests at the top before and from `point` on along an axis of the result."""
    heads = tuple([nest.outermost(s, axis) for nest in nests])
    _, tails = s.loop_partition([nest.loops(s)[axis] for nest in heads], point)
    labels = [blocks_in(get_loop(s.function, loop, "cut"))[0].label for loop in tails]
    rest = [replace(nest, label=label) for label, nest in zip(labels, heads, strict=True)]
    return heads, tuple(rest)


def cut_in_sizes(
    s: Schedule, nests: Nests, axis: Axis, sizes: Sequence[int]
) -> list[tuple[Nests, int]]:
    """Parts whose extents along an axis are multiples of the sizes, which fall down to one that
    divides what is left."""
    found: list[tuple[Nests, int]] = []
    rest = nests
    for size in sizes:
        whole = rest[0].extent(s, axis)
        point = simplify(whole // size * size)
        if simplify(point - whole) is _ZERO:
            return [*found, (rest, size)]
        if point is not _ZERO:
            head, rest = cut(s, rest, axis, point)
            found.append((head, size))
    raise AssertionError(f"{sizes} leave something of {whole}")


def nests_of(s: Schedule, end: str, sums: Sequence[Roles]) -> Nests | None:
    """The nests of sums and, last, of the block that reads them, each over one buffer.

    None if their loops do not run along the axes of these buffers, one each, and equally far.
    """
    block = get_block(s.function, end, "nests_of")
    nests: list[Nest | None] = []
    ends = set()
    for one in sums:
        whole = _sum(s, one.whole)
        if whole is not None and one.label != one.whole:
            nests.append(_parts(s, one.label, whole))
        nests.append(whole)
        ends |= {_nest(s, block, place) for place in _places(s, block, one.whole)}
    found = [nest for nest in (*nests, *ends) if nest is not None]
    if len(ends) != 1 or len(found) != len(nests) + 1:
        return None
    extents: dict[Axis, Expr] = {}
    for nest in reversed(found):
        for axis, loop in nest.loops(s).items():
            far = extent(s, loop)
            if not prove(far.equal(extents.setdefault(axis, far))):
                return None
    return tuple(found)


def _sum(s: Schedule, label: str) -> Nest | None:
    """The nest of a sum, along the axes of what it stores."""
    block = get_block(s.function, label, "nests_of")
    store = block.body
    return _nest(s, block, store.indices) if isinstance(store, Store) else None


def _parts(s: Schedule, label: str, whole: Nest) -> Nest | None:
    """The nest of the sums that another one takes as its parts, along the axes of that one."""
    block = get_block(s.function, whole.label, "nests_of")
    mine, (place,) = _sum(s, label), _places(s, block, label)
    taken = _nest(s, block, place)
    if mine is None or taken is None:
        return None
    names = dict(zip(taken.axes, whole.axes, strict=True))
    return Nest(label, tuple([names.get(axis, axis) for axis in mine.axes]), partial=True)


def into_registers(s: Schedule, label: str, width: int, target: Target) -> None:
    """Writes out the block's own spatial loops: the last one, of `width` columns, in vectors."""
    reduced = driven(s, label, "reduce")
    spatial = [loop for loop in own_loops(s, label) if loop not in reduced]
    if width > 1:
        vectorize_lanes(s, spatial.pop(), target.lanes)
    for loop in spatial:
        s.unroll(loop)


def shared(s: Schedule, loops: Sequence[Var]) -> Var:
    """The leading loops as one, to be made parallel: as many as can be proved apart when they are.

    What threads have for themselves is not looked at.
    """
    private = [buffer for buffer in s.function.allocs if buffer.scope != "global"]
    for count in range(len(loops), 1, -1):
        tried, whole = s.function, loops[0]
        for loop in loops[1:count]:
            tried, whole = fuse(tried, whole, loop)
        fused = get_loop(tried, whole, "shared")
        if carried(fused, ranges(tried), private=private) is None:
            return s.fuse(*loops[:count])
    return loops[0]


def has_plain_loops(s: Schedule, label: str) -> bool:
    """Whether each iterator of the block is a loop that the block has alone."""
    bindings = get_block(s.function, label, "has_plain_loops").bindings
    loops = own_loops(s, label)
    return len(bindings) == len(loops) and set(bindings) == set(loops)


def _places(s: Schedule, block: Block, label: str) -> set[tuple[Expr, ...]]:
    """Where the block reads what the block `label` stores."""
    buffers = written(get_block(s.function, label, "nests_of"))
    loads = [n for n in postorder(block.body) if isinstance(n, Load)]
    return {load.indices for load in loads if load.buffer in buffers}


def _nest(s: Schedule, block: Block, place: Sequence[Expr]) -> Nest | None:
    """The block's nest, its axes numbered as `place` has them; those that it reduces besides have
    names. A loop of one iteration runs along an axis that has one place, too."""
    names: dict[Expr, Axis] = {}
    single = [axis for axis, e in enumerate(place) if e is _ZERO]
    for it, e in zip(block.iters, block.bindings, strict=True):
        if it.var in place:
            names[e] = list(place).index(it.var)
        elif it.kind == "reduce":
            names[e] = f"{it.var.name}{it.var.ordinal}"
        elif single and it.extent is _ONE:
            names[e] = single.pop(0)
        else:
            return None
    loops = own_loops(s, block.label)
    numbered = [axis for axis in names.values() if isinstance(axis, int)]
    if len(names) != len(block.iters) or set(loops) != set(names) or len(numbered) != len(place):
        return None
    return Nest(block.label, tuple([names[loop] for loop in loops]))
