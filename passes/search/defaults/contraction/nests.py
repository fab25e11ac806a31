"""The nests of a contraction: sums of products and the block that ends them, cut alike.

An axis is the number of an axis of the result, or the name of one that is summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from passes.ir.arith import prove, simplify
from passes.ir.expr import Expr, Var, index
from passes.ir.loop.nodes import Block, Buffer, Load, Store
from passes.ir.node import postorder
from passes.schedule.accesses import ranges
from passes.schedule.dependence import carried
from passes.schedule.primitives import fuse
from passes.schedule.schedule import Schedule
from passes.schedule.tree import blocks_in, get_block, get_loop
from passes.search.defaults.shape import driven, extent, own_loops, vectorize_lanes
from passes.search.defaults.target import Target

Axis = int | str
_ZERO = index(0)


@dataclass(frozen=True)
class Nest:
    """A block in loops of its own; `axes` says what each of them runs along."""

    label: str
    axes: tuple[Axis, ...]

    def loops(self, s: Schedule) -> dict[Axis, Var]:
        return dict(zip(self.axes, own_loops(s, self.label), strict=True))

    def extent(self, s: Schedule, axis: Axis) -> Expr:
        return extent(s, self.loops(s)[axis])

    def outermost(self, s: Schedule, axis: Axis) -> Nest:
        """The nest with the loop along an axis outside all others."""
        order = (axis, *[a for a in self.axes if a != axis])
        if order != self.axes:
            loops = self.loops(s)
            s.reorder(*[loops[a] for a in order])
        return Nest(self.label, order)


Nests = tuple[Nest, ...]


def cut(s: Schedule, nests: Nests, axis: Axis, point: Expr) -> tuple[Nests, Nests]:
    """The parts of nests at the top before and from `point` on along an axis of the result."""
    heads = tuple([nest.outermost(s, axis) for nest in nests])
    _, tails = s.loop_partition([nest.loops(s)[axis] for nest in heads], point)
    labels = [blocks_in(get_loop(s.function, loop, "cut"))[0].label for loop in tails]
    rest = [Nest(label, nest.axes) for label, nest in zip(labels, heads, strict=True)]
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


def nests_of(s: Schedule, end: str, sums: Sequence[str]) -> Nests | None:
    """The nests of sums and, last, of the block that reads them, each over one buffer.

    None if their loops do not run along the axes of these buffers, one each, and equally far.
    """
    block = get_block(s.function, end, "nests_of")
    nests: list[Nest | None] = []
    ends = set()
    for label in sums:
        nests.append(nest_of(s, label))
        (buffer,) = _stored(s, label)
        places = {load.indices for load in _loads(block, buffer)}
        ends |= {_nest(s, block, place, None) for place in places}
    found = [nest for nest in (*nests, *ends) if nest is not None]
    if len(ends) != 1 or len(found) != len(sums) + 1:
        return None
    extents = {axis: extent(s, loop) for axis, loop in found[-1].loops(s).items()}
    for nest in found[:-1]:
        for axis, loop in nest.loops(s).items():
            if axis in extents and not prove(extent(s, loop).equal(extents[axis])):
                return None
    return tuple(found)


def nest_of(s: Schedule, label: str) -> Nest | None:
    """The nest of a sum, along the axes of what it stores."""
    block = get_block(s.function, label, "nest_of")
    store = block.body
    return _nest(s, block, store.indices, "reduce") if isinstance(store, Store) else None


def into_registers(s: Schedule, label: str, outside: Var, width: int, target: Target) -> None:
    """Writes out what of the block's spatial loops is inside a loop: the last one, of `width`
    columns, in vectors."""
    around = s.loops(label)
    inner = around[around.index(outside) + 1 :] if outside in around else around
    reduced = driven(s, label, "reduce")
    spatial = [loop for loop in inner if loop not in reduced]
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


def _stored(s: Schedule, label: str) -> set[Buffer]:
    block = get_block(s.function, label, "nests_of")
    return {n.buffer for n in postorder(block.body) if isinstance(n, Store)}


def _loads(block: Block, buffer: Buffer) -> list[Load]:
    return [n for n in postorder(block.body) if isinstance(n, Load) and n.buffer is buffer]


def _nest(s: Schedule, block: Block, place: Sequence[Expr], summed: str | None) -> Nest | None:
    """The block's nest, its axes numbered as `place` has them."""
    names: dict[Expr, Axis] = {}
    for it, e in zip(block.iters, block.bindings, strict=True):
        if it.kind == summed:
            names[e] = f"{it.var.name}{it.var.ordinal}"
        elif it.kind != "spatial" or it.var not in place:
            return None
        else:
            names[e] = list(place).index(it.var)
    loops = own_loops(s, block.label)
    if len(names) != len(block.iters) or set(loops) != set(names) or len(place) != len(set(place)):
        return None
    return Nest(block.label, tuple([names[loop] for loop in loops]))
