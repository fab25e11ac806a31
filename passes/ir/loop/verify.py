"""Checks that loop functions are well formed; errors show the statement in the program's text."""

from __future__ import annotations

from passes.ir import expr as ir
from passes.ir.arith.symbols import dims_of, free_vars
from passes.ir.dtypes import INDEX
from passes.ir.expr import Binary, Const, Dim, Expr, Var
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.declarations import Declarations
from passes.ir.loop.nodes import (
    BLOCK_AXES,
    CONCURRENT,
    PLACES,
    THREAD_AXES,
    AsyncGroup,
    AsyncWait,
    Barrier,
    Block,
    Buffer,
    For,
    Function,
    If,
    Kernel,
    Launch,
    Load,
    Multiple,
    Scope,
    Seq,
    Stmt,
    Store,
    Update,
    View,
    While,
)
from passes.ir.loop.traverse import in_text_order, loaded_in, resolved, stored_in, views_in
from passes.ir.node import IRError, postorder

_NO_COPIES = (Update, While, AsyncWait, Launch, Barrier)
_GRID: tuple[str, ...] = (*BLOCK_AXES, *THREAD_AXES)
_OF_ALL: dict[str, tuple[Scope, ...]] = {
    **dict.fromkeys(["parallel", *BLOCK_AXES], ("global",)),
    **dict.fromkeys(THREAD_AXES, ("global", "shared")),
}
"""What the iterations of a loop have in common (a warp as a whole works on its own scopes)."""


def verify(function: Function) -> None:
    """Raises `IRError` at the first rule of the loop IR that the function breaks.

    Names: variables, buffers and labels are bound once and used where they are bound; a block's
    body speaks of its own iterators and of dims only. Types: of indices, conditions, calls.
    Blocks: spatial iterators index what is stored (but for what only the block itself uses),
    reduce iterators do not, nor does an init use them. Combiners speak of their parameters and of
    dims. Threads: no store of a parallel loop hits one place in all iterations; barriers are
    outside parallel loops, thread loops and blocks; only host programs launch kernels, those that
    they have, if they have any.
    Asynchronous copies: groups store and compute nothing, waits name what their queue's groups
    store to.
    """
    _Verifier(function).run()


def verify_lowered(function: Function) -> None:
    """Raises `IRError` unless the function is well formed and ready for emission.

    That is: no blocks, no loops but serial and parallel ones, every buffer flat, and those of
    scope local or register of constant size. Of a host program, its kernels are.
    """
    verify(function)
    if function.kernels:
        for kernel in function.kernels:
            verify_lowered(kernel.function)
        return
    for buffer in (*function.params, *function.allocs):
        fixed = all(isinstance(extent, Const) for extent in buffer.shape)
        if len(buffer.shape) != 1 or (buffer.scope != "global" and not fixed):
            raise IRError(
                f"function '{function.name}': {buffer.scope} buffer {name_of(buffer)} of shape"
                f" [{', '.join([print_expr(e) for e in buffer.shape])}] is not lowered;"
                " it needs one axis, and a constant size unless it is global"
            )
    checker = _Verifier(function)
    for stmt in in_text_order(function.body):
        checker.number += not isinstance(stmt, Seq)
        match stmt:
            case Block(label):
                checker.fail("is still a block after lowering", f'"{label}"')
            case For(var, kind=kind) if kind not in ("serial", "parallel"):
                checker.fail(f"is a loop still {kind} after lowering", name_of(var))
            case Update(_, _, combiner):
                checker.fail("still updates a tuple after lowering", combiner.name)
            case AsyncGroup(queue) | AsyncWait(queue):
                checker.fail("is still asynchronous after lowering", f'"{queue}"')


