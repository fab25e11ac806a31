"""Graph functions from their text. The text is read with Python's own parser, never run."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import NoReturn, cast

from passes.ir.dtypes import DType, dtype
from passes.ir.expr import Dim, Expr
from passes.ir.expr_text import expr_from_ast
from passes.ir.graph.nodes import (
    Apply,
    Attr,
    CallLoops,
    GraphFunction,
    Input,
    Operation,
    Result,
    State,
    TensorType,
    Value,
    Weight,
)
from passes.ir.loop.nodes import Function
from passes.ir.node import IRError
from passes.ir.storage import Storage


def parse_graph(
    text: str,
    storages: Mapping[str, Storage] | None = None,
    functions: Mapping[str, Function] | None = None,
) -> GraphFunction:
    """The function that `print_graph` wrote, the very same node.

    Raises IRError with line and column for anything that is not such a text, or names a storage
    or loop function that the tables lack. It does not verify the function.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise IRError(
            f"line {error.lineno}, column {error.offset}: not a graph function: {error.msg}"
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise IRError(f"the graph function cannot be read: {error}") from None
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        raise IRError("line 1, column 1: a graph function is one 'def' and nothing else")
    return _Reader(storages or {}, functions or {}).function(tree.body[0])


def parse_type(text: str, storages: Mapping[str, Storage], dims: Mapping[str, Dim]) -> TensorType:
    """The tensor type that `type_text` wrote. Raises IRError."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise IRError(f"'{text}' is not a tensor type; an example: f32[n, 4]") from None
    reader = _Reader(storages, {})
    reader.dims.update(dims)
    return reader.tensor(tree.body)


def _fail(node: ast.AST, message: str) -> NoReturn:
    line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
    raise IRError(f"line {line}, column {column}: {message}")


class _Reader:
    def __init__(self, storages: Mapping[str, Storage], functions: Mapping[str, Function]) -> None:
        self.storages, self.functions = storages, functions
        self.dims: dict[str, Dim] = {}
        self.values: dict[str, Value] = {}
        self.assumptions: list[Expr] = []
        self.updates: list[tuple[str, Value]] = []

    def function(self, node: ast.FunctionDef) -> GraphFunction:
        given = node.args
        if given.posonlyargs or given.vararg or given.kwarg or given.defaults or node.returns:
            _fail(node, "parameters are 'name: type', then after '*' dims 'name: dim[lo, hi]'")
        if any(default is not None for default in given.kw_defaults) or node.decorator_list:
            _fail(node, "a graph function has no decorators, its dims no defaults")
        for arg in given.kwonlyargs:
            self.dims[arg.arg] = self.dim(arg)
        params: list[Input] = []
        for arg in given.args:
            if arg.annotation is None:
                _fail(arg, f"parameter '{arg.arg}' has no type")
            params.append(Input(arg.arg, self.tensor(arg.annotation)))
            self.values[arg.arg] = params[-1]
        *body, last = node.body
        for stmt in body:
            self.statement(stmt)
        if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Dict):
            _fail(last, "the last line is 'return {\"name\": value, …}'")
        results = [
            (self.string(key), self.value(value))
            for key, value in zip(last.value.keys, last.value.values, strict=True)
        ]
        return GraphFunction(
            node.name, tuple(self.dims.values()), tuple(params), tuple(results),
            tuple(self.updates), tuple(self.assumptions),
        )  # fmt: skip

    def dim(self, arg: ast.arg) -> Dim:
        match arg.annotation:
            case ast.Subscript(
                ast.Name("dim"), ast.Tuple([ast.Constant(int(lo)), ast.Constant(int(hi))])
            ):
                try:
                    return Dim(arg.arg, lo, hi)
                except IRError as error:
                    _fail(arg, str(error))
        _fail(arg, f"dim '{arg.arg}' is written '{arg.arg}: dim[lo, hi]'")

    def statement(self, stmt: ast.stmt) -> None:
        match stmt:
            case ast.AnnAssign(ast.Name(name), annotation, ast.Call() as made):
                if name in self.values or name in self.dims:
                    _fail(stmt, f"'{name}' is bound twice")
                types = annotation.elts if isinstance(annotation, ast.Tuple) else [annotation]
                self.values[name] = self.made(made, tuple([self.tensor(t) for t in types]))
            case ast.Expr(ast.Call(ast.Name("assume"), [condition], [])):
                self.assumptions.append(self.expression(condition))
            case ast.Expr(ast.Call(ast.Name("update"), [name_, value], [])):
                self.updates.append((self.string(name_), self.value(value)))
            case _:
                _fail(stmt, "a line is 'v0: type = op(…)', assume(…), update(…) or the return")

    def made(self, node: ast.Call, types: tuple[TensorType, ...]) -> Value:
        if not isinstance(node.func, ast.Name):
            _fail(node, "a value is made by an operator, weight, state or call_loops")
        name = node.func.id
        attrs = [(k.arg, self.attr(k.value)) for k in node.keywords if k.arg is not None]
        if len(attrs) != len(node.keywords):
            _fail(node, "an attribute is written 'name=value'")
        if name in ("weight", "state"):
            if len(node.args) != 1 or attrs or len(types) != 1:
                _fail(node, f'it is written {name}("name"), of one type')
            kind = Weight if name == "weight" else State
            return kind(self.string(node.args[0]), types[0])
        if name == "call_loops":
            return self.call(node, types, dict(attrs))
        inputs = tuple([self.value(arg) for arg in node.args])
        return Apply(name, inputs, tuple(attrs), types)

    def call(
        self, node: ast.Call, types: tuple[TensorType, ...], attrs: Mapping[str, Attr]
    ) -> Value:
        if not node.args or attrs.keys() - {"donates"}:
            _fail(node, 'it is written call_loops("name", inputs, donates=…)')
        name = self.string(node.args[0])
        if name not in self.functions:
            _fail(node, f"there is no loop function '{name}'")
        donates = attrs.get("donates", ())
        if not isinstance(donates, tuple) or not all(
            isinstance(pair, tuple) and len(pair) == 2 and all(type(i) is int for i in pair)
            for pair in donates
        ):
            _fail(node, "donates is a tuple of pairs (result, input)")
        inputs = tuple([self.value(arg) for arg in node.args[1:]])
        pairs = cast("tuple[tuple[int, int], ...]", donates)
        return CallLoops(self.functions[name], inputs, types, pairs)

    def tensor(self, node: ast.expr) -> TensorType:
        storage: Storage | None = None
        match node:
            case ast.Call(plain, [], [ast.keyword("storage", given)]):
                name = self.string(given)
                if name not in self.storages:
                    _fail(node, f"there is no storage '{name}'")
                storage, node = self.storages[name], plain
        match node:
            case ast.Subscript(ast.Name(element), extents):
                items = extents.elts if isinstance(extents, ast.Tuple) else [extents]
                shape = tuple([self.expression(item) for item in items])
                try:
                    return TensorType(shape, dtype(element), storage)
                except ValueError as error:
                    _fail(node, str(error))
        _fail(node, f"a tensor type is written f32[n, 4], not '{ast.unparse(node)}'")

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Name(name) if name in self.values:
                found = self.values[name]
                if isinstance(found, Operation) and len(found.types) != 1:
                    _fail(node, f"'{name}' has {len(found.types)} results; write {name}[0]")
                return found
            case ast.Subscript(ast.Name(name), ast.Constant(int(number))) if name in self.values:
                call = self.values[name]
                if isinstance(call, Operation) and len(call.types) != 1:
                    try:
                        return Result(call, number)
                    except IRError as error:
                        _fail(node, str(error))
                _fail(node, f"'{name}' has one result; write {name}")
        _fail(node, f"'{ast.unparse(node)}' is not a value defined above")

    def attr(self, node: ast.expr) -> Attr:
        match node:
            case ast.Constant(bool() | int() | float() | str() as value):
                return value
            case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
                return -value
            case ast.Tuple(items):
                return tuple([self.attr(item) for item in items])
            case ast.Call(ast.Name("float"), [ast.Constant("inf" | "-inf" | "nan" as text)], []):
                return float(text)
            case ast.Call(ast.Name("expr"), [inner], []):
                return self.expression(inner)
            case ast.Name(name) if name not in self.dims:
                return self.type(node, name)
        return self.expression(node)

    def type(self, node: ast.expr, name: str) -> DType:
        try:
            return dtype(name)
        except ValueError:
            _fail(node, f"'{name}' is neither a dim nor an element type")

    def expression(self, node: ast.expr) -> Expr:
        return expr_from_ast(node, self.dims)

    def string(self, node: ast.expr | None) -> str:
        match node:
            case ast.Constant(str(text)):
                return text
        _fail(node or ast.Pass(), "a name in double quotes is needed here")
