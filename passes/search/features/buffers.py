"""The columns of the buffers that a store accesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from passes.ir.loop.nodes import Buffer
from passes.search.features import columns
from passes.search.features.caches import Nest, conflicts, loop_reuse, serial_reuse
from passes.search.features.columns import access
from passes.search.features.footprints import Touched
from passes.search.features.steps import Lanes, Step
from passes.search.features.tape import Number

Columns = dict[str, Number]


def traffic_columns(nest: Nest, step: Step) -> tuple[Columns, dict[Touched, tuple[Number, ...]]]:
    """Bytes that cross between levels of memory: of all buffers, and of each that is in memory
    from the second level on."""
    target = nest.target
    levels = [
        nest.private_traffic(target.l1d_bytes),
        nest.private_traffic(target.l2_bytes),
        nest.shared_traffic(target.shared_bytes),
    ]
    found: Columns = {columns.TRAFFIC_L1: step.bytes() * step.number}
    for name, level in zip(columns.TRAFFIC[1:], levels, strict=True):
        whole: Number = 0
        for part in level.values():
            whole = whole + part
        found[name] = whole
    return found, {t: tuple([level[t] for level in levels]) for t in nest.touched}


def buffer_columns(
    nest: Nest,
    step: Step,
    touched: Sequence[Touched],
    traffic: Mapping[Touched, tuple[Number, ...]],
    users: Mapping[Buffer, Sequence[Nest]],
    runs: Number,
) -> Columns:
    """The columns of the buffers with the most bytes accessed; `users` are the rows that access
    each buffer."""
    found: Columns = {}
    ordered = sorted(touched, key=lambda t: (t.layout.in_registers, -t.bytes_each))
    lanes = dict(zip(nest.row.accesses, (*step.loads, *step.stores), strict=True))
    for number, t in enumerate(ordered[: columns.BUFFERS]):
        of_one = _kind(t) | _lanes([lanes[a] for a in t.accesses], bool(step.vectors))
        region, nbytes = t.whole[0], t.layout.buffer.dtype.bytes
        of_one |= {
            "bytes": runs * t.bytes_each,
            "unique": region.elements * nbytes,
            "lines": region.lines,
            "l2": 0,
            "shared": 0,
            "memory": 0,
        }
        if t in traffic:
            of_one |= dict(zip(("l2", "shared", "memory"), traffic[t], strict=True))
            of_one |= _reuse(nest, t, users[t.layout.buffer])
            of_one["conflicts"] = conflicts(nest, t)
        found.update({access(number, what): value for what, value in of_one.items()})
    return found


def _kind(t: Touched) -> Columns:
    return {
        "read": int(not t.is_written),
        "write": int(not t.is_read),
        "both": int(t.is_read and t.is_written),
        "private": int(t.layout.is_private and not t.layout.in_registers),
        "register": int(t.layout.in_registers),
        "indirect": int(_is_indirect(t)),
    }


def _is_indirect(t: Touched) -> bool:
    return any(atom.rule == "?" for a in t.accesses for i in a.indices for atom in i.terms)


def _lanes(found: Sequence[Lanes], is_vector: bool) -> Columns:
    """How the buffer's first access moves along the vectorized loop."""
    if not is_vector:
        return {}
    one = found[0]
    stride: Number = one.size if one.stride is None else one.stride
    if not isinstance(stride, (int, float)) or stride >= 0:
        return {one.kind: 1, "stride": stride}
    return {one.kind: 1, "stride": -stride}


def _reuse(nest: Nest, t: Touched, users: Sequence[Nest]) -> Columns:
    found = loop_reuse(nest, t) or serial_reuse(nest, users)
    if found is None:
        return {}
    return {
        "loop_reuse": int(found.by_loop),
        "serial_reuse": int(not found.by_loop),
        "reuse_steps": found.steps,
        "reuse_bytes": found.bytes,
        "reuse_times": found.times,
    }
