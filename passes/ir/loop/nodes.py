"""Loop IR: programs over buffers, scheduled by rewriting.

    function ::= Function(name, dims, params, allocs, body, attrs, kernels)
    kernel   ::= Kernel(function, grid, threads, place)            (of host programs only)
    s        ::= Seq(stmts) | For(var, extent, body, kind, multiples) | While(cond, body)
               | If(cond, then, other?)
               | Block(label, iters, bindings, body, init?, predicate?, views)
               | Store(buffer, indices, value) | Update(targets, operands, combiner)
               | AsyncGroup(queue, body) | AsyncWait(queue, pending, buffers)
               | Launch(kernel, dims, buffers)                         (host programs only)
               | Barrier()
    e        ::= … | Load(buffer, indices)

A loop runs var = 0 … extent-1; an extent may read memory. A block is the unit of scheduling: its
body speaks of its own iterators only (and of dims), the bindings say which values the loops around
give them. What a block reads and writes is derived from its body, never stored. Variables, buffers
and block labels are bound once in a function. In a kernel, what is outside any parallel loop runs
once.

Reductions over tuples (argmax, streaming softmax) are updates by a combiner with an identity:

    @combiner(f32("-inf"), f32(0.0))
    def online(m3: f32, s4: f32, n5: f32, t6: f32):
        return max(m3, n5), s4*exp(m3 - max(m3, n5)) + t6*exp(n5 - max(m3, n5))
    …
    top1[i], total2[i] = online(top1[i], total2[i], x0[i, k], f32(1.0))

Asynchronous copies: the stores of a group are on their way until a wait lets them land. A wait
names a queue, the number of its latest groups that may still be on their way, and the buffers
whose elements land there.

    with async_group("k"):                      one group of the queue "k"
        for i in range(16):
            s2[i] = x0[i]
    async_wait("k", 0, [s2])                    until then, s2[i] is NaN
    y1[0] = s2[0]

A copy lands at the last moment its waits allow (never, if nothing waits), and what it copies must
stay as it is until then. A queue belongs to an iteration of the innermost parallel loop, or to the
thread block, around: each has groups of its own, and waits for them alone. The threads of a block
issue a group together: their loops are inside it.

A loop bound to `thread.x` runs an iteration on each thread of a block, one bound to `block.x` on
each block of a grid: the text is one thread block's program in which every thread loop is over
before the next one starts. A barrier between two of them is where the threads meet.

A host program has the kernels that it launches on a device with it:

    @kernel(kind="host")
    def twice(x0: f32[n], *, n: dim[64, 4096]):
        @device(grid=[n//64, 1, 1], threads=[64, 1, 1], place=[block_x])
        @kernel(kind="device")
        def twice_0(x0: f32[n], *, n: dim[64, 4096], block_x: dim[0, 63]):
            x0[block_x*64 + thread_id()] = x0[block_x*64 + thread_id()]*f32(2.0)
        launch("twice_0", [n], [x0])

Multiples of a loop's variable have names of their own, where they are counted along with it:

    for k3, p4 in multiples(range(8), n*16):    p4 is k3*(n*16)
        y1[k3] = x0[p4]
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from passes.ir.dtypes import BOOL
from passes.ir.expr import Dim, Expr, Var
from passes.ir.loop.buffers import IN_REGISTERS as IN_REGISTERS
from passes.ir.loop.buffers import Buffer as Buffer
from passes.ir.loop.buffers import Load as Load
from passes.ir.loop.buffers import Scope as Scope
from passes.ir.loop.buffers import View as View
from passes.ir.loop.buffers import check_access, lanes_of
from passes.ir.node import IRError, Node

Attr: TypeAlias = "int | str | bool | float"
BlockAxis = Literal["block.x", "block.y", "block.z"]
ThreadAxis = Literal["thread.x", "thread.y", "thread.z"]
LoopKind = Literal["serial", "parallel", "vectorized", "unrolled", BlockAxis, ThreadAxis]
IterKind = Literal["spatial", "reduce", "ordered", "opaque"]

BLOCK_AXES: tuple[BlockAxis, ...] = get_args(BlockAxis)
THREAD_AXES: tuple[ThreadAxis, ...] = get_args(ThreadAxis)
PLACES: dict[str, str] = {axis: axis.replace(".", "_") for axis in BLOCK_AXES}
"""The dims that say where in its grid a block is, by axis."""
CONCURRENT: frozenset[str] = frozenset(["parallel", *BLOCK_AXES, *THREAD_AXES])
"""Kinds of loops whose iterations run at the same time."""
_KINDS: frozenset[str] = CONCURRENT | {"serial", "vectorized", "unrolled"}


class Stmt(Node):
    """A statement of the loop IR."""


class Seq(Stmt):
    stmts: tuple[Stmt, ...]

    def check(self) -> None:
        if any(isinstance(stmt, Seq) for stmt in self.stmts):
            raise IRError("a sequence directly inside a sequence; build it with seq()")


class Multiple(Node):
    """`var` stands for a loop's variable times `step`, which speaks of dims only."""

    var: Var
    step: Expr


