"""Weights laid out anew as they are: the elements of an array moved to other places.

w f32[500, 64] with (i, j) → (i//48, j, i%48)
→ "folded f32 [500, 64] …": values f32[11, 64, 48], the 28 places a row past the last 0
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from passes.ir.dtypes import F32, DType
from passes.ir.evaluate import evaluate
from passes.ir.expr import Dim, Expr, Var, const, index
from passes.ir.loop.nodes import Buffer, Load
from passes.ir.quantised import Array
from passes.ir.storage import Storage

PREFIX = "folded "
_SLAB = 1 << 20  # elements moved at a time


def folded_storage(
    dtype: DType,
    extents: Sequence[int],
    axes: tuple[Var, ...],
    places: tuple[Expr, ...],
    shape: Sequence[int],
    fill: float,
) -> Storage:
    """The storage of a tensor [extents] whose element `axes` lies at `places` within `shape`."""
    sizes = tuple([index(e) for e in shape])
    values = Buffer("values", max([v.ordinal for v in axes], default=-1) + 1, sizes, dtype)
    code = Load(values, places)
    nbytes = prod(shape) * dtype.bytes
    last = extents[-1] if extents else 1
    spelled = ", ".join([str(e) for e in extents])
    name = f"{PREFIX}{dtype} [{spelled}] {code.digest[:8]} {fill!r}"
    one, zero = const(1.0, F32), const(0.0, F32)
    return Storage(name, axes, (values,), (0,), nbytes, last, code, one, zero, fill)


def fold(source: Array, storage: Storage) -> NDArray[np.uint8]:
    """The bytes of an array in such a storage."""
    code, (values,) = storage.code, storage.fields
    assert isinstance(code, Load)
    shape = [evaluate(e, {}) for e in values.shape]
    folded = np.full(shape, storage.fill, values.dtype.numpy)
    rank = source.ndim
    rows = max(1, _SLAB // max(1, prod(source.shape[1:])))
    for start in range(0, source.shape[0] if rank else 1, rows):
        slab = source[start : start + rows] if rank else source
        where: dict[Dim | Var, int | Array] = {}
        for k, (axis, extent) in enumerate(zip(storage.axes, slab.shape, strict=True)):
            along = np.arange(extent) + (start if k == 0 else 0)
            where[axis] = along.reshape([-1 if k == n else 1 for n in range(rank)])
        folded[tuple([evaluate(i, where) for i in code.indices])] = slab
    return np.ascontiguousarray(folded).view(np.uint8).reshape(-1)
