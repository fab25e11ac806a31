"""Tensor intrinsics: what an instruction computes, as a loop program, and how to call it.

    description                                   implementation
    for k in range(4):                            c[()] = dot4(c[()], reinterpret(a[ramp(0, 1, 4)],
        with block("dot"):                            u32), reinterpret(b[ramp(0, 1, 4)], i32))
            v = reduce(4, k)
            c[()] = c[()] + cast(a[v], i32)*cast(b[v], i32)

Both are functions over the same parameters. `tensorize` finds the description in a program
(`pattern`) and puts the implementation in its place; the interpreter runs either. What a target
has are names of this table. A new instruction is a new entry, in the table or by `register`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from passes.ir.expr import Const, Expr, Var
from passes.ir.expr_text import parse_expr
from passes.ir.loop.nodes import Function, Load, Store
from passes.ir.loop.parse import parse_function
from passes.ir.loop.verify import verify
from passes.ir.node import IRError, postorder
from passes.schedule.instructions import ENTRIES
from passes.schedule.instructions.entry import Entry


@dataclass(frozen=True)
class TensorIntrinsic:
    """An entry of the table, read.

    Dims of the description are extents and strides that may be anything within their bounds for
    which `where` holds. `within` says of parameters which values their elements may have."""

    entry: Entry

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def within(self) -> Mapping[str, tuple[int, int]]:
        return {name: (low, high) for name, low, high in self.entry.within}

    @cached_property
    def description(self) -> Function:
        return self._read(self.entry.description)

    @cached_property
    def implementation(self) -> Function:
        return self._read(self.entry.implementation)

    @cached_property
    def where(self) -> tuple[Expr, ...]:
        dims = {dim.name: dim for dim in self.description.dims}
        return tuple([parse_expr(text, dims) for text in self.entry.where])

    def check(self) -> None:
        """Raises IRError unless both programs are well formed, over the same parameters, and the
        description has no temporaries and indexes each axis by an iterator of its own."""
        mine, other = self.description, self.implementation
        verify(mine)
        verify(other)
        if (mine.params, mine.dims) != (other.params, other.dims):
            raise IRError(f"intrinsic '{self.name}': its two programs have different parameters")
        for node in postorder(mine.body):
            if isinstance(node, Load | Store) and not _by_iterators(node):
                raise IRError(
                    f"intrinsic '{self.name}': its description indexes '{node.buffer.name}' by"
                    " something else than an iterator an axis (or 0, where the axis is 1 long)"
                )
        if mine.allocs:
            raise IRError(f"intrinsic '{self.name}': its description has temporaries")

    def _read(self, body: str) -> Function:
        lines = "".join([f"    {line}\n" for line in body.strip("\n").splitlines()])
        name = "".join([c if c.isalnum() else "_" for c in self.name])
        return parse_function(f"def {name}({self.entry.params}):\n{lines}")


def _by_iterators(access: Load | Store) -> bool:
    pairs = list(zip(access.indices, access.buffer.shape, strict=True))
    used = [i for i, extent in pairs if not (_is(i, 0) and _is(extent, 1))]
    return len(set(used)) == len(used) and all(isinstance(i, Var) for i in used)


def _is(e: Expr, value: int) -> bool:
    return isinstance(e, Const) and e.value == value


INTRINSICS = {name: TensorIntrinsic(entry) for name, entry in ENTRIES.items()}


def register(entry: Entry) -> TensorIntrinsic:
    """Adds an entry to the table. Raises IRError if it is not well formed, or its name taken."""
    made = TensorIntrinsic(entry)
    if entry.name in INTRINSICS and INTRINSICS[entry.name] != made:
        raise IRError(f"there is a tensor intrinsic '{entry.name}' already")
    made.check()
    INTRINSICS[entry.name] = made
    return made