class For(Stmt):
    """`for var in 0 … extent-1`; `parallel` splits over threads, `vectorized` over lanes.

    `block.x` … `thread.z` bind the iterations to the blocks of a grid and their threads.
    `multiples` of the variable go up by their step from one iteration to the next.
    """

    var: Var
    extent: Expr
    body: Stmt
    kind: LoopKind = "serial"
    annotations: tuple[tuple[str, Attr], ...] = ()
    multiples: tuple[Multiple, ...] = ()

    def check(self) -> None:
        if self.kind not in _KINDS:
            raise IRError(f"loop {self.var.name}{self.var.ordinal} has unknown kind '{self.kind}'")
        others = [e.dtype for m in self.multiples for e in (m.var, m.step)]
        for other in (self.extent.dtype, *others):
            if other != self.var.dtype:
                raise IRError(
                    f"loop {self.var.name}{self.var.ordinal} counts in {self.var.dtype}, but its"
                    f" extent or a multiple is of type {other}"
                )


class While(Stmt):
    """`body` again and again, as long as `cond` holds before it; `cond` reads memory."""

    cond: Expr
    body: Stmt


class BlockIter(Node):
    """An iterator of a block: takes 0 … extent-1.

    `spatial` instances are independent, `reduce` ones combine into the same output and may be
    reordered, `ordered` ones must run in increasing order. Of `opaque` ones nothing is known:
    all of them run, in the order of the loops.
    """

    var: Var
    extent: Expr
    kind: IterKind = "spatial"


class Block(Stmt):
    """A computation over its iterators, placed in loops by `bindings`.

    `init` runs before the body of the first instance along the reduce iterators. `predicate`
    (over the loops) says which bindings are instances at all. `views` name regions of buffers
    for the init and the body; a later view may be of an earlier one.
    """

    label: str
    iters: tuple[BlockIter, ...]
    bindings: tuple[Expr, ...]
    body: Stmt
    init: Stmt | None = None
    predicate: Expr | None = None
    annotations: tuple[tuple[str, Attr], ...] = ()
    views: tuple[View, ...] = ()

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
        check_access(self.buffer, self.indices)
        wanted = self.buffer.dtype.with_lanes(lanes_of(self.indices))
        if self.value.dtype != wanted:
            raise IRError(f"store of {self.value.dtype} where '{self.buffer.name}' takes {wanted}")