class _Verifier(Declarations):
    def __init__(self, function: Function) -> None:
        super().__init__(function)
        self.labels: list[str] = []
        self.concurrent: list[For] = []
        self.group: AsyncGroup | None = None
        self.guards: frozenset[Var] = frozenset()
        self.thread_guards = 0
        self.host = ("kind", "host") in function.attrs

    def run(self) -> None:
        self.signature()
        names = [kernel.function.name for kernel in self.function.kernels]
        for kernel in self.function.kernels:
            self.kernel(kernel)
            if not self.host or names.count(kernel.function.name) > 1:
                self.fail(
                    "is a kernel; each has a name of its own, in a host program (attribute"
                    ' kind="host")',
                    kernel.function.name,
                )
        self.stmt(self.function.body)

    def kernel(self, kernel: Kernel) -> None:
        """Its sizes are known before it is launched, its place comes last among its dims."""
        function, place = kernel.function, kernel.place
        _Verifier(function).run()
        given = function.dims[: len(function.dims) - len(place)]
        axes = [dim.name for dim in place]
        if (*given, *place) != function.dims or axes != [a for a in PLACES.values() if a in axes]:
            self.fail(
                f"has the dims {', '.join(dim.name for dim in function.dims)}; its place in the"
                f" grid comes last, in the order {', '.join(PLACES.values())}",
                function.name,
            )
        for e in (*kernel.grid, *kernel.threads):
            known = all(isinstance(n, Dim | Const | Binary) for n in postorder(e))
            if not known or not dims_of(e) <= set(given) or e.dtype != INDEX:
                self.fail("is a size of a grid; it speaks of the dims of its launch only", e)

    def launch(self, stmt: Launch) -> None:
        name = f'"{stmt.kernel}"'
        if not self.host:
            self.fail(
                "is launched by a kernel; only host programs launch kernels, those with"
                ' the attribute kind="host"',
                name,
            )
        for e in stmt.dims:
            self.expr(e)
        for buffer in stmt.buffers:
            self.known(buffer)
        found = [k for k in self.function.kernels if k.function.name == stmt.kernel]
        if self.function.kernels and not found:
            self.fail("is launched, but is not among the kernels", name)
        for kernel in found:
            dims = len(kernel.function.dims) - len(kernel.place)
            params = len(kernel.function.params)
            if (len(stmt.dims), len(stmt.buffers)) != (dims, params):
                self.fail(f"takes {dims} dims and {params} buffers", name)

    def stmt(self, stmt: Stmt) -> None:
        if isinstance(stmt, Seq):
            for inner in stmt.stmts:
                self.stmt(inner)
            return
        self.number += 1
        if self.group is not None and isinstance(stmt, _NO_COPIES):
            self.fail(f"holds a statement that is no copy ({type(stmt).__name__})", "async_group")
        match stmt:
            case For():
                self.loop(stmt)
            case Block():
                self.block(stmt)
            case If():
                self.branch(stmt)
            case While(cond, body):
                self.condition(cond)
                self.stmt(body)
            case Store():
                self.store(Load(stmt.buffer, stmt.indices))
                self.expr(stmt.value)
            case Update():
                self.update(stmt)
            case AsyncGroup():
                self.async_group(stmt)
            case AsyncWait():
                self.async_wait(stmt)
            case Launch():
                self.launch(stmt)
            case Barrier():
                inside = self.divided()
                if inside or self.blocks:
                    inside = "block" if self.blocks else inside
                    self.fail(f"inside a {inside}: threads would wait for ever", "barrier()")
            case _:
                self.fail(f"{type(stmt).__name__} is not a statement of the loop IR")

    def loop(self, stmt: For) -> None:
        self.expr(stmt.extent)
        if not stmt.extent.dtype.is_int or stmt.extent.dtype.lanes != 1:
            self.fail(f"is the extent of a loop but has type {stmt.extent.dtype}", stmt.extent)
        self.annotations(stmt.annotations)
        own = [multiple.var for multiple in stmt.multiples]
        for multiple in stmt.multiples:
            self.step(multiple)
        for var in (stmt.var, *own):
            self.bind(var)
            self.scope[var] = frozenset((stmt.var,))
        if stmt.kind in _GRID:
            self.grid(stmt)
        splits = stmt.kind in CONCURRENT and not (
            isinstance(stmt.extent, Const) and stmt.extent.value <= 1
        )
        if splits:
            self.concurrent.append(stmt)
        self.stmt(stmt.body)
        if splits:
            self.concurrent.pop()
        for var in (stmt.var, *own):
            del self.scope[var]

    def step(self, multiple: Multiple) -> None:
        """It is the same wherever the loop runs."""
        self.expr(multiple.step)
        if not all(isinstance(e, Dim | Const | Binary) for e in postorder(multiple.step)):
            self.fail("is the step of a multiple; it speaks of dims only", multiple.step)

    def grid(self, stmt: For) -> None:
        """A loop bound to threads is inside those bound to blocks, and alone on its axis."""
        for outer in self.concurrent:
            if outer.kind == stmt.kind or (stmt.kind in BLOCK_AXES and outer.kind in THREAD_AXES):
                self.fail(
                    f"is bound to {stmt.kind} inside {name_of(outer.var)}, which is bound to"
                    f" {outer.kind}; each axis once, those of blocks outside",
                    name_of(stmt.var),
                )

    def divided(self) -> str:
        """The kind of loop around here whose iterations are not one team; empty if none is."""
        kinds = [loop.kind for loop in self.concurrent if loop.kind not in BLOCK_AXES]
        return ("thread loop" if kinds[0] in THREAD_AXES else "parallel loop") if kinds else ""

    def threaded(self) -> bool:
        """Whether threads of a block run here, each an iteration of a loop: they copy together."""
        return any(loop.kind in THREAD_AXES for loop in self.concurrent)

    def branch(self, stmt: If) -> None:
        self.condition(stmt.cond)
        before, threads = self.guards, self.thread_guards
        self.guard(stmt.cond)
        self.stmt(stmt.then)
        if stmt.other is not None:
            self.stmt(stmt.other)
        self.guards, self.thread_guards = before, threads

    def guard(self, cond: Expr) -> None:
        """What is inside may run for one iteration (or thread) only."""
        self.guards |= self.depends(cond)
        self.thread_guards += any(
            isinstance(n, ir.Call) and n.name == "thread_id" for n in postorder(cond)
        )

    def depends(self, *exprs: Expr) -> frozenset[Var]:
        found: frozenset[Var] = frozenset()
        for e in exprs:
            for var in free_vars(e):
                found |= self.scope.get(var, frozenset())
        return found

    def block(self, stmt: Block) -> None:
        self.blocks.append(stmt)
        if stmt.label in self.labels:
            self.fail("is the label of two blocks; labels are unique", f'"{stmt.label}"')
        self.labels.append(stmt.label)
        self.annotations(stmt.annotations)
        guards, threads = self.guards, self.thread_guards
        if stmt.predicate is not None:
            self.condition(stmt.predicate)
            self.guard(stmt.predicate)
        for it, binding in zip(stmt.iters, stmt.bindings, strict=True):
            self.expr(binding)
            if not it.var.dtype == it.extent.dtype == binding.dtype or not it.var.dtype.is_int:
                self.fail(
                    f"has type {it.var.dtype}, its extent {it.extent.dtype},"
                    f" its binding {binding.dtype}",
                    name_of(it.var),
                )
        depends = [self.depends(binding) for binding in stmt.bindings]
        for it, roots in zip(stmt.iters, depends, strict=True):
            split = [loop for loop in self.concurrent if loop.var in roots]
            if it.kind != "spatial" and split:
                loop = min(name_of(one.var) for one in split)
                article = "an" if it.kind in ("ordered", "opaque") else "a"
                self.fail(
                    f"is {article} {it.kind} iterator bound to parallel loop {loop}, whose"
                    " iterations run at the same time; make the loop serial",
                    name_of(it.var),
                )
        outer, self.scope = self.scope, {}
        for it, roots in zip(stmt.iters, depends, strict=True):
            self.expr(it.extent)
            self.bind(it.var)
            self.scope[it.var] = roots | {it.var}
        for view in stmt.views:
            self.view(view)
        if stmt.init is not None:
            whole = self.scope
            reduce = {it.var for it in stmt.iters if it.kind == "reduce"}
            self.scope = {var: roots for var, roots in whole.items() if var not in reduce}
            self.stmt(stmt.init)
            self.scope = whole
        self.stmt(stmt.body)
        self.scope, self.guards, self.thread_guards = outer, guards, threads
        for view in stmt.views:
            del self.views[view.buffer], self.behind[view.buffer]
            self.buffers.remove(view.buffer)
        self.blocks.pop()

    def view(self, view: View) -> None:
        self.expr(view.source)
        self.bind(view.buffer)
        self.sizes(view.buffer)
        self.buffers.add(view.buffer)
        self.views[view.buffer] = view
        source = self.behind.get(view.source.buffer, frozenset())
        self.behind[view.buffer] = free_vars(view.source) | source

    def update(self, stmt: Update) -> None:
        for target in stmt.targets:
            self.store(target)
        for value in stmt.operands:
            self.expr(value)
        for number, target in enumerate(stmt.targets):
            if target in stmt.targets[:number]:
                self.fail("is stored to twice at the same time", target)

    def async_group(self, stmt: AsyncGroup) -> None:
        inside = self.threaded()
        if self.group is not None or inside:
            place = "a thread loop; put the loop inside the group" if inside else "another group"
            self.fail(f"is a group of copies inside {place}", f'"{stmt.queue}"')
        self.group = stmt
        self.stmt(stmt.body)
        self.group = None
        again = loaded_in(stmt.body) & stored_in(stmt.body)
        if again:
            self.fail(
                "is read by the group of copies that stores to it; it holds nothing yet",
                min(name_of(b) for b in again),
            )

    def async_wait(self, stmt: AsyncWait) -> None:
        queue = f'"{stmt.queue}"'
        if self.threaded():
            self.fail("is waited for in a thread loop; wait outside it, for all iterations", queue)
        self.expr(stmt.pending)
        if stmt.pending.dtype != INDEX:
            self.fail(f"is a number of groups but has type {stmt.pending.dtype}", stmt.pending)
        groups = [s for s in in_text_order(self.function.body) if isinstance(s, AsyncGroup)]
        copied = [b for s in groups if s.queue == stmt.queue for b in stored_in(s.body)]
        landing = set(copied) - set(views_in(self.function.body))
        if set(stmt.buffers) != landing or len(stmt.buffers) != len(landing):
            names = ", ".join(sorted([name_of(b) for b in landing]))
            self.fail(f"has groups of copies to [{names}], which its waits name", queue)

    def is_scratch(self, buffer: Buffer, block: Block) -> bool:
        """Whether nothing outside the block has to do with the buffer: each instance uses it for
        itself."""
        return buffer in self.function.allocs and buffer not in _used(self.function.body, block)

    def store(self, place: Load) -> None:
        """Checks where something is stored to."""
        self.expr(place)
        into = resolved(place, self.views)
        indexing = self.depends(*into.indices)
        for block in self.blocks:
            for it in block.iters:
                single = isinstance(it.extent, Const) and it.extent.value == 1
                reduced = it.kind == "reduce" and it.var in indexing
                missing = it.kind == "spatial" and it.var not in indexing and not single
                if (reduced or missing) and self.is_scratch(into.buffer, block):
                    continue
                if reduced:
                    self.fail(
                        f"is stored to at reduce iterator {name_of(it.var)}, whose instances all"
                        " combine into one place; make the iterator spatial",
                        place,
                    )
                if missing:
                    self.fail(
                        f"is stored to by all instances of spatial iterator {name_of(it.var)};"
                        " index with it, or make it a reduce iterator",
                        place,
                    )
        if self.thread_guards:
            return
        for loop in self.concurrent:
            shared = into.buffer.scope in _OF_ALL[loop.kind]
            if shared and loop.var not in indexing | self.guards:
                self.fail(
                    f"is stored to by all iterations of parallel loop {name_of(loop.var)};"
                    " make the loop serial, or store to a place for each iteration",
                    place,
                )


def _used(stmt: Stmt, without: Block) -> frozenset[Buffer]:
    """The buffers that a statement speaks of, but for one block in it."""
    if stmt is without:
        return frozenset()
    found = [_used(c, without) for c in stmt.children if isinstance(c, Stmt)]
    parts = [c for c in stmt.children if not isinstance(c, Stmt)]
    mine = frozenset(n for n in postorder(*parts) if isinstance(n, Buffer))
    return mine.union(*found)
