"""Checks that loop functions are well formed; errors show the statement in the program's text."""

from __future__ import annotations

import keyword
import math
from collections.abc import Iterator, Sequence
from typing import NoReturn

from passes.ir import expr as ir
from passes.ir.arith.symbols import dims_of, free_vars
from passes.ir.dtypes import BOOL
from passes.ir.expr import Const, Dim, Expr, Var
from passes.ir.expr_text import name_of, print_expr
from passes.ir.intrinsics import intrinsic
from passes.ir.loop.closures import symbols_of
from passes.ir.loop.nodes import (
    Attr,
    Barrier,
    Block,
    Buffer,
    For,
    Function,
    If,
    Launch,
    Load,
    Seq,
    Stmt,
    Store,
)
from passes.ir.loop.text import Listing, find, window
from passes.ir.node import IRError, Node, postorder

_BITS = ir.BitAnd, ir.BitOr, ir.BitXor
_LOGIC = ir.And, ir.Or, ir.Not
_SHIFTS = ir.Shl, ir.Shr
_SUMS = ir.Add, ir.Sub, ir.Mul


def verify(function: Function) -> None:
    """Raises `IRError` at the first rule of the loop IR that the function breaks.

    Names: variables, buffers and labels are bound once and used where they are bound; a block's
    body speaks of its own iterators and of dims only. Types: of indices, conditions, calls.
    Blocks: spatial iterators index what is stored, reduce iterators do not, nor does an init use
    them. Threads: no store of a parallel loop hits one place in all iterations; barriers are
    outside parallel loops and blocks; only host programs launch kernels.
    """
    _Verifier(function).run()


def verify_lowered(function: Function) -> None:
    """Raises `IRError` unless the function is well formed and ready for emission.

    That is: no blocks, no loops but serial and parallel ones, every buffer flat, and those of
    scope local or register of constant size.
    """
    verify(function)
    for buffer in (*function.params, *function.allocs):
        fixed = all(isinstance(extent, Const) for extent in buffer.shape)
        if len(buffer.shape) != 1 or (buffer.scope != "global" and not fixed):
            raise IRError(
                f"function '{function.name}': {buffer.scope} buffer {name_of(buffer)} of shape"
                f" [{', '.join([print_expr(e) for e in buffer.shape])}] is not lowered;"
                " it needs one axis, and a constant size unless it is global"
            )
    checker = _Verifier(function)
    for checker.number, stmt in enumerate(_in_text_order(function.body)):
        if isinstance(stmt, Block):
            checker.fail("is still a block after lowering", f'"{stmt.label}"')
        if isinstance(stmt, For) and stmt.kind not in ("serial", "parallel"):
            checker.fail(f"is a loop still {stmt.kind} after lowering", name_of(stmt.var))


def _in_text_order(stmt: Stmt) -> Iterator[Stmt]:
    if not isinstance(stmt, Seq):
        yield stmt
    children = (stmt.init, stmt.body) if isinstance(stmt, Block) else stmt.children
    for child in children:
        if isinstance(child, Stmt):
            yield from _in_text_order(child)


