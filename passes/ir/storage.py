"""How a logical tensor lies in memory when it is not a plain row-major array.

A storage names physical fields (strided views of one allocation) and says, as expressions over
the logical coordinates, what an element is: value = code * scale + offset. `code` is the small
integer that is stored; `scale` and `offset` are shared by `block` neighbours along the last axis.
A storage that only lays plain floats out anew has scale 1 and offset 0, and floats as codes.

    Q4_1 [N, K]: qs u8[N, K/32, 16], d f16[N, K/32], m f16[N, K/32]
        code   = qs[i, j//32, j%16] >> 4*(j%32//16) & 15
        scale  = d[i, j//32]
        offset = m[i, j//32]
"""

from __future__ import annotations

from passes.ir.dtypes import F32
from passes.ir.expr import Const, Expr, Var, cast
from passes.ir.loop.nodes import Buffer
from passes.ir.node import IRError, Node


class Storage(Node):
    """A quantised tensor's layout: views of one allocation and the decode expressions.

    `offsets` are the fields' first bytes in the allocation of `nbytes` bytes; `axes` are the
    logical coordinates that `code` (integer), `scale` and `offset` (f32) speak of. `fill` is the
    code of what lies between the elements, if anything asks for one.
    """

    name: str
    axes: tuple[Var, ...]
    fields: tuple[Buffer, ...]
    offsets: tuple[int, ...]
    nbytes: int
    block: int
    code: Expr
    scale: Expr
    offset: Expr
    fill: float = 0.0

    def check(self) -> None:
        if len(self.fields) != len(self.offsets):
            raise IRError(f"storage '{self.name}' has {len(self.offsets)} offsets for its fields")
        if self.scale.dtype != F32 or self.offset.dtype != F32:
            raise IRError(f"storage '{self.name}' must decode to f32")

    @property
    def is_plain(self) -> bool:
        """Whether elements are stored as they are: scale 1 and offset 0 throughout."""
        return _is(self.scale, 1.0) and _is(self.offset, 0.0)

    @property
    def value(self) -> Expr:
        """The element at `axes` as f32."""
        code = cast(self.code, F32)
        return code if self.is_plain else code * self.scale + self.offset


def _is(e: Expr, value: float) -> bool:
    return isinstance(e, Const) and e.value == value
