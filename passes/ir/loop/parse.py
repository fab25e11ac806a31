"""Reads the text of loop functions, without ever evaluating it.

Names are free: `x[i, j]` reads as well as `x0[i3, j4]`. The result is canonical.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar, cast, get_args

from passes.ir.dtypes import DType, dtype
from passes.ir.expr import Dim, Expr, Var
from passes.ir.expr_text import expr_from_ast
from passes.ir.loop.canonical import canonical
from passes.ir.loop.nodes import (
    Attr,
    Barrier,
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    If,
    IterKind,
    Launch,
    LoopKind,
    Scope,
    Stmt,
    Store,
    seq,
)
from passes.ir.loop.text import window
from passes.ir.node import IRError

N = TypeVar("N")
_LOOPS: dict[str, LoopKind] = {
    "range": "serial", "parallel": "parallel", "vectorized": "vectorized", "unrolled": "unrolled",
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
    return canonical(_Reader().function(node))


def _fail(node: ast.AST, message: str) -> NoReturn:
    line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
    raise IRError(f"line {line}, column {column + 1}: {message}")


class _Reader:
    def __init__(self) -> None:
        self.names: dict[str, Var | Dim | Buffer] = {}
        self.ordinals = itertools.count()

    def function(self, node: ast.FunctionDef) -> Function:
        args = node.args
        if args.vararg or args.kwarg or args.posonlyargs or args.defaults or any(args.kw_defaults):
            _fail(node, "parameters are 'name: type[shape]', then '*' and 'name: dim[low, high]'")
        dims = tuple([self.dim(arg) for arg in args.kwonlyargs])
        params = tuple([self.buffer(arg, arg.arg, arg.annotation) for arg in args.args])
        statements = list(node.body)
        allocs: list[Buffer] = []
        while statements and (alloc := self.alloc(statements[0])) is not None:
            allocs.append(alloc)
            statements.pop(0)
        body = self.body(statements)
        return Function(node.name, dims, params, tuple(allocs), body, self.attrs(node))

    def attrs(self, node: ast.FunctionDef) -> tuple[tuple[str, Attr], ...]:
        match node.decorator_list:
            case []:
                return ()
            case [ast.Call(ast.Name("kernel"), [], keywords)]:
                return self.annotations(keywords)
        _fail(node.decorator_list[0], "the only decorator is '@kernel(name=value, …)'")

    # Names

    @contextmanager
    def bound(self, node: ast.AST, name: str, kind: DType) -> Iterator[Var]:
        """A fresh variable, known by `name` inside the `with` body."""
        var = Var(_letters(name), next(self.ordinals), kind)
        self.define(node, name, var)
        yield var
        del self.names[name]

    def define(self, node: ast.AST, name: str, meaning: Var | Dim | Buffer) -> None:
        if name in self.names:
            _fail(node, f"'{name}' already has a meaning here")
        self.names[name] = meaning

    def expr(self, node: ast.expr) -> Expr:
        return expr_from_ast(node, self.names)

    def built(self, node: ast.AST, build: Callable[[], N]) -> N:
        """What `build` gives, with the place added to what it complains of."""
        try:
            return build()
        except IRError as error:
            _fail(node, str(error))

    # Signature

    def dim(self, arg: ast.arg) -> Dim:
        match arg.annotation:
            case ast.Subscript(
                ast.Name("dim"),
                ast.Tuple([ast.Constant(int(low)), ast.Constant(int(high))]),
            ):
                made = self.built(arg, lambda: Dim(arg.arg, low, high))
                self.define(arg, arg.arg, made)
                return made
        _fail(arg, f"dim '{arg.arg}' is written '{arg.arg}: dim[low, high]'")

    def buffer(
        self, place: ast.AST, name: str, kind: ast.expr | None, scope: str = "global"
    ) -> Buffer:
        strides = None
        match kind:
            case ast.Call(inner, [], [ast.keyword("strides", ast.List(steps))]):
                strides = tuple([self.expr(step) for step in steps])
                kind = inner
        match kind:
            case ast.Subscript(ast.Name(type_name), shape):
                pass
            case _:
                _fail(place, f"'{name}' needs a type such as f32[n, 4]")
        extents = shape.elts if isinstance(shape, ast.Tuple) else [shape]
        sizes = tuple([self.expr(extent) for extent in extents])
        try:
            element = dtype(type_name)
        except ValueError as error:
            _fail(place, str(error))
        made = self.built(
            place,
            lambda: Buffer(
                _letters(name), next(self.ordinals), sizes, element, cast(Scope, scope), strides
            ),
        )
        self.define(place, name, made)
        return made

    def alloc(self, stmt: ast.stmt) -> Buffer | None:
        match stmt:
            case ast.Assign([ast.Name(name)], ast.Call(ast.Name("alloc"), [kind], [])):
                return self.buffer(stmt, name, kind)
            case ast.Assign(
                [ast.Name(name)],
                ast.Call(
                    ast.Name("alloc"), [kind], [ast.keyword("scope", ast.Constant(str(scope)))]
                ),
            ):
                return self.buffer(stmt, name, kind, scope)
        return None

    # Statements

    def body(self, statements: list[ast.stmt]) -> Stmt:
        return seq(*[self.stmt(s) for s in statements if not isinstance(s, ast.Pass)])

    def stmt(self, node: ast.stmt) -> Stmt:
        match node:
            case ast.For(ast.Name(name), ast.Call(ast.Name(kind), [extent], notes), body, []):
                return self.loop(node, name, kind, extent, notes, body)
            case ast.With([ast.withitem(ast.Call(ast.Name("block"), [label], notes), None)], body):
                return self.block(node, label, notes, body)
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
                    ast.Name("launch"),
                    [ast.Constant(str(kernel)), ast.List(dims), ast.List(buffers)],
                    [],
                )
            ):
                values = tuple([self.expr(d) for d in dims])
                return Launch(kernel, values, tuple([self.named(b) for b in buffers]))
        _fail(
            node,
            "not a statement of the loop IR; those are 'for … in range(…)', 'with block(…)',"
            " 'x[…] = …', 'if', launch(…), barrier() and pass",
        )

    def loop(
        self,
        node: ast.For,
        name: str,
        kind: str,
        extent: ast.expr,
        notes: list[ast.keyword],
        body: list[ast.stmt],
    ) -> Stmt:
        if kind not in _LOOPS:
            _fail(node.iter, f"no loops of kind '{kind}'; there are {', '.join(_LOOPS)}")
        bound = self.expr(extent)
        with self.bound(node, name, bound.dtype) as var:
            inner = self.body(body)
        annotations = self.annotations(notes)
        return self.built(node, lambda: For(var, bound, inner, _LOOPS[kind], annotations))

    def block(
        self, node: ast.With, label: ast.expr, notes: list[ast.keyword], body: list[ast.stmt]
    ) -> Stmt:
        text = self.annotation(label)
        if not isinstance(text, str):
            _fail(label, "a block's label is a string")
        iters: list[BlockIter] = []
        bindings: list[Expr] = []
        names: list[str] = []
        predicate: Expr | None = None
        init: Stmt | None = None
        rest = list(body)
        while rest:
            match rest[0]:
                case ast.Assign(
                    [ast.Name(name)], ast.Call(ast.Name(kind), [extent, binding], [])
                ) if kind in _ITERS:
                    size, value = self.expr(extent), self.expr(binding)
                    var = Var(_letters(name), next(self.ordinals), size.dtype)
                    self.define(rest[0], name, var)
                    names.append(name)
                    iters.append(BlockIter(var, size, kind))
                    bindings.append(value)
                case ast.Expr(ast.Call(ast.Name("where"), [cond], [])) if predicate is None:
                    predicate = self.expr(cond)
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
            lambda: Block(text, tuple(iters), tuple(bindings), done, init, predicate, annotations),
        )

    def known(self, node: ast.AST, name: str) -> Buffer:
        found = self.names.get(name)
        if not isinstance(found, Buffer):
            _fail(node, f"'{name}' is not a buffer")
        return found

    def named(self, node: ast.expr) -> Buffer:
        return self.known(node, node.id if isinstance(node, ast.Name) else ast.unparse(node))

    def annotations(self, keywords: list[ast.keyword]) -> tuple[tuple[str, Attr], ...]:
        found = []
        for keyword in keywords:
            if keyword.arg is None:
                _fail(keyword.value, "annotations are 'name=value'")
            found.append((keyword.arg, self.annotation(keyword.value)))
        return tuple(found)

    def annotation(self, node: ast.expr) -> Attr:
        match node:
            case ast.Constant(bool() | int() | float() | str() as value):
                return value
            case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
                return -value
        _fail(node, f"a number, a string or a bool is needed here, not '{ast.unparse(node)}'")


def _letters(name: str) -> str:
    """`x12` → `x`: what is left of a name without its ordinal."""
    return re.sub(r"[^A-Za-z_]", "", name) or "v"