class TupleCombiner(Node):
    """How a reduction of tuples combines two of them: `left` and `right` give `results`.

    It is associative and commutative (but for rounding), and `identity` combined with any tuple
    gives that tuple. Results speak of `left`, `right` and dims only. Text shows it as a function
    `name` before the body of the program; updates of a function may share it.
    """

    left: tuple[Var, ...]
    right: tuple[Var, ...]
    results: tuple[Expr, ...]
    identity: tuple[Expr, ...]
    name: str = "combine"

    @property
    def params(self) -> tuple[Var, ...]:
        """The variables that it binds."""
        return self.left + self.right

    def check(self) -> None:
        types = [e.dtype for e in self.left]
        others = [[e.dtype for e in part] for part in (self.right, self.results, self.identity)]
        if not types or any(part != types for part in others):
            raise IRError(
                f"combiner '{self.name}' takes, gives and starts with different types:"
                f" {_types(self.left)}, {_types(self.right)}, {_types(self.results)},"
                f" {_types(self.identity)}"
            )
        if any(t.lanes != 1 for t in types) or len(set(self.params)) != 2 * len(types):
            raise IRError(f"combiner '{self.name}' needs different scalars as its parameters")


class Update(Stmt):
    """`targets = combiner(targets, operands)`: all is evaluated before anything is stored.

    The body of a block that reduces tuples; its init stores the identities.
    """

    targets: tuple[Load, ...]
    operands: tuple[Expr, ...]
    combiner: TupleCombiner

    def check(self) -> None:
        if not all(isinstance(target, Load) for target in self.targets):
            raise IRError("an update has targets that are not elements of buffers")
        wanted = _types(self.combiner.left)
        for what, given in (("targets", self.targets), ("operands", self.operands)):
            if _types(given) != wanted:
                name = self.combiner.name
                raise IRError(f"combiner '{name}' takes {wanted}, not {what} {_types(given)}")


class If(Stmt):
    cond: Expr
    then: Stmt
    other: Stmt | None = None


class AsyncGroup(Stmt):
    """A group of copies of `queue`: the stores in `body` land when a wait of the queue lets them.

    The body computes nothing: it reads none of the buffers it stores to.
    """

    queue: str
    body: Stmt


class AsyncWait(Stmt):
    """Waits until all but the latest `pending` groups of `queue` have landed.

    `buffers` are those that groups of the queue store to: here their elements come to be.
    """

    queue: str
    pending: Expr
    buffers: tuple[Buffer, ...]


class Launch(Stmt):
    """A host program's call of a kernel: values for its dims, buffers for its params, in order.

    The dims that say which block of the grid it is are not among them.
    """

    kernel: str
    dims: tuple[Expr, ...]
    buffers: tuple[Buffer, ...]


class Barrier(Stmt):
    """All threads of a program wait for each other, and see each other's stores.

    Inside a loop bound to blocks, the threads of one block do.
    """


class Kernel(Node):
    """What runs on a device: `function` on each of `threads` (along x, y and z) of each block of a
    `grid`, both in terms of the function's dims.

    The function's last dims, those of `place`, are the block's place in the grid, along the axes in
    their names (`block_x`, …); `thread_id()` is the thread's number in its block, x first.
    """

    function: Function
    grid: tuple[Expr, Expr, Expr]
    threads: tuple[Expr, Expr, Expr]
    place: tuple[Dim, ...]


class Function(Node):
    """A kernel or a host program. `params` that it never stores to are read-only.

    `dims` are its symbolic dimensions in calling order; `allocs` its temporaries. Host programs
    have attr ("kind", "host"); their global allocs are placed in the arena by the memory plan, and
    `kernels` are those that they launch on a device. Kernels for the processor that the host
    program runs on too stand beside it.
    """

    name: str
    dims: tuple[Dim, ...]
    params: tuple[Buffer, ...]
    allocs: tuple[Buffer, ...]
    body: Stmt
    attrs: tuple[tuple[str, Attr], ...] = ()
    kernels: tuple[Kernel, ...] = ()


def seq(*stmts: Stmt | None) -> Stmt:
    """The statements one after the other, flattened; a single one stays itself."""
    flat: list[Stmt] = []
    for stmt in stmts:
        if isinstance(stmt, Seq):
            flat.extend(stmt.stmts)
        elif stmt is not None:
            flat.append(stmt)
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def _types(items: tuple[Expr, ...]) -> str:
    return f"({', '.join([str(e.dtype) for e in items])})"
