"""Text of expressions, in Python's expression syntax, and back.

    i0*4 + x3[i0, n - 1]          variables, dims, buffers; bare integers are index constants
    f32(0.5), i32(-3), True       other constants; f32("inf"), f32("nan")
    a < b and not c == d          comparisons do not chain
    cast(e, f32), reinterpret(e, i8x4), select(c, a, b), min(a, b), max(a, b)
    ramp(base, 1, 16), broadcast(e, 16)
    exp(e), call("x86.pmaddwd", i32x4, a, b)

Law: `parse_expr(print_expr(e), …) is e` for every expression.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeAlias

from passes.ir import expr
from passes.ir.dtypes import BOOL, INDEX, DType, dtype
from passes.ir.expr import Expr
from passes.ir.intrinsics import TABLE, call
from passes.ir.loop.nodes import Buffer, Load
from passes.ir.node import IRError, Node, postorder

Named: TypeAlias = "expr.Var | expr.Dim | Buffer"
Resolve: TypeAlias = "Callable[[str], Named | None]"

_OR, _AND, _NOT, _COMPARE, _ATOM = 0, 1, 2, 3, 11
_LEVELS: dict[type[Node], int] = {
    expr.Or: _OR, expr.And: _AND, expr.Not: _NOT,
    expr.Lt: _COMPARE, expr.Le: _COMPARE, expr.Eq: _COMPARE, expr.Ne: _COMPARE,
    expr.BitOr: 4, expr.BitXor: 5, expr.BitAnd: 6, expr.Shl: 7, expr.Shr: 7,
    expr.Add: 8, expr.Sub: 8,
    expr.Mul: 9, expr.Div: 9, expr.FloorDiv: 9, expr.FloorMod: 9,
}  # fmt: skip
_TIGHT = 9
_OPERATORS: dict[type[ast.AST], type[expr.Binary]] = {
    ast.Add: expr.Add, ast.Sub: expr.Sub, ast.Mult: expr.Mul, ast.Div: expr.Div,
    ast.FloorDiv: expr.FloorDiv, ast.Mod: expr.FloorMod, ast.BitAnd: expr.BitAnd,
    ast.BitOr: expr.BitOr, ast.BitXor: expr.BitXor, ast.LShift: expr.Shl, ast.RShift: expr.Shr,
    ast.Lt: expr.Lt, ast.LtE: expr.Le, ast.Eq: expr.Eq, ast.NotEq: expr.Ne,
    ast.And: expr.And, ast.Or: expr.Or,
}  # fmt: skip
_PAIRS: dict[str, type[expr.Binary]] = {"min": expr.Min, "max": expr.Max}


def name_of(node: expr.Var | expr.Dim | Buffer) -> str:
    """How text speaks of a variable, dim or buffer."""
    return node.name if isinstance(node, expr.Dim) else f"{node.name}{node.ordinal}"


def print_expr(e: Expr) -> str:
    """One line of text; identical for identical expressions."""
    written: dict[Node, str] = {}
    for node in postorder(e):
        if isinstance(node, Expr):
            written[node] = _printed(node, written)
    return written[e]


def _printed(e: Expr, written: Mapping[Node, str]) -> str:
    match e:
        case expr.Const():
            return _printed_constant(e)
        case expr.Var() | expr.Dim():
            return name_of(e)
        case Load(buffer, indices):
            return f"{name_of(buffer)}[{', '.join([written[i] for i in indices]) or '()'}]"
        case expr.Min(a, b) | expr.Max(a, b):
            return f"{type(e).__name__.lower()}({written[a]}, {written[b]})"
        case expr.Binary(a, b):
            level = _LEVELS[type(e)]
            left = _wrapped(a, level + (level == _COMPARE), written)
            right = _wrapped(b, level + 1, written)
            gap = "" if level == _TIGHT else " "
            return f"{left}{gap}{e.symbol}{gap}{right}"
        case expr.Not(a):
            return f"not {_wrapped(a, _NOT, written)}"
        case expr.Select(cond, then, other):
            return f"select({written[cond]}, {written[then]}, {written[other]})"
        case expr.Cast(value, to):
            return f"cast({written[value]}, {to})"
        case expr.Reinterpret(value, to):
            return f"reinterpret({written[value]}, {to})"
        case expr.Ramp(base, stride, lanes):
            return f"ramp({written[base]}, {stride}, {lanes})"
        case expr.Broadcast(value, lanes):
            return f"broadcast({written[value]}, {lanes})"
        case expr.Call(name, args, to):
            texts = [written[arg] for arg in args]
            if _deducible(e):
                return f"{name}({', '.join(texts)})"
            return f"call({', '.join([_quoted(name), str(to), *texts])})"
    raise IRError(f"no text for expressions of class {type(e).__name__}")


def _wrapped(e: Expr, level: int, written: Mapping[Node, str]) -> str:
    return written[e] if _LEVELS.get(type(e), _ATOM) >= level else f"({written[e]})"


def _printed_constant(e: expr.Const) -> str:
    if e.dtype in (INDEX, BOOL):
        return repr(e.value)
    text = repr(e.value)
    if text.lstrip("-") in ("inf", "nan"):
        text = f'"{text}"'
    return f"{e.dtype}({text})"


def _quoted(name: str) -> str:
    if not name or not all(c.isalnum() or c in "._" for c in name):
        raise IRError(f"a call's name is letters, digits, '.' and '_', not {name!r}")
    return f'"{name}"'


def _deducible(e: expr.Call) -> bool:
    entry = TABLE.get(e.name)
    if entry is None or not e.name.isidentifier() or entry.arity != len(e.args):
        return False
    return entry.result(tuple([arg.dtype for arg in e.args])) == e.dtype


def parse_expr(text: str, resolve: Resolve | Mapping[str, Named]) -> Expr:
    """The expression of a text; `resolve` finds variables, dims and buffers by name.

    Builds exactly what is written, without folding. Raises IRError with line and column.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        place = f"line {error.lineno or 1}, column {error.offset or 1}"
        raise IRError(f"{place}: not an expression: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise IRError(f"the expression cannot be read: {error}") from None
    return expr_from_ast(tree.body, resolve)


def expr_from_ast(node: ast.expr, resolve: Resolve | Mapping[str, Named]) -> Expr:
    """The expression of a Python syntax tree that `ast.parse` gave. Raises IRError."""
    reader = _Reader(resolve if callable(resolve) else resolve.get)
    try:
        return reader.read(node)
    except RecursionError:
        _fail(node, "the expression is nested too deeply")


def _fail(node: ast.expr, message: str) -> NoReturn:
    raise IRError(f"line {node.lineno}, column {node.col_offset + 1}: {message}")


class _Reader:
    def __init__(self, resolve: Resolve) -> None:
        self.resolve = resolve

    def read(self, node: ast.expr) -> Expr:
        match node:
            case ast.BinOp() | ast.BoolOp() | ast.Compare():
                return self.operators(node)
            case ast.UnaryOp(ast.Not(), operand):
                return expr.Not(self.read(operand))
            case ast.Constant(bool(value)):
                return expr.Const(value, BOOL)
            case ast.Constant(int()) | ast.UnaryOp(ast.USub(), ast.Constant()):
                return expr.Const(self.integer(node), INDEX)
            case ast.Constant(float()):
                _fail(node, f"a float constant needs its type, as in f32({ast.unparse(node)})")
            case ast.Name(name):
                return self.symbol(node, name)
            case ast.Subscript(ast.Name(name), indices):
                return self.load(node, name, indices)
            case ast.Call(ast.Name(name), args, []):
                return self.function(node, name, args)
        _fail(node, f"'{ast.unparse(node)}' is not part of the expression language")

    def operators(self, node: ast.expr) -> Expr:
        """Left operands are walked in a loop: sums may be long."""
        pending: list[tuple[ast.expr, type[expr.Binary], ast.expr]] = []
        while True:
            match node:
                case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
                    pending.append((node, _OPERATORS[type(op)], right))
                    node = left
                case ast.Compare(left, [op], [right]) if type(op) in _OPERATORS:
                    pending.append((node, _OPERATORS[type(op)], right))
                    node = left
                case ast.BoolOp(op, [first, *others]):
                    pending.extend((node, _OPERATORS[type(op)], o) for o in reversed(others))
                    node = first
                case ast.Compare():
                    _fail(node, "comparisons do not chain; join them with 'and'")
                case ast.BinOp():
                    _fail(node, f"the operator of '{ast.unparse(node)}' is not in the language")
                case _:
                    break
        whole = self.read(node)
        for place, kind, right in reversed(pending):
            whole = self.pair(place, kind, whole, self.read(right))
        return whole

    def pair(self, node: ast.expr, kind: type[expr.Binary], a: Expr, b: Expr) -> Expr:
        return self.made(node, lambda: kind(a, b))

    def made(self, node: ast.expr, build: Callable[[], Expr]) -> Expr:
        """What `build` gives, with the place added to what it complains of."""
        try:
            return build()
        except (IRError, ValueError) as error:
            _fail(node, str(error))

    def integer(self, node: ast.expr) -> int:
        match node:
            case ast.Constant(int(value)) if not isinstance(value, bool):
                return value
            case ast.UnaryOp(ast.USub(), ast.Constant(int(value))) if not isinstance(value, bool):
                return -value
        _fail(node, f"an integer literal is needed here, not '{ast.unparse(node)}'")

    def number(self, node: ast.expr, kind: DType) -> bool | int | float:
        if not kind.is_float:
            return self.integer(node)
        match node:
            case ast.Constant(float(value)):
                return value
            case ast.UnaryOp(ast.USub(), ast.Constant(float(value))):
                return -value
            case ast.Constant("inf" | "-inf" | "nan" as text):
                return float(text)
        _fail(node, f"a float literal is needed here, not '{ast.unparse(node)}'")

    def type(self, node: ast.expr) -> DType:
        if not isinstance(node, ast.Name):
            _fail(node, f"a type is needed here, not '{ast.unparse(node)}'")
        try:
            return dtype(node.id)
        except ValueError as error:
            _fail(node, str(error))

    def symbol(self, node: ast.expr, name: str) -> Expr:
        found = self.resolve(name)
        if isinstance(found, Buffer):
            _fail(node, f"'{name}' is a buffer; read an element of it, as in {name}[0]")
        if found is None:
            _fail(node, f"'{name}' is not defined here")
        return found

    def load(self, node: ast.expr, name: str, indices: ast.expr) -> Expr:
        buffer = self.resolve(name)
        if not isinstance(buffer, Buffer):
            _fail(node, f"'{name}' is not a buffer")
        items = indices.elts if isinstance(indices, ast.Tuple) else [indices]
        places = tuple([self.read(item) for item in items])
        return self.made(node, lambda: Load(buffer, places))

    def function(self, node: ast.expr, name: str, args: list[ast.expr]) -> Expr:
        match name, args:
            case "cast", [value, to]:
                inner, kind = self.read(value), self.type(to)
                return self.made(node, lambda: expr.Cast(inner, kind))
            case "reinterpret", [value, to]:
                inner, kind = self.read(value), self.type(to)
                return self.made(node, lambda: expr.Reinterpret(inner, kind))
            case "min" | "max", [a, b]:
                return self.pair(node, _PAIRS[name], self.read(a), self.read(b))
            case "select", [cond, then, other]:
                parts = [self.read(part) for part in (cond, then, other)]
                return self.made(node, lambda: expr.Select(*parts))
            case "ramp", [base, stride, lanes]:
                first, step, count = self.read(base), self.integer(stride), self.lanes(lanes)
                return self.made(node, lambda: expr.Ramp(first, step, count))
            case "broadcast", [value, lanes]:
                inner, count = self.read(value), self.lanes(lanes)
                return self.made(node, lambda: expr.Broadcast(inner, count))
            case "call", [ast.Constant(str(called)), to, *rest]:
                kind, operands = self.type(to), tuple([self.read(arg) for arg in rest])
                return self.made(node, lambda: expr.Call(called, operands, kind))
        if name in TABLE:
            operands = tuple([self.read(arg) for arg in args])
            return self.made(node, lambda: call(name, *operands))
        try:
            kind = dtype(name)
        except ValueError:
            _fail(node, f"'{name}' is not a function with {len(args)} arguments")
        if len(args) != 1 or kind in (INDEX, BOOL):
            _fail(node, f"a constant is written as in f32(0.5), 3 or True, not '{name}(…)'")
        literal = self.number(args[0], kind)
        return self.made(node, lambda: expr.Const(literal, kind))

    def lanes(self, node: ast.expr) -> int:
        count = self.integer(node)
        if count < 1:
            _fail(node, f"a vector has at least one lane, not {count}")
        return count
