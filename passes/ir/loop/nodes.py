"""Loop IR: programs over buffers, scheduled by rewriting.

    function ::= Function(name, dims, params, allocs, body, attrs)
    s        ::= Seq(stmts) | For(var, extent, body, kind) | If(cond, then, other?)
               | Block(label, iters, bindings, body, init?, predicate?)
               | Store(buffer, indices, value)
               | Launch(kernel, dims, buffers) | Barrier()          (host programs only)
    e        ::= … | Load(buffer, indices)

A loop runs var = 0 … extent-1. A block is the unit of scheduling: its body speaks of its own
iterators only (and of dims), the bindings say which values the loops around give them. What a
block reads and writes is derived from its body, never stored. Variables, buffers and block labels
are bound once in a function. In a kernel, what is outside any parallel loop runs once.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from passes.ir.dtypes import BOOL, INDEX, DType
from passes.ir.expr import Dim, Expr, Ramp, Var
from passes.ir.node import IRError, Node

Attr: TypeAlias = "int | str | bool | float"
Scope = Literal["global", "local", "register"]
LoopKind = Literal["serial", "parallel", "vectorized", "unrolled"]
IterKind = Literal["spatial", "reduce", "ordered"]


class Buffer(Node):
    """A typed array. Text shows `name` and `ordinal` run together, as for variables.

    `strides` count elements and are row-major (None) unless the buffer is a view of a packed
    storage. Scopes: `global` lives in memory all threads see, `local` in memory private to a
    thread, `register` in registers: its indices must be constants once loops are unrolled.
    """

    name: str
    ordinal: int
    shape: tuple[Expr, ...]
    dtype: DType
    scope: Scope = "global"
    strides: tuple[Expr, ...] | None = None

    def check(self) -> None:
        if not self.name.replace("_", "a").isalpha():
            raise IRError(f"buffer name '{self.name}' must be letters and underscores")
        if self.dtype.lanes != 1 or self.scope not in ("global", "local", "register"):
            raise IRError(f"buffer '{self.name}' has type {self.dtype} in scope '{self.scope}'")
        if any(extent.dtype != INDEX for extent in self.shape):
            raise IRError(f"buffer '{self.name}' has a shape that is not of type index")
        if self.strides is not None and len(self.strides) != len(self.shape):
            raise IRError(f"buffer '{self.name}' has {len(self.strides)} strides for its shape")


class Load(Expr):
    """An element of a buffer; with a vector index in one place, a vector of elements."""

    buffer: Buffer
    indices: tuple[Expr, ...]

    @property
    def dtype(self) -> DType:
        return self.buffer.dtype.with_lanes(_lanes(self.indices))

    def check(self) -> None:
        _check_access(self.buffer, self.indices)


class Stmt(Node):
    """A statement of the loop IR."""


class Seq(Stmt):
    stmts: tuple[Stmt, ...]

    def check(self) -> None:
        if any(isinstance(stmt, Seq) for stmt in self.stmts):
            raise IRError("a sequence directly inside a sequence; build it with seq()")


class For(Stmt):
    """`for var in 0 … extent-1`; `parallel` splits over threads, `vectorized` over lanes."""

    var: Var
    extent: Expr
    body: Stmt
    kind: LoopKind = "serial"
    annotations: tuple[tuple[str, Attr], ...] = ()

    def check(self) -> None:
        if self.kind not in ("serial", "parallel", "vectorized", "unrolled"):
            raise IRError(f"loop {self.var.name}{self.var.ordinal} has unknown kind '{self.kind}'")
        if self.extent.dtype != self.var.dtype:
            raise IRError(f"loop {self.var.name}{self.var.ordinal}: extent {self.extent.dtype}")


class BlockIter(Node):
    """An iterator of a block: takes 0 … extent-1.

    `spatial` instances are independent, `reduce` ones combine into the same output and may be
    reordered, `ordered` ones must run in increasing order.
    """

    var: Var
    extent: Expr
    kind: IterKind = "spatial"


class Block(Stmt):
    """A computation over its iterators, placed in loops by `bindings`.

    `init` runs before the body of the first instance along the reduce iterators. `predicate`
    (over the loops) says which bindings are instances at all.
    """

    label: str
    iters: tuple[BlockIter, ...]
    bindings: tuple[Expr, ...]
    body: Stmt
    init: Stmt | None = None
    predicate: Expr | None = None
    annotations: tuple[tuple[str, Attr], ...] = ()

    def check(self) -> None:
        if len(self.iters) != len(self.bindings):
            raise IRError(f"block '{self.label}' has {len(self.bindings)} bindings for its iters")
        if self.predicate is not None and self.predicate.dtype != BOOL:
            raise IRError(f"block '{self.label}' has a predicate of type {self.predicate.dtype}")


class Store(Stmt):
    """`buffer[indices] = value`; a vector value needs a vector index in one place."""

    buffer: Buffer
    indices: tuple[Expr, ...]
    value: Expr

    def check(self) -> None:
        _check_access(self.buffer, self.indices)
        wanted = self.buffer.dtype.with_lanes(_lanes(self.indices))
        if self.value.dtype != wanted:
            raise IRError(f"store of {self.value.dtype} where '{self.buffer.name}' takes {wanted}")


class If(Stmt):
    cond: Expr
    then: Stmt
    other: Stmt | None = None


class Launch(Stmt):
    """A host program's call of a kernel: values for its dims, buffers for its params, in order."""

    kernel: str
    dims: tuple[Expr, ...]
    buffers: tuple[Buffer, ...]


class Barrier(Stmt):
    """All threads of a host program wait for each other, and see each other's stores."""


class Function(Node):
    """A kernel or a host program. `params` that it never stores to are read-only.

    `dims` are its symbolic dimensions in calling order; `allocs` its temporaries. Host programs
    have attr ("kind", "host"); their global allocs are placed in the arena by the memory plan.
    """

    name: str
    dims: tuple[Dim, ...]
    params: tuple[Buffer, ...]
    allocs: tuple[Buffer, ...]
    body: Stmt
    attrs: tuple[tuple[str, Attr], ...] = ()


def seq(*stmts: Stmt | None) -> Stmt:
    """The statements one after the other, flattened; a single one stays itself."""
    flat: list[Stmt] = []
    for stmt in stmts:
        if isinstance(stmt, Seq):
            flat.extend(stmt.stmts)
        elif stmt is not None:
            flat.append(stmt)
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def _lanes(indices: tuple[Expr, ...]) -> int:
    return max([i.dtype.lanes for i in indices], default=1)


def _check_access(buffer: Buffer, indices: tuple[Expr, ...]) -> None:
    name = f"{buffer.name}{buffer.ordinal}"
    if len(indices) != len(buffer.shape):
        raise IRError(f"'{name}' has {len(buffer.shape)} axes but is accessed by {len(indices)}")
    if sum(i.dtype.lanes > 1 for i in indices) > 1:
        raise IRError(f"'{name}' is accessed by more than one vector index")
    for i in indices:
        if i.dtype.scalar != INDEX and not isinstance(i, Ramp):
            raise IRError(f"'{name}' is accessed by an index of type {i.dtype}")
