"""storage_align: rows of a temporary begin at chosen distances."""

from __future__ import annotations

from passes.ir.loop.nodes import IN_REGISTERS, Buffer, Function
from passes.schedule.pipelining import kept_pipelines
from passes.schedule.tree import Refusal, get_buffer, replace_buffer


def storage_align(function: Function, buffer: str, axis: int, factor: int, offset: int) -> Function:
    """The stride of an axis becomes the least that leaves `offset` when divided by `factor`.

        t = alloc(f32[64, 32])                                       axis 0, factor 32, offset 1
        → t = alloc(f32[64, 32](strides=[33, 1], pitch=[[0, 32, 1]]))

    Strides of the axes outside it grow along. Where lowering makes the buffer smaller, the stride
    is that of the smaller one. Aligning an axis again replaces what was asked of it before. Raises
    ScheduleError for a parameter, and for what has no strides of rows in memory.
    """
    old = get_buffer(function, buffer, "storage_align")
    refuse = Refusal("storage_align", f"buffer '{buffer}'", function, old)
    if old not in function.allocs:
        raise refuse("it is a parameter, not a temporary")
    if old.strides is not None and old.pitch is None:
        raise refuse("it is a view with strides of its own")
    if old.distribution is not None or old.scope in IN_REGISTERS:
        raise refuse("its elements have no places in memory")
    if not 0 <= axis < len(old.shape):
        raise refuse(f"it has no axis {axis}, but {len(old.shape)} axes")
    if not 0 <= offset < factor:
        raise refuse(f"no number leaves {offset} when divided by {factor}")
    kept = [item for item in old.pitch or () if item[0] != axis]
    pitch = tuple(sorted([*kept, (axis, factor, offset)]))
    new: Buffer = old.replace(pitch=pitch, strides=old.shape).resized(old.shape)
    return kept_pipelines(replace_buffer(function, old, new), refuse)