class _Verifier:
    def __init__(self, function: Function) -> None:
        self.function = function
        self.buffers = {*function.params, *function.allocs}
        self.dims = frozenset(function.dims)
        self.scope: dict[Var, frozenset[Var]] = {}  # what each visible variable depends on
        self.bound: set[str] = set()
        self.labels: list[str] = []
        self.blocks: list[Block] = []
        self.parallel: list[Var] = []
        self.guards: frozenset[Var] = frozenset()
        self.thread_guards = 0
        self.number = -1  # of the statement being checked
        self.checked: set[Node] = set()
        self.host = ("kind", "host") in function.attrs

    def run(self) -> None:
        self.signature()
        self.stmt(self.function.body)

    # Errors

    def fail(self, message: str, part: Expr | str = "") -> NoReturn:
        """Raises with the statement being checked in its place, `part` of it underlined."""
        listing = Listing(self.function)
        text = part if isinstance(part, str) else print_expr(part)
        line = listing.starts[self.number] if self.number >= 0 else 0
        header = len(self.blocks[-1].iters) + 2 if self.blocks else 0
        for candidate in range(line, min(len(listing.lines), line + 1 + header)):
            if find(listing.lines[candidate], text) >= 0:
                line = candidate
                break
        shown = window(listing.lines, line, text)
        raise IRError(f"{self.place()}: {text + ' ' if text else ''}{message}\n{shown}")

    def place(self) -> str:
        block = f", block '{self.blocks[-1].label}'" if self.blocks else ""
        return f"function '{self.function.name}'{block}"

    def named(self, what: str, name: str) -> None:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise IRError(
                f"function '{self.function.name}': the {what} '{name}' must be a name that is not"
                " a keyword of Python, whose syntax the text has"
            )

    # Signature

    def signature(self) -> None:
        function = self.function
        self.named("function name", function.name)
        names = [dim.name for dim in function.dims]
        for name in names:
            self.named("dim", name)
        if len(set(names)) != len(names):
            raise IRError(f"{self.place()}: two dims have the same name ({', '.join(names)})")
        self.annotations(function.attrs)
        for buffer in (*function.params, *function.allocs):
            self.bind(buffer)
            for e in (*buffer.shape, *(buffer.strides or ())):
                if free_vars(e) or not dims_of(e) <= self.dims or _loads(e):
                    self.fail(
                        f"in the shape of {name_of(buffer)} is not an expression of the"
                        " function's dims; declare them",
                        e,
                    )
        for buffer in function.params:
            if buffer.scope != "global":
                self.fail(
                    f"is a parameter of scope '{buffer.scope}'; parameters are global",
                    name_of(buffer),
                )

    def bind(self, node: Var | Buffer) -> None:
        name = name_of(node)
        if name in self.bound:
            self.fail("is bound twice; every variable and buffer has an ordinal of its own", name)
        self.bound.add(name)

    def annotations(self, items: Sequence[tuple[str, Attr]]) -> None:
        keys = [key for key, _ in items]
        for key, value in items:
            self.named("annotation", key)
            if isinstance(value, float) and not math.isfinite(value):
                raise IRError(f"{self.place()}: annotation {key}={value} is not finite")
        if len(set(keys)) != len(keys):
            raise IRError(f"{self.place()}: an annotation is given twice ({', '.join(keys)})")

    # Statements

    def stmt(self, stmt: Stmt) -> None:
        if isinstance(stmt, Seq):
            for inner in stmt.stmts:
                self.stmt(inner)
            return
        self.number += 1
        match stmt:
            case For():
                self.loop(stmt)
            case Block():
                self.block(stmt)
            case If():
                self.branch(stmt)
            case Store():
                self.store(stmt)
            case Launch(kernel, dims, buffers):
                if not self.host:
                    self.fail(
                        "is launched by a kernel; only host programs launch kernels, those with"
                        ' the attribute kind="host"',
                        f'"{kernel}"',
                    )
                for e in dims:
                    self.expr(e)
                for buffer in buffers:
                    self.known(buffer)
            case Barrier():
                if self.parallel or self.blocks:
                    inside = "block" if self.blocks else "parallel loop"
                    self.fail(f"inside a {inside}: threads would wait for ever", "barrier()")
            case _:
                self.fail(f"{type(stmt).__name__} is not a statement of the loop IR")

    def loop(self, stmt: For) -> None:
        self.expr(stmt.extent)
        if not stmt.extent.dtype.is_int or stmt.extent.dtype.lanes != 1:
            self.fail(f"is the extent of a loop but has type {stmt.extent.dtype}", stmt.extent)
        self.annotations(stmt.annotations)
        self.bind(stmt.var)
        self.scope[stmt.var] = frozenset((stmt.var,))
        splits = stmt.kind == "parallel" and not (
            isinstance(stmt.extent, Const) and stmt.extent.value <= 1
        )
        if splits:
            self.parallel.append(stmt.var)
        self.stmt(stmt.body)
        if splits:
            self.parallel.pop()
        del self.scope[stmt.var]

    def branch(self, stmt: If) -> None:
        self.condition(stmt.cond)
        before, threads = self.guards, self.thread_guards
        self.guard(stmt.cond)
        self.stmt(stmt.then)
        if stmt.other is not None:
            self.stmt(stmt.other)
        self.guards, self.thread_guards = before, threads

    def condition(self, cond: Expr) -> None:
        self.expr(cond)
        if cond.dtype != BOOL:
            self.fail(f"is a condition but has type {cond.dtype}", cond)

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
            if it.kind != "spatial" and (split := roots.intersection(self.parallel)):
                loop = min(name_of(var) for var in split)
                self.fail(
                    f"is a {it.kind} iterator bound to parallel loop {loop}, whose iterations run"
                    " at the same time; make the loop serial",
                    name_of(it.var),
                )
        outer, self.scope = self.scope, {}
        for it, roots in zip(stmt.iters, depends, strict=True):
            self.expr(it.extent)
            self.bind(it.var)
            self.scope[it.var] = roots | {it.var}
        if stmt.init is not None:
            whole = self.scope
            reduce = {it.var for it in stmt.iters if it.kind == "reduce"}
            self.scope = {var: roots for var, roots in whole.items() if var not in reduce}
            self.stmt(stmt.init)
            self.scope = whole
        self.stmt(stmt.body)
        self.scope, self.guards, self.thread_guards = outer, guards, threads
        self.blocks.pop()

    def store(self, stmt: Store) -> None:
        self.known(stmt.buffer)
        place = Load(stmt.buffer, stmt.indices)
        self.expr(place)
        self.expr(stmt.value)
        indexing = self.depends(*stmt.indices)
        for block in self.blocks:
            for it in block.iters:
                single = isinstance(it.extent, Const) and it.extent.value == 1
                if it.kind == "reduce" and it.var in indexing:
                    self.fail(
                        f"is stored to at reduce iterator {name_of(it.var)}, whose instances all"
                        " combine into one place; make the iterator spatial",
                        place,
                    )
                if it.kind == "spatial" and it.var not in indexing and not single:
                    self.fail(
                        f"is stored to by all instances of spatial iterator {name_of(it.var)};"
                        " index with it, or make it a reduce iterator",
                        place,
                    )
        if stmt.buffer.scope == "global" and not self.thread_guards:
            for var in self.parallel:
                if var not in indexing | self.guards:
                    self.fail(
                        f"is stored to by all iterations of parallel loop {name_of(var)};"
                        " make the loop serial, or store to a place for each iteration",
                        place,
                    )

    # Expressions

    def known(self, buffer: Buffer) -> None:
        if buffer not in self.buffers:
            self.fail("is neither a parameter nor an alloc of the function", name_of(buffer))

    def expr(self, e: Expr) -> None:
        """Checks scopes, and the types that the nodes leave open."""
        strangers = [var for var in free_vars(e) if var not in self.scope]
        if strangers:
            name = min(name_of(var) for var in strangers)
            reach = "of its own iterators" if self.blocks else "of the loops around it"
            self.fail(f"is not bound here; what stands here may speak {reach} and of dims", name)
        missing = [s.name for s in symbols_of(e) if isinstance(s, Dim) and s not in self.dims]
        if missing:
            self.fail("is not among the function's dims; declare it", missing[0])
        for node in postorder(e):
            if node not in self.checked and isinstance(node, Expr):
                if isinstance(node, Load):
                    self.known(node.buffer)
                self.types(node)
                self.checked.add(node)

    def types(self, e: Expr) -> None:
        match e:
            case ir.Call(name, args, dtype):
                try:
                    found = intrinsic(name).dtype(tuple([arg.dtype for arg in args]))
                except IRError as error:
                    self.fail(f"cannot be called: {error}", e)
                if found != dtype:
                    self.fail(f"has type {dtype}, but '{name}' gives {found}", e)
            case ir.Ramp(base, _, lanes):
                if not base.dtype.is_int or base.dtype.lanes != 1 or lanes < 1:
                    self.fail("needs a scalar integer base and at least one lane", e)
            case ir.Broadcast(_, lanes) if lanes < 1:
                self.fail("has no lanes", e)
            case ir.Select(cond, then, _) if cond.dtype.lanes not in (1, then.dtype.lanes):
                self.fail(f"selects {then.dtype} by {cond.dtype}", e)
        kind = e.a.dtype if isinstance(e, ir.Binary | ir.Not) else None
        if kind is None:
            return
        logical = kind.scalar == BOOL
        if (
            (isinstance(e, _LOGIC) and not logical)
            or (isinstance(e, _SUMS) and logical)
            or (isinstance(e, _SHIFTS) and not kind.is_int)
            or (isinstance(e, _BITS) and not (kind.is_int or logical))
        ):
            self.fail(f"is not defined for operands of type {kind}", e)


def _loads(e: Expr) -> bool:
    return any(isinstance(n, Load) for n in postorder(e))
