"""Text of graph functions: Python syntax, one binding a line.

    def prefill(tokens: i32[1, n], *, n: dim[1, 512], m: dim[0, 1535]):
        assume(n + m <= 1536)
        v0: f32[49152, 576](storage="Q8_0 [49152, 576]") = weight("token_embd.weight")
        v1: i32[n] = reshape(tokens, shape=(n,))
        v2: f32[n, 576] = gather(v0, v1)
        v3: (i8[n, 576], f32[n, 18], f32[n, 18]) = quantise_blocks(v2, sums=32)
        v4: f32[n, 49152] = matmul_q(v3[0], v3[1], v3[2], v0)
        v5: f32[1, 1536, 3, 64] = state("cache_k.0")
        v6: f32[1, 1536, 3, 64] = call_loops("append", v5, v4, donates=((0, 0),))
        update("cache_k.0", v6)
        return {"logits": v4}

Values are numbered in the order of their use; types name a storage by its name, calls of loop
functions name the function: whoever parses the text gives tables of both. In attributes a bare
integer is an integer, `expr(3)` an index expression. Law: `parse(print_graph(f), …) is f`.
"""

from __future__ import annotations

import json
import keyword
import re

from passes.ir.dtypes import DType
from passes.ir.expr import Const, Expr
from passes.ir.expr_text import print_expr
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
from passes.ir.node import IRError, postorder

_NUMBERED = re.compile(r"v\d+")


def type_text(type_: TensorType) -> str:
    """`f32[n, 576]`, with the storage's name where it has one."""
    shape = ", ".join([print_expr(extent) for extent in type_.shape]) or "()"
    plain = f"{type_.dtype}[{shape}]"
    return f"{plain}(storage={json.dumps(type_.storage.name)})" if type_.storage else plain


def assumption_text(assumption: Expr) -> str:
    """The comparison as text writes it."""
    return print_expr(assumption)


def value_names(function: GraphFunction) -> dict[Value, str]:
    """How text speaks of each value: a parameter's name, `v3`, or `v3[0]` for a result."""
    names: dict[Value, str] = {}
    count = 0
    roots = [value for _, value in (*function.results, *function.updates)]
    for node in postorder(*roots):
        if isinstance(node, Input):
            names[node] = node.name
        elif isinstance(node, Result):
            names[node] = f"{names[node.call]}[{node.number}]"
        elif isinstance(node, Value):
            names[node] = f"v{count}"
            count += 1
    return names


def print_graph(function: GraphFunction) -> str:
    """The function's text, ending in a newline. Raises IRError for a name text cannot write."""
    dims, params = [d.name for d in function.dims], [p.name for p in function.params]
    for name in (function.name, *dims, *params):
        if not name.isidentifier() or keyword.iskeyword(name) or _NUMBERED.fullmatch(name):
            raise IRError(
                f"graph '{function.name}': '{name}' must be an identifier other than v0, v1, …"
            )
    lines = [_head(function)]
    lines += [f"assume({print_expr(assumption)})" for assumption in function.assumptions]
    names = value_names(function)
    lines += [
        f"{names[value]}: {_types(value)} = {_made(value, names)}"
        for value in names
        if not isinstance(value, Input | Result)
    ]
    lines += [f"update({_quoted(name)}, {names[value]})" for name, value in function.updates]
    results = ", ".join([f"{_quoted(name)}: {names[value]}" for name, value in function.results])
    lines.append(f"return {{{results}}}")
    return "\n    ".join(lines) + "\n"


def _head(function: GraphFunction) -> str:
    params = [f"{param.name}: {type_text(param.type)}" for param in function.params]
    dims = [f"{dim.name}: dim[{dim.lo}, {dim.hi}]" for dim in function.dims]
    return f"def {function.name}({', '.join([*params, *(['*', *dims] if dims else [])])}):"


def _types(value: Value) -> str:
    if isinstance(value, Operation) and len(value.types) != 1:
        return f"({', '.join([type_text(type_) for type_ in value.types])})"
    return type_text(value.type)


def _made(value: Value, names: dict[Value, str]) -> str:
    match value:
        case Weight():
            return f"weight({_quoted(value.name)})"
        case State():
            return f"state({_quoted(value.name)})"
        case Apply():
            attrs = [f"{name}={attr_text(attr)}" for name, attr in value.attrs]
            return f"{value.op}({', '.join([*[names[x] for x in value.inputs], *attrs])})"
        case CallLoops():
            parts = [_quoted(value.function.name), *[names[x] for x in value.inputs]]
            if value.donates:
                parts.append(f"donates={attr_text(value.donates)}")
            return f"call_loops({', '.join(parts)})"
    raise IRError(f"no text for values of class {type(value).__name__}")


def attr_text(attr: Attr) -> str:
    """An attribute's value."""
    match attr:
        case Const() if attr.dtype.name in ("index", "bool"):
            return f"expr({print_expr(attr)})"
        case Expr():
            return print_expr(attr)
        case DType():
            return str(attr)
        case str():
            return _quoted(attr)
        case tuple():
            items = ", ".join([attr_text(item) for item in attr])
            return f"({items},)" if len(attr) == 1 else f"({items})"
        case float() if repr(attr).lstrip("-") in ("inf", "nan"):
            return f'float("{attr!r}")'
    return repr(attr)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
