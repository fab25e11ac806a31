"""Panel storage: a weight matrix laid out for kernels that compute 16 rows side by side.

A panel holds 16 rows; along K it is a sequence of cells of one quantisation block each, so that
a kernel reads one stream. A cell of Q4_1 is 320 bytes:

    256 B  codes   u8[4, 16, 4]: byte (g, r, b) holds k = 4g+b (low nibble) and 16+4g+b (high)
     32 B  scales  f16[16]
     32 B  offsets f16[16]        (absent where the offset is a multiple of the scale)

Eight-bit codes are u8[block/4, 16, 4]: byte (g, r, b) holds k = 4g+b. Four bytes of one row lie
together because dot-product instructions multiply four neighbours at once. Plain floats are a
panel of [K, 16].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passes.ir.dtypes import F16, F32, INDEX, U8, DType
from passes.ir.expr import Const, Expr, Var, cast, const, index
from passes.ir.loop.nodes import Buffer, Load
from passes.ir.quantised import QuantisedArray, allocation_fields
from passes.ir.storage import Storage

ROWS = 16


@dataclass(frozen=True)
class PanelFormat:
    """What a cell holds. `zero` is the code that means 0 where no offsets are stored."""

    bits: int
    block: int
    scale: DType
    zero: int | None

    @property
    def cell(self) -> int:
        """Bytes of a cell."""
        numbers = 1 if self.zero is not None else 2
        return ROWS * (self.block * self.bits // 8 + numbers * self.scale.bytes)


FORMATS: dict[str, PanelFormat] = {
    "Q4_0": PanelFormat(4, 32, F16, 8),
    "Q4_1": PanelFormat(4, 32, F16, None),
    "Q5_0": PanelFormat(8, 32, F16, 16),
    "Q5_1": PanelFormat(8, 32, F16, None),
    "Q8_0": PanelFormat(8, 32, F16, 128),
    # The scales of K-quants are products (f16 by a small integer), exact in f32 only.
    "Q4_K": PanelFormat(4, 32, F32, None),
    "Q6_K": PanelFormat(8, 16, F32, 32),
}


def panel_storage(name: str, form: PanelFormat, rows: int, columns: int) -> Storage:
    """The storage of a [rows, columns] matrix; rows are padded to whole panels."""
    panels, cells = -(-rows // ROWS), columns // form.block
    i, j = Var("i", 0), Var("j", 1)
    groups = form.block * form.bits // 8 // 4
    codes_bytes = ROWS * groups * 4
    codes = _field(2, "codes", (panels, cells, groups, ROWS, 4), U8, form.cell)
    scales = _field(3, "scales", (panels, cells, ROWS), form.scale, form.cell)
    fields, offsets = [codes, scales], [0, codes_bytes]
    k, cell = j % form.block, j // form.block
    row = (i // ROWS, cell)
    if form.bits == 4:
        half = form.block // 2
        byte = Load(codes, (*row, k % half // 4, i % ROWS, k % 4))
        code: Expr = (byte >> cast(k // half * 4, U8)) & 15
    else:
        code = Load(codes, (*row, k // 4, i % ROWS, k % 4))
    scale = cast(Load(scales, (*row, i % ROWS)), F32)
    if form.zero is None:
        shifts = _field(4, "offsets", (panels, cells, ROWS), form.scale, form.cell)
        fields.append(shifts)
        offsets.append(codes_bytes + ROWS * form.scale.bytes)
        offset = cast(Load(shifts, (*row, i % ROWS)), F32)
    else:
        offset = scale * const(-form.zero, F32)
    size = panels * cells * form.cell
    return Storage(
        name, (i, j), tuple(fields), tuple(offsets), size, form.block, code, scale, offset
    )


def dense_storage(name: str, dtype: DType, rows: int, columns: int) -> Storage:
    """The storage of a [rows, columns] matrix of floats; rows are padded to whole panels."""
    panels = -(-rows // ROWS)
    i, j = Var("i", 0), Var("j", 1)
    shape = (index(panels), index(columns), index(ROWS))
    values = Buffer("values", 2, shape, dtype)
    size = panels * columns * ROWS * dtype.bytes
    code = Load(values, (i // ROWS, j, i % ROWS))
    one, zero = const(1.0, F32), const(0.0, F32)
    return Storage(name, (i, j), (values,), (0,), size, columns, code, one, zero)


def pack_dense(source: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of a [rows, columns] matrix of floats in panels; padding rows are 0."""
    padded = _padded(source, 0)
    cube = padded.reshape(-1, ROWS, source.shape[1]).transpose(0, 2, 1)
    return np.ascontiguousarray(cube).view(np.uint8).reshape(-1)


def _field(ordinal: int, name: str, shape: tuple[int, ...], dtype: DType, cell: int) -> Buffer:
    """A view with one entry a cell: its own axes are dense, cells follow at `cell` bytes."""
    extents = tuple([index(e) for e in shape])
    inner = [1]
    for extent in reversed(shape[3:]):
        inner.insert(0, inner[0] * extent)
    step = cell // dtype.bytes
    strides = tuple([Const(s, INDEX) for s in (shape[1] * step, step, *inner)])
    return Buffer(name, ordinal, extents, dtype, "global", strides)


def pack(source: QuantisedArray, form: PanelFormat, storage: Storage) -> NDArray[np.uint8]:
    """The bytes of a matrix in panel storage; rows that pad the last panel decode to 0.

    Exact: codes are moved (signed ones shifted to start at 0), scales are stored as they are.
    """
    columns = source.shape[1]
    zero = form.zero or 0
    shift = zero if source.storage.code.dtype.is_signed else 0
    codes = _padded(source.codes.astype(np.int16) + shift, 0).astype(np.uint8)
    scales = _padded(source.scales, 0)
    panels, cells = codes.shape[0] // ROWS, columns // form.block
    raw = np.zeros(storage.nbytes, np.uint8)
    fields = allocation_fields(storage, raw)
    cube: NDArray[Any] = codes.reshape(panels, ROWS, cells, form.block)
    if form.bits == 4:
        half = form.block // 2
        cube = cube[..., :half] | cube[..., half:] << 4
    grouped = cube.reshape(panels, ROWS, cells, -1, 4)
    fields[0][...] = grouped.transpose(0, 2, 3, 1, 4)
    fields[1][...] = scales.reshape(panels, ROWS, cells).transpose(0, 2, 1)
    if form.zero is None:
        offsets = _padded(source.offsets, 0)
        fields[2][...] = offsets.reshape(panels, ROWS, cells).transpose(0, 2, 1)
    return raw


def _padded(matrix: NDArray[Any], value: int) -> NDArray[Any]:
    missing = -len(matrix) % ROWS
    return np.pad(matrix, ((0, missing), (0, 0)), constant_values=value) if missing else matrix
