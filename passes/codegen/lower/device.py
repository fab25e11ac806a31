"""A function with thread blocks becomes a host program with the kernels that it launches.

    for b2 in block.x(n//64):                  @device(grid=[n//64, 1, 1], threads=[64, 1, 1], …)
        for t3 in thread.x(64):          →     def f_0(…, *, n, block_x):
            y1[b2*64 + t3] = …                     y1[block_x*64 + thread_id()] = …
                                               launch("f_0", [n], […, y1])

Each nest of loops over blocks is a kernel, whose function is that of one thread (see `threads`); a
dim of its own tells it which block it is in. What stands outside is a kernel of a single block.
Temporaries that all threads see stay with the host and become parameters; those of scope `shared`
belong to a block. A function without thread blocks stays as it is. Exact.
"""

from __future__ import annotations

from collections.abc import Mapping

from passes.codegen.lower.threads import one_thread
from passes.ir.arith import free_vars, substitute, upper_bound
from passes.ir.expr import Dim, Expr, Var, const
from passes.ir.loop.nodes import (
    BLOCK_AXES,
    PLACES,
    Block,
    Buffer,
    For,
    Function,
    If,
    Kernel,
    Launch,
    Load,
    Seq,
    Stmt,
    seq,
)
from passes.ir.loop.traverse import loaded_in, stored_in
from passes.ir.node import IRError, Node, postorder, rewrite

_FAR = 1 << 31


def split_device(function: Function) -> Function:
    """The host program of a function without blocks (of the loop IR), with its kernels.

    Raises IRError for what a grid of thread blocks cannot run.
    """
    nodes = postorder(function.body)
    if not any(_is_grid(node) for node in nodes):
        return function
    if any(isinstance(node, Block) for node in nodes):
        raise IRError(f"'{function.name}': the host/device split comes after the pass 'blocks'")
    splitter = _Splitter(function)
    body = splitter.host(function.body, {})
    allocs = tuple([buffer for buffer in function.allocs if buffer.scope == "global"])
    attrs = (*function.attrs, ("kind", "host"))
    kernels = tuple(splitter.kernels)
    return function.replace(body=body, allocs=allocs, attrs=attrs, kernels=kernels)


def _is_grid(node: Node) -> bool:
    return isinstance(node, For) and node.kind in BLOCK_AXES


class _Splitter:
    def __init__(self, function: Function) -> None:
        self.function = function
        self.kernels: list[Kernel] = []
        self._owner: dict[Buffer, str] = {}

    def refuse(self, reason: str) -> IRError:
        return IRError(f"'{self.function.name}': {reason}")

    def host(self, stmt: Stmt, loops: Mapping[Var, Dim]) -> Stmt:
        """The statement as the host runs it; `loops` are the dims that stand for host loops."""
        if not any(_is_grid(node) for node in postorder(stmt)) or _is_grid(stmt):
            return self._launch(stmt, loops)
        if isinstance(stmt, Seq):
            return seq(*[self.host(part, loops) for part in self._grouped(stmt)])
        exprs = [child for child in stmt.children if isinstance(child, Expr)]
        if any(isinstance(node, Load) for node in postorder(*exprs)):
            raise self.refuse(
                "a loop or condition around thread blocks reads memory; the host cannot"
            )
        if isinstance(stmt, For):
            hi = upper_bound(stmt.extent)
            inside = {**loops, stmt.var: _dim(f"{stmt.var.name}{stmt.var.ordinal}", hi)}
            return stmt.replace(kind="serial", body=self.host(stmt.body, inside))
        if isinstance(stmt, If):
            other = None if stmt.other is None else self.host(stmt.other, loops)
            return If(stmt.cond, self.host(stmt.then, loops), other)
        raise self.refuse(f"a {type(stmt).__name__} statement around thread blocks")

    def _grouped(self, stmt: Seq) -> list[Stmt]:
        """Neighbours without thread blocks taken together."""
        groups: list[Stmt] = []
        plain = False
        for part in stmt.stmts:
            alone = not any(_is_grid(node) for node in postorder(part))
            if alone and plain:
                groups[-1] = seq(groups[-1], part)
            else:
                groups.append(part)
            plain = alone
        return groups

    def _launch(self, stmt: Stmt, loops: Mapping[Var, Dim]) -> Stmt:
        name = f"{self.function.name}_{len(self.kernels)}"
        values: dict[Var, Expr] = {var: dim for var, dim in loops.items() if var in free_vars(stmt)}
        given = [*self.function.dims, *values]
        places: dict[str, tuple[Dim, Expr]] = {}
        body = stmt
        while isinstance(body, For) and body.kind in BLOCK_AXES:
            extent = substitute(body.extent, values)
            if free_vars(extent) or any(isinstance(n, Load) for n in postorder(extent)):
                raise self.refuse(
                    "how many thread blocks there are must be known before the kernel runs"
                )
            dim = _dim(PLACES[body.kind], upper_bound(extent))
            places[body.kind] = (dim, extent)
            values[body.var] = dim
            body = body.body
        if any(_is_grid(node) for node in postorder(body)):
            raise self.refuse("loops over thread blocks must be directly inside each other")
        program = one_thread(rewrite(substitute(body, values), _serial), self.refuse)
        shared = loaded_in(program.body) | stored_in(program.body)
        buffers = [
            buffer
            for buffer in (*self.function.params, *self.function.allocs)
            if buffer.scope == "global" and buffer in shared
        ]
        self._claim(loaded_in(stmt) | stored_in(stmt), name)
        allocs = [
            program.private.get(buffer, buffer)
            for buffer in self.function.allocs
            if buffer in program.private or (buffer.scope == "shared" and buffer in shared)
        ]
        indices = tuple([places[axis][0] for axis in BLOCK_AXES if axis in places])
        own = tuple([values[v] if isinstance(v, Var) else v for v in given])
        dims = tuple([dim for dim in own if isinstance(dim, Dim)])
        attrs = (*self.function.attrs, ("kind", "device"))
        made = Function(name, (*dims, *indices), tuple(buffers), tuple(allocs), program.body, attrs)
        x, y, z = (places[axis][1] if axis in places else const(1) for axis in BLOCK_AXES)
        self.kernels.append(Kernel(made, (x, y, z), program.threads, indices))
        return Launch(name, tuple(given), tuple(buffers))

    def _claim(self, buffers: frozenset[Buffer], kernel: str) -> None:
        """Raises IRError if a buffer of a block or a thread is used by two kernels."""
        for buffer in sorted(buffers, key=lambda b: b.ordinal):
            if buffer.scope != "global" and self._owner.setdefault(buffer, kernel) != kernel:
                raise self.refuse(
                    f"{buffer.scope} buffer '{buffer.name}{buffer.ordinal}' is used by two kernels,"
                    " and outlives none; give it scope 'global'"
                )


def _serial(node: Node) -> Node | None:
    """Loops that are bound to nothing run in each thread."""
    if isinstance(node, For) and node.kind == "parallel":
        return node.replace(kind="serial")
    return None


def _dim(name: str, extent: int | None) -> Dim:
    return Dim(name, 0, max((_FAR if extent is None else extent) - 1, 0))
