"""Reads the text of loop functions, without ever evaluating it.

Names are free: `x[i, j]` reads as well as `x0[i3, j4]`. The result is canonical.
"""

from __future__ import annotations

import ast
import re
from contextlib import ExitStack
from typing import get_args

from passes.ir.expr import Dim, Expr, Var
from passes.ir.loop.canonical import canonical
from passes.ir.loop.nodes import (
    BLOCK_AXES,
    THREAD_AXES,
    AsyncGroup,
    AsyncWait,
    Barrier,
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    If,
    IterKind,
    Kernel,
    Launch,
    Load,
    LoopKind,
    Multiple,
    Stmt,
    Store,
    TupleCombiner,
    Update,
    View,
    While,
    seq,
)
from passes.ir.loop.parse_declarations import DeclarationReader, fail, letters
from passes.ir.loop.text import window
from passes.ir.node import IRError

_LOOPS: dict[str, LoopKind] = {
    "range": "serial", "parallel": "parallel", "vectorized": "vectorized", "unrolled": "unrolled",
    **{axis: axis for axis in (*BLOCK_AXES, *THREAD_AXES)},
}  # fmt: skip
_ITERS: tuple[IterKind, ...] = get_args(IterKind)


def parse_function(text: str) -> Function:
    """The function of a text, canonical. Raises `IRError` showing the line that is wrong."""
    lines = text.splitlines() or [""]
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        line, column = min(max(1, error.lineno or 1), len(lines)), max(1, error.offset or 1)
        shown = window(lines, line - 1, column=column - 1)
        place = f"line {line}, column {column}"
        raise IRError(f"{place}: not loop IR text: {error.msg}\n{shown}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise IRError(f"not loop IR text: {error}") from None
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        raise IRError("loop IR text is one function: 'def name(…):' and its body")
    try:
        return function_from_ast(tree.body[0])
    except IRError as error:
        found = re.match(r"line (\d+), column (\d+)", str(error))
        if found is None:
            raise
        line, column = int(found[1]), int(found[2])
        ahead = lines[line - 1].encode()[: column - 1].decode(errors="ignore")  # columns: bytes
        raise IRError(f"{error}\n{window(lines, line - 1, column=len(ahead))}") from None


def function_from_ast(node: ast.FunctionDef) -> Function:
    """The function of a Python syntax tree, canonical. Raises `IRError` with line and column."""
    return canonical(_Reader().function(node, node.decorator_list))


class _Reader(DeclarationReader):
    def function(self, node: ast.FunctionDef, decorators: list[ast.expr]) -> Function:
        args = node.args
        if args.vararg or args.kwarg or args.posonlyargs or args.defaults or any(args.kw_defaults):
            fail(node, "parameters are 'name: type[shape]', then '*' and 'name: dim[low, high]'")
        dims = tuple([self.dim(arg) for arg in args.kwonlyargs])
        params = tuple([self.buffer(arg, arg.arg, arg.annotation) for arg in args.args])
        statements = list(node.body)
        allocs: list[Buffer] = []
        while statements and (alloc := self.alloc(statements[0])) is not None:
            allocs.append(alloc)
            statements.pop(0)
        kernels: list[Kernel] = []
        while statements and isinstance(inner := statements[0], ast.FunctionDef):
            match inner.decorator_list:
                case [ast.Call(ast.Name("device"), [], sizes), *others]:
                    kernels.append(_Reader().kernel(inner, sizes, others))
                case _:
                    self.combiner(inner)
            statements.pop(0)
        body, attrs = self.body(statements), self.attrs(decorators)
        return Function(node.name, dims, params, tuple(allocs), body, attrs, tuple(kernels))

    def kernel(
        self, node: ast.FunctionDef, sizes: list[ast.keyword], decorators: list[ast.expr]
    ) -> Kernel:
        """A function with `@device(grid=[x, y, z], threads=[x, y, z], place=[block_x])`."""
        function = self.function(node, decorators)
        found = {}
        for size in sizes:
            if not isinstance(size.value, ast.List):
                fail(size.value, f"{size.arg} is a list")
            found[size.arg] = tuple([self.expr(e) for e in size.value.elts])
        match found:
            case {"grid": (gx, gy, gz), "threads": (tx, ty, tz), "place": place, **others} if (
                not others and all(isinstance(e, Dim) for e in place)
            ):
                dims = tuple([e for e in place if isinstance(e, Dim)])
                return Kernel(function, (gx, gy, gz), (tx, ty, tz), dims)
        fail(node, "a kernel has '@device(grid=[x, y, z], threads=[x, y, z], place=[block_x])'")

    def body(self, statements: list[ast.stmt]) -> Stmt:
        return seq(*[self.stmt(s) for s in statements if not isinstance(s, ast.Pass)])

    def stmt(self, node: ast.stmt) -> Stmt:
        match node:
            case ast.For(ast.Name(name), ast.Call() as span, body, []):
                return self.loop(node, name, span, [], body)
            case ast.For(
                ast.Tuple([ast.Name(name), *others]),
                ast.Call(ast.Name("multiples"), [ast.Call() as span, *steps], []),
                body,
                [],
            ) if len(others) == len(steps):
                return self.loop(node, name, span, list(zip(others, steps, strict=True)), body)
            case ast.While(test, body, []):
                cond = self.expr(test)
                return While(cond, self.body(body))
            case ast.With([ast.withitem(ast.Call(ast.Name("block"), [label], notes), None)], body):
                return self.block(node, label, notes, body)
            case ast.With(
                [
                    ast.withitem(
                        ast.Call(ast.Name("async_group"), [ast.Constant(str(queue))], []), None
                    )
                ],
                body,
            ):
                return AsyncGroup(queue, self.body(body))
            case ast.Assign([targets], ast.Call(ast.Name(name), args, [])) if (
                name in self.combiners
            ):
                return self.update(node, targets, self.combiners[name], args)
            case ast.Assign([ast.Subscript(ast.Name(name), indices)], value):
                items = indices.elts if isinstance(indices, ast.Tuple) else [indices]
                buffer, place = self.known(node, name), tuple([self.expr(i) for i in items])
                stored = self.expr(value)
                return self.built(node, lambda: Store(buffer, place, stored))
            case ast.If(test, body, other):
                cond = self.expr(test)
                then = self.body(body)
                return If(cond, then, self.body(other) if other else None)
            case ast.Expr(ast.Call(ast.Name("barrier"), [], [])):
                return Barrier()
            case ast.Expr(
                ast.Call(
                    ast.Name("async_wait"),
                    [ast.Constant(str(queue)), pending, ast.List(buffers)],
                    [],
                )
            ):
                landing = tuple([self.named(b) for b in buffers])
                return AsyncWait(queue, self.expr(pending), landing)
            case ast.Expr(
                ast.Call(
                    ast.Name("launch"),
                    [ast.Constant(str(kernel)), ast.List(dims), ast.List(buffers)],
                    [],
                )
            ):
                values = tuple([self.expr(d) for d in dims])
                return Launch(kernel, values, tuple([self.named(b) for b in buffers]))
        fail(
            node,
            "not a statement of the loop IR; those are 'for … in range(…)', 'while', 'if',"
            " 'with block(…)', 'with async_group(…)', 'x[…] = …', async_wait(…), launch(…),"
            " barrier() and pass",
        )

    def loop(
        self,
        node: ast.For,
        name: str,
        span: ast.Call,
        others: list[tuple[ast.expr, ast.expr]],
        body: list[ast.stmt],
    ) -> Stmt:
        kind = ast.unparse(span.func)
        if kind not in _LOOPS:
            fail(span, f"no loops of kind '{kind}'; there are {', '.join(_LOOPS)}")
        if len(span.args) != 1:
            fail(span, f"a loop has one extent, as in {kind}(16)")
        bound, annotations = self.expr(span.args[0]), self.annotations(span.keywords)
        steps = [self.expr(step) for _, step in others]
        with ExitStack() as stack:
            var = stack.enter_context(self.bound(node, name, bound.dtype))
            multiples = []
            for (target, _), step in zip(others, steps, strict=True):
                if not isinstance(target, ast.Name):
                    fail(target, "a multiple of a loop's variable is a name")
                own = stack.enter_context(self.bound(target, target.id, step.dtype))
                multiples.append(Multiple(own, step))
            inner = self.body(body)
        kinds = _LOOPS[kind], annotations, tuple(multiples)
        return self.built(node, lambda: For(var, bound, inner, *kinds))

    def update(
        self, node: ast.stmt, targets: ast.expr, combiner: TupleCombiner, args: list[ast.expr]
    ) -> Stmt:
        places = targets.elts if isinstance(targets, ast.Tuple) else [targets]
        stored = [self.expr(place) for place in places]
        operands = [self.expr(arg) for arg in args]
        loads = tuple([e for e in stored if isinstance(e, Load)])
        if len(loads) < len(stored) or operands[: len(loads)] != stored:
            fail(
                node,
                f"an update is 'x[…], y[…] = {combiner.name}(x[…], y[…], value, value)': the"
                " combiner takes what it stores to, and new values",
            )
        values = tuple(operands[len(loads) :])
        return self.built(node, lambda: Update(loads, values, combiner))

    def view(self, node: ast.stmt, name: str, region: ast.expr) -> View:
        if not isinstance(region, ast.Subscript) or not isinstance(region.value, ast.Name):
            fail(node, "a view is of a region of a buffer, as in view(x[i, j*16:+16])")
        source = self.known(region, region.value.id)
        axes = region.slice.elts if isinstance(region.slice, ast.Tuple) else [region.slice]
        starts: list[Expr] = []
        extents: list[Expr | None] = []
        for axis in axes:
            match axis:
                case ast.Slice(ast.expr() as start, ast.UnaryOp(ast.UAdd(), extent), None):
                    starts.append(self.expr(start))
                    extents.append(self.expr(extent))
                case ast.Slice():
                    fail(axis, "an axis of a view begins somewhere, as in j*16:+16")
                case _:
                    starts.append(self.expr(axis))
                    extents.append(None)
        shape = tuple([e for e in extents if e is not None])
        ordinal = next(self.ordinals)
        made = self.built(
            node, lambda: Buffer(letters(name), ordinal, shape, source.dtype, source.scope)
        )
        begin = self.built(node, lambda: Load(source, tuple(starts)))
        self.define(node, name, made)
        return self.built(node, lambda: View(made, begin, tuple(extents)))

    def block(
        self, node: ast.With, label: ast.expr, notes: list[ast.keyword], body: list[ast.stmt]
    ) -> Stmt:
        text = self.annotation(label)
        if not isinstance(text, str):
            fail(label, "a block's label is a string")
        iters: list[BlockIter] = []
        bindings: list[Expr] = []
        names: list[str] = []
        predicate: Expr | None = None
        init: Stmt | None = None
        views: list[View] = []
        rest = list(body)
        while rest:
            match rest[0]:
                case ast.Assign(
                    [ast.Name(name)], ast.Call(ast.Name(kind), [extent, binding], [])
                ) if kind in _ITERS:
                    size, value = self.expr(extent), self.expr(binding)
                    var = Var(letters(name), next(self.ordinals), size.dtype)
                    self.define(rest[0], name, var)
                    names.append(name)
                    iters.append(BlockIter(var, size, kind))
                    bindings.append(value)
                case ast.Expr(ast.Call(ast.Name("where"), [cond], [])) if predicate is None:
                    predicate = self.expr(cond)
                case ast.Assign([ast.Name(name)], ast.Call(ast.Name("view"), [region], [])):
                    views.append(self.view(rest[0], name, region))
                    names.append(name)
                case ast.With([ast.withitem(ast.Call(ast.Name("init"), [], []), None)], inner) if (
                    init is None
                ):
                    init = self.body(inner)
                case _:
                    break
            rest.pop(0)
        done = self.body(rest)
        for name in names:
            del self.names[name]
        annotations = self.annotations(notes)
        return self.built(
            node,
            lambda: Block(
                text, tuple(iters), tuple(bindings), done, init, predicate, annotations,
                tuple(views),
            ),
        )  # fmt: skip
