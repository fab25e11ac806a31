"""All ways to compute a block by an instruction.

Two iterators can take each other's place only if they touch the same operands: the row of a
matrix product touches the left factor and the result, the column the right one and the result,
the summed axis both factors. So each iterator of the block may become one of the instruction's
that touches the same operands, alone or fused with others; or it stays outside.

    y[n, h, w, o] += x[n, h + r, w + s, c] * k[r, s, c, o]      by       c[i, j] += a[i, q]*b[q, j]
    n, h, w touch x and y, like i;   o touches k and y, like j;   r, s, c touch x and k, like q

Operands that do not lie as the instruction wants them are put in order first (im2col, packing).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Map
from itertools import combinations, product
from math import prod

from passes.ir.arith import free_vars, linear, prove, simplify, upper_bound
from passes.ir.expr import Const, Dim, Expr, Var, const
from passes.ir.expr import product as product_of
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import Block, BlockIter, Buffer, Function, Load, Store
from passes.schedule.intrinsics import INTRINSICS
from passes.schedule.regions import row_major
from passes.schedule.tensorization.mapping import Axis, Mapping, Operand
from passes.schedule.tensorization.shape import Kin, Reading, Shape, readings, shape_of
from passes.schedule.tree import Refusal, get_block

_UNKNOWN = 1 << 12  # what an extent without upper bound counts
_COPIED = 4  # bytes that a cycle rearranges


def candidates(
    function: Function, label: str, intrinsic: str, sizes: Map[str, int] | None = None
) -> list[Mapping]:
    """The mappings of the block to the intrinsic, best first; none if it computes something else.

    `sizes` says how far the instruction goes where its description leaves that open (by the dims
    of the description); else it goes as little far as it may. Raises ScheduleError if there is no
    such block or intrinsic, or for a size that it does not take.
    """
    block = get_block(function, label, "candidates")
    refuse = Refusal("candidates", f"block '{label}' by '{intrinsic}'", function, label)
    if intrinsic not in INTRINSICS:
        raise refuse("there is no such intrinsic")
    shape = shape_of(INTRINSICS[intrinsic], sizes or {}, refuse)
    store = block.body
    plain = block.predicate is None and not block.views
    if shape is None or not isinstance(store, Store) or not plain:
        return []
    found: dict[str, Mapping] = {}
    for reading in readings(shape, store):
        for mapping in _Mappings(block, shape, reading).all():
            found.setdefault(str(mapping), mapping)
    return sorted(found.values(), key=lambda m: (m.cost, str(m)))


class _Mappings:
    """The mappings with the block's expressions read as the parameters in one way."""

    def __init__(self, block: Block, shape: Shape, reading: Reading) -> None:
        self.block, self.shape, self.turned = block, shape, reading.turned
        self.roles = {param: simplify(e) for param, e in reading.roles.items()}
        self.extents = {it.var: it.extent for it in block.iters}
        self.lies = {param: self._coefficients(e) for param, e in self.roles.items()}

    def all(self) -> Iterator[Mapping]:
        options = [list(self._axes(kin)) for kin in self.shape.kins]
        for chosen in product(*options):
            yield self._mapping(chosen)

    def _touched(self, var: Var) -> frozenset[Buffer]:
        return frozenset(param for param, e in self.roles.items() if var in free_vars(e))

    # Axes: which iterators become one, in which order

    def _axes(self, kin: Kin) -> Iterator[Axis]:
        members = [
            it
            for it in self.block.iters
            if it.kind == kin.kind
            and self._touched(it.var) == kin.touched
            and not free_vars(it.extent)
            and not prove(it.extent.equal(1))
        ]
        tile = tuple([self._size(e) for e in kin.extents])
        if not members:
            alone = [const(1) if isinstance(e, Dim) and e.lo <= 1 else self._size(e)
                     for e in kin.extents]  # fmt: skip
            if all(prove(e.equal(1)) for e in alone):
                yield self._axis(kin.names, tuple(alone), ())
        for count in range(1, len(members) + 1):
            for subset in combinations(members, count):
                for group in self._orders(subset, kin):
                    yield self._axis(kin.names, tile, group)

    def _size(self, extent: Expr) -> Expr:
        return self.shape.dims[extent] if isinstance(extent, Dim) else extent

    def _axis(self, names: tuple[str, ...], tile: tuple[Expr, ...], group: tuple[Var, ...]) -> Axis:
        extent = simplify(product_of([self.extents[v] for v in group]))
        whole = simplify(product_of(tile))
        rest = simplify(extent % whole)
        even = prove(rest.equal(0))
        padding = const(0) if even else simplify((extent + whole - 1) // whole * whole - extent)
        return Axis(names, tile, group, extent, padding)

    def _orders(self, subset: Sequence[BlockIter], kin: Kin) -> list[tuple[Var, ...]]:
        """The orders in which an operand has the iterators, and that of the block."""
        own = tuple([it.var for it in subset])
        found = [own]
        for param in sorted(kin.touched, key=lambda b: b.ordinal):
            lies = self.lies[param]
            if lies is not None and all(v in lies for v in own):
                strides = {v: _number(self._stride(param, v)) for v in own}
                found.append(tuple(sorted(own, key=lambda v: -strides[v])))
        return list(dict.fromkeys(found))

    # Operands: where they lie

    def _coefficients(self, e: Expr) -> dict[Var, tuple[Expr, ...]] | None:
        """How each iterator moves along the axes of what is read; None if that is not linear."""
        if not isinstance(e, Load):
            return None
        found: dict[Var, list[Expr]] = {v: [const(0)] * len(e.indices) for v in free_vars(e)}
        for axis, i in enumerate(e.indices):
            form = linear(i, self.extents)
            if form is None:
                return None
            for var, coefficient in form[0].items():
                found[var][axis] = coefficient
        return {v: tuple(steps) for v, steps in found.items()}

    def _stride(self, param: Buffer, var: Var) -> Expr:
        lies, e = self.lies[param], self.roles[param]
        assert lies is not None and isinstance(e, Load)
        pairs = zip(lies[var], row_major(e.buffer), strict=True)
        return simplify(sum([c * s for c, s in pairs], start=const(0) + 0))

    def _trouble(self, param: Buffer, chosen: Sequence[Axis]) -> str | None:
        """Why the operand must be reindexed, if it must."""
        e, lies = self.roles[param], self.lies[param]
        if not isinstance(e, Load):
            return "it is computed"
        strides: dict[Var, Expr] = {}
        sizes: dict[Var, Expr] = {}
        for kin, axis in zip(self.shape.kins, chosen, strict=True):
            sizes.update(zip(kin.iters, axis.tile, strict=True))
            if param not in kin.touched:
                continue
            if not axis.group:
                continue
            if lies is None:
                return "it is not indexed linearly"
            last = axis.group[-1]
            if not self._fuse(lies, axis.group):
                fused = "*".join([name_of(v) for v in axis.group])
                return f"{fused} is no axis of it"
            stride = self._stride(param, last)
            for var, extent in reversed(list(zip(kin.iters, axis.tile, strict=True))):
                strides[var] = stride
                stride = simplify(stride * extent)
        return self._misplaced(param, strides, sizes)

    def _stays(self, param: Buffer) -> bool:
        """Whether strides of a longer buffer still are those described, or tiles can be made of
        it: the one if they are free but for the last, the other if it is indexed by iterators."""
        e = self.roles[param]
        free = all(isinstance(described, Dim) for described in row_major(param)[:-1])
        return free or (isinstance(e, Load) and all(isinstance(i, Var) for i in e.indices))

    def _composed(self, chosen: Sequence[Axis]) -> str | None:
        """Why what is padded cannot be the result's own buffer: an axis of it that is not one
        iterator, nor all those that become one."""
        e, lies = self.roles[self.shape.result], self.lies[self.shape.result]
        if not isinstance(e, Load) or lies is None:
            return "it is not indexed linearly"
        for axis, i in enumerate(e.indices):
            groups = [one.group for one in chosen if one.group and {*one.group} == free_vars(i)]
            whole = [group for group in groups if prove(lies[group[-1]][axis].equal(1))]
            if not isinstance(i, Var) and not whole:
                return f"its axis {print_expr(i)} is no iterator, as padding needs"
        return None

    def _fuse(self, lies: Map[Var, tuple[Expr, ...]], group: Sequence[Var]) -> bool:
        """Whether the iterators move along each axis of the operand like digits of one number."""
        steps = lies[group[-1]]
        inner: Expr = const(1)
        for var, following in zip(group[-2::-1], group[:0:-1], strict=True):
            inner = inner * self.extents[following]
            pairs = zip(lies[var], steps, strict=True)
            if not all(prove(mine.equal(step * inner)) for mine, step in pairs):
                return False
        return True

    def _misplaced(
        self, param: Buffer, strides: Map[Var, Expr], sizes: Map[Var, Expr]
    ) -> str | None:
        """Which stride is another one than described; free ones may be anything, but the same."""
        free: dict[Expr, Expr] = {}
        places = self.shape.places[param]
        names = {v: n for kin in self.shape.kins for v, n in zip(kin.iters, kin.names, strict=True)}
        for var, described in zip(places, self.shape.strides(param, sizes), strict=True):
            if var is None or var not in strides or prove(sizes[var].equal(1)):
                continue
            wanted = free.setdefault(described, strides[var]) if isinstance(
                described, Dim
            ) else described  # fmt: skip
            if not prove(strides[var].equal(wanted)):
                given, text = print_expr(strides[var]), print_expr(wanted)
                return f"elements along {names[var]} are {given} apart, not {text}"
        return None

    # Whole mappings

    def _mapping(self, chosen: Sequence[Axis]) -> Mapping:
        taken = {v for axis in chosen for v in axis.group}
        outer = tuple([it.var for it in self.block.iters if it.var not in taken])
        filling = any(axis.padding is not _ZERO for axis in chosen)
        operands = []
        for param, e in self.roles.items():
            axes = zip(self.shape.kins, chosen, strict=True)
            padded = any(axis.padding is not _ZERO for kin, axis in axes if param in kin.touched)
            trouble = self._trouble(param, chosen)
            if trouble is None and padded and not self._stays(param):
                trouble = "padding would move its elements apart"
            if trouble is None and filling and param is self.shape.result:
                trouble = self._composed(chosen)
            operands.append(Operand(param.name, e, trouble, padded))
        cost = self._cost(chosen, outer, operands)
        name, label = self.shape.intrinsic.name, self.block.label
        return Mapping(label, name, tuple(chosen), tuple(operands), outer, self.turned, cost)

    def _cost(
        self, chosen: Sequence[Axis], outer: Sequence[Var], operands: Sequence[Operand]
    ) -> float:
        """Smallest instructions executed, and bytes rearranged at some bytes a cycle."""
        padded = [_number(axis.extent + axis.padding) for axis in chosen]
        around = {v: _number(self.extents[v]) for v in outer}
        least = [e.lo if isinstance(e, Dim) else _number(e)
                 for kin in self.shape.kins for e in kin.extents]  # fmt: skip
        cycles = prod(padded) * prod(around.values()) / prod(least)
        for (param, e), operand in zip(self.roles.items(), operands, strict=True):
            if operand.reindexed is not None or operand.padded:
                sizes = [size for size, kin in zip(padded, self.shape.kins, strict=True)
                         if param in kin.touched]  # fmt: skip
                sizes += [size for v, size in around.items() if v in free_vars(e)]
                cycles += prod(sizes) * e.dtype.bytes / _COPIED
        return cycles


_ZERO = const(0)


def _number(e: Expr) -> int:
    """An extent or stride as a number to compare by."""
    if isinstance(e, Const):
        return int(e.value)
    found = upper_bound(e)
    return _UNKNOWN if found is None else found
