"""Reads what a loop function's text declares: names, types, temporaries, combiners."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar, cast

from passes.ir.dtypes import DType, dtype
from passes.ir.expr import Dim, Expr, Var
from passes.ir.expr_text import expr_from_ast
from passes.ir.loop.distribution import Distribution
from passes.ir.loop.nodes import Attr, Buffer, Scope, TupleCombiner
from passes.ir.node import IRError

N = TypeVar("N")


def fail(node: ast.AST, message: str) -> NoReturn:
    """Raises `IRError` with the place of the node."""
    line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
    raise IRError(f"line {line}, column {column + 1}: {message}")


class DeclarationReader:
    """Reads declarations; `names` and `combiners` are those in reach at the place at hand."""

    def __init__(self) -> None:
        self.names: dict[str, Var | Dim | Buffer] = {}
        self.combiners: dict[str, TupleCombiner] = {}
        self.ordinals = itertools.count()

    @contextmanager
    def bound(self, node: ast.AST, name: str, kind: DType) -> Iterator[Var]:
        """A fresh variable, known by `name` inside the `with` body."""
        var = Var(letters(name), next(self.ordinals), kind)
        self.define(node, name, var)
        yield var
        del self.names[name]

    def define(self, node: ast.AST, name: str, meaning: Var | Dim | Buffer) -> None:
        """From here on the name has that meaning."""
        if name in self.names:
            fail(node, f"'{name}' already has a meaning here")
        self.names[name] = meaning

    def expr(self, node: ast.expr) -> Expr:
        """An expression over the names in reach."""
        return expr_from_ast(node, self.names)

    def built(self, node: ast.AST, build: Callable[[], N]) -> N:
        """What `build` gives, with the place added to what it complains of."""
        try:
            return build()
        except IRError as error:
            fail(node, str(error))

    def dim(self, arg: ast.arg) -> Dim:
        """`n: dim[1, 512]`"""
        match arg.annotation:
            case ast.Subscript(
                ast.Name("dim"),
                ast.Tuple([ast.Constant(int(low)), ast.Constant(int(high))]),
            ):
                made = self.built(arg, lambda: Dim(arg.arg, low, high))
                self.define(arg, arg.arg, made)
                return made
        fail(arg, f"dim '{arg.arg}' is written '{arg.arg}: dim[low, high]'")

    def buffer(
        self, place: ast.AST, name: str, kind: ast.expr | None, scope: str = "global"
    ) -> Buffer:
        """A buffer from its type, such as `f32[n, 4](strides=[8, 1])`."""
        facts: dict[str, Any] = {}
        if isinstance(kind, ast.Call) and not kind.args and kind.keywords:
            facts = {fact.arg or "**": self.fact(fact) for fact in kind.keywords}
            kind = kind.func
        match kind:
            case ast.Subscript(ast.Name(type_name), shape):
                pass
            case _:
                fail(place, f"'{name}' needs a type such as f32[n, 4]")
        extents = shape.elts if isinstance(shape, ast.Tuple) else [shape]
        sizes = tuple([self.expr(extent) for extent in extents])
        try:
            element = dtype(type_name)
        except ValueError as error:
            fail(place, str(error))
        made = self.built(
            place,
            lambda: Buffer(
                letters(name), next(self.ordinals), sizes, element, cast(Scope, scope), **facts
            ),
        )
        self.define(place, name, made)
        return made

    def fact(self, fact: ast.keyword) -> Any:
        """What else is known of a buffer than its type."""
        match fact.arg, fact.value:
            case "strides", ast.List(steps):
                return tuple([self.expr(step) for step in steps])
            case "align", ast.Constant(int(bytes_)):
                return bytes_
            case "pitch", ast.List(axes) if all(_is_triple(axis) for axis in axes):
                return tuple([tuple(axis) for axis in ast.literal_eval(fact.value)])
            case "distribution", ast.Call(ast.Name("distribution"), [outputs, inputs], []):
                try:
                    coordinates, places = ast.literal_eval(outputs), ast.literal_eval(inputs)
                    bases = [(p, tuple([tuple(b) for b in bits])) for p, bits in places.items()]
                    sizes = tuple(coordinates.items())
                except (ValueError, TypeError, AttributeError):
                    form = 'distribution({"i": 2, "j": 4}, {"lane": [[1, 0], [0, 1], [0, 2]]})'
                    fail(fact.value, f"a distribution is written as in {form}")
                return self.built(fact.value, lambda: Distribution(sizes, tuple(bases)))
        fail(
            fact.value,
            "a buffer has strides=[…], align=bytes, pitch=[[axis, factor, offset]] or"
            f" distribution=distribution(…), not '{ast.unparse(fact)}'",
        )

    def combiner(self, node: ast.FunctionDef) -> None:
        """A function that updates call, from then on."""
        match node:
            case ast.FunctionDef(
                name,
                ast.arguments([], args, None, [], [], None, []),
                [ast.Return(ast.expr() as results)],
                [ast.Call(ast.Name("combiner"), identity, [])],
            ):
                pass
            case _:
                fail(
                    node,
                    "a combiner is '@combiner(identity, …)' and 'def name(left: type, …, right:"
                    " type, …):' with a 'return'",
                )
        starts = tuple([self.expr(e) for e in identity])
        params = tuple([Var(letters(a.arg), next(self.ordinals), self.type(a)) for a in args])
        for arg, param in zip(args, params, strict=True):
            self.define(arg, arg.arg, param)
        items = results.elts if isinstance(results, ast.Tuple) else [results]
        values = tuple([self.expr(e) for e in items])
        for arg in args:
            del self.names[arg.arg]
        if name in self.combiners:
            fail(node, f"'{name}' already is a combiner")
        half = len(params) // 2
        left, right = params[:half], params[half:]
        self.combiners[name] = self.built(
            node, lambda: TupleCombiner(left, right, values, starts, name)
        )

    def type(self, arg: ast.arg) -> DType:
        """The type that a parameter is annotated with."""
        try:
            return dtype(ast.unparse(arg.annotation) if arg.annotation else "")
        except ValueError as error:
            fail(arg, str(error))

    def alloc(self, stmt: ast.stmt) -> Buffer | None:
        """`t = alloc(f32[n], scope="local")`; None for another statement."""
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

    def attrs(self, decorators: list[ast.expr]) -> tuple[tuple[str, Attr], ...]:
        """Those of `@kernel(kind="host")`, if it is there."""
        match decorators:
            case []:
                return ()
            case [ast.Call(ast.Name("kernel"), [], keywords)]:
                return self.annotations(keywords)
        fail(decorators[0], "the only decorator is '@kernel(name=value, …)'")

    def known(self, node: ast.AST, name: str) -> Buffer:
        """The buffer of that name."""
        found = self.names.get(name)
        if not isinstance(found, Buffer):
            fail(node, f"'{name}' is not a buffer")
        return found

    def named(self, node: ast.expr) -> Buffer:
        """The buffer that a name alone stands for."""
        return self.known(node, node.id if isinstance(node, ast.Name) else ast.unparse(node))

    def annotations(self, keywords: list[ast.keyword]) -> tuple[tuple[str, Attr], ...]:
        """`grain=16, note="x"`"""
        found = []
        for keyword in keywords:
            if keyword.arg is None:
                fail(keyword.value, "annotations are 'name=value'")
            found.append((keyword.arg, self.annotation(keyword.value)))
        return tuple(found)

    def annotation(self, node: ast.expr) -> Attr:
        """A literal."""
        match node:
            case ast.Constant(bool() | int() | float() | str() as value):
                return value
            case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
                return -value
        fail(node, f"a number, a string or a bool is needed here, not '{ast.unparse(node)}'")


def _is_triple(node: ast.expr) -> bool:
    """Whether it is a list of three numbers."""
    match node:
        case ast.List([ast.Constant(int()), ast.Constant(int()), ast.Constant(int())]):
            return True
    return False


def letters(name: str) -> str:
    """`x12` → `x`: what is left of a name without its ordinal."""
    return re.sub(r"[^A-Za-z_]", "", name) or "v"
