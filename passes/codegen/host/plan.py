"""The memory plan: temporaries of a host program in one arena of symbolic size.

Every buffer gets a slot; buffers share a slot if no phase (what lies between two barriers) needs
both, so sharing never asks for another barrier. A slot is as large as its largest tenant, its
offset the sum of the slots before it: both are expressions of dims, evaluated when the program
starts. The arena's upper bound is known when the library is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from passes.codegen.host.barriers import launches_of
from passes.ir.arith import prove, simplify, substitute, upper_bound
from passes.ir.arith.terms import terms
from passes.ir.dtypes import DType
from passes.ir.expr import Dim, Expr, Le, Lt, index, maximum, product
from passes.ir.loop.nodes import Buffer, Function
from passes.ir.node import IRError

ALIGNMENT = 64


@dataclass(frozen=True)
class ArenaPlan:
    """`offsets` in bytes by buffer and the arena's `size`; `bound` and `naive` are the upper
    bounds of the size with and without sharing; `slots` says who shares what."""

    offsets: Mapping[Buffer, Expr]
    slots: Mapping[Buffer, int]
    size: Expr
    bound: int
    naive: int


@dataclass
class _Slot:
    size: Expr
    bound: int
    phases: int  # a bit for each phase that needs it


def plan_arena(function: Function, assumptions: Sequence[Expr] = ()) -> ArenaPlan:
    """Places the allocations of a host program that has its barriers.

    Greedy by size: the largest buffers first, each into the free slot whose bound is nearest to
    its own, those that are provably large enough before others, else into a new one. No slot's
    bound ever grows.
    Raises IRError if a size has no upper bound.
    """
    phases = _lifetimes(function)
    kinds = {(buffer.shape, buffer.dtype) for buffer in phases}
    size_of = {kind: _bytes(*kind) for kind in kinds}
    sizes = {buffer: size_of[buffer.shape, buffer.dtype] for buffer in phases}
    bound_of = {
        size: _bound(size, assumptions, buffer)
        for size, buffer in {size: buffer for buffer, size in sizes.items()}.items()
    }
    bounds = {buffer: bound_of[size] for buffer, size in sizes.items()}
    order = sorted(phases, key=lambda b: (-bounds[b], phases[b].start, b.ordinal))
    slots: list[_Slot] = []
    chosen: dict[Buffer, int] = {}
    for buffer in order:
        chosen[buffer] = _place(slots, sizes[buffer], bounds[buffer], phases[buffer])
    starts: list[Expr] = []
    end = index(0)
    for slot in slots:
        starts.append(end)
        end = simplify(end + slot.size)
    return ArenaPlan(
        {buffer: starts[number] for buffer, number in chosen.items()},
        chosen,
        end,
        sum(slot.bound for slot in slots),
        sum(bounds.values()),
    )


def _lifetimes(function: Function) -> dict[Buffer, range]:
    """Allocation -> the phases from its first use to its last."""
    placed = frozenset(function.allocs)
    found: dict[Buffer, range] = {}
    for number, phase in enumerate(launches_of(function)):
        for launch in phase:
            for buffer in launch.buffers:
                if buffer in placed:
                    start = found[buffer].start if buffer in found else number
                    found[buffer] = range(start, number + 1)
    return found


def _place(slots: list[_Slot], size: Expr, bound: int, phases: range) -> int:
    """The number of the slot chosen, changed to hold one more buffer."""
    best: tuple[bool, int, int] | None = None
    needed = (1 << phases.stop) - (1 << phases.start)
    for number, slot in enumerate(slots):
        if slot.phases & needed:
            continue
        candidate = (not prove(size <= slot.size), slot.bound - bound, number)
        if best is None or candidate < best:
            best = candidate
    if best is None:
        slots.append(_Slot(size, bound, needed))
        return len(slots) - 1
    grows, _, number = best
    slot = slots[number]
    if grows:
        slot.size = simplify(maximum(slot.size, size))
    slot.phases |= needed
    return number


def _bytes(shape: tuple[Expr, ...], dtype: DType) -> Expr:
    exact = product(shape) * dtype.bytes
    return simplify((exact + (ALIGNMENT - 1)) // ALIGNMENT * ALIGNMENT)


def _bound(size: Expr, assumptions: Sequence[Expr], buffer: Buffer) -> int:
    """The largest size, over all dims in their bounds that fulfil the assumptions."""
    forms = [size]
    for assumption in assumptions:
        forms += [simplify(substitute(size, change)) for change in _sums(assumption)]
    found = [bound for form in forms if (bound := upper_bound(form)) is not None]
    if not found:
        raise IRError(f"temporary '{buffer.name}{buffer.ordinal}' has a size without upper bound")
    return -(-min(found) // ALIGNMENT) * ALIGNMENT


def _sums(assumption: Expr) -> list[Mapping[Dim, Expr]]:
    """n + m <= 9 -> {n: total - m}, {m: total - n} with total <= 9: sizes in n + m get tighter."""
    if not isinstance(assumption, Le | Lt):
        return []
    room = dict(terms(simplify(assumption.b - assumption.a)))
    limit = room.pop((), 0) - isinstance(assumption, Lt)
    dims = [monomial[0] for monomial in room]
    if len(dims) < 2 or any(
        len(monomial) != 1 or coefficient != -1 or not isinstance(monomial[0], Dim)
        for monomial, coefficient in room.items()
    ):
        return []
    changes: list[Mapping[Dim, Expr]] = []
    for dim in dims:
        assert isinstance(dim, Dim)
        rest: Expr = Dim(f"{dim.name}_total", 0, max(limit, 0))
        for other in dims:
            rest = rest if other is dim else rest - other
        changes.append({dim: rest})
    return changes
