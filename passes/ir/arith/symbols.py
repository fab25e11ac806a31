"""The variables and dims a node speaks of, and replacing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from passes.ir import expr
from passes.ir.expr import FALSE, TRUE, Dim, Expr, Var
from passes.ir.loop.nodes import Block, BlockIter, For
from passes.ir.node import IRError, Node, postorder

N = TypeVar("N", bound=Node)
Symbol = Var | Dim

_NONE: frozenset[Any] = frozenset()


def free_vars(node: Node) -> frozenset[Var]:
    """The variables `node` uses but does not bind; loops and blocks bind theirs."""
    return _gathered(node, "_free_vars", Var, _bound)


def dims_of(node: Node) -> frozenset[Dim]:
    """The dims that occur anywhere in `node`, the shapes of its buffers included."""
    return _gathered(node, "_dims", Dim, lambda _: ())


def _bound(node: Node) -> tuple[Var, ...]:
    if isinstance(node, For):
        return (node.var,)
    if isinstance(node, Block):
        return tuple([iterator.var for iterator in node.iters])
    return ()


def _gathered(
    root: Node, memo: str, kind: type[Any], hidden: Callable[[Node], tuple[Var, ...]]
) -> frozenset[Any]:
    """The nodes of `kind` below `root`, less those `hidden` on the way up; kept on the nodes."""
    if isinstance(root, kind):
        return frozenset((root,))
    if memo not in root.__dict__:
        stack = [root]
        while stack:
            node = stack[-1]
            missing = [c for c in node.children if memo not in c.__dict__ and type(c) is not kind]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            found: frozenset[Any] = _NONE
            for child in node.children:
                below = frozenset((child,)) if type(child) is kind else child.__dict__[memo]
                found = below if not found else found if below <= found else found | below
            node.__dict__[memo] = found.difference(hidden(node)) if found else _NONE
    result: frozenset[Any] = root.__dict__[memo]
    return result


def substitute(node: N, values: Mapping[Any, Expr]) -> N:
    """`node` with variables and dims replaced; what is rebuilt is folded on the way.

        i*4 + j, {i: 0} -> j

    Works on statements too: a variable that the statement binds may be renamed (its value is a
    variable), anything else raises IRError.
    """
    if not values:
        return node
    done: dict[Node, Node] = dict(values)
    for item in postorder(node):
        if item in done:
            continue
        if all(done[child] is child for child in item.children):
            done[item] = item
            continue
        if isinstance(item, (For, BlockIter)) and not isinstance(done[item.var], Var):
            name = f"{item.var.name}{item.var.ordinal}"
            raise IRError(f"cannot substitute a value for {name}: the statement binds it")
        fields = [_mapped(value, done) for value in item.values()]
        done[item] = fold(type(item)(*fields))
    result: N = done[node]  # type: ignore[assignment]
    return result


def _mapped(value: Any, done: dict[Node, Node]) -> Any:
    if isinstance(value, Node):
        return done[value]
    if type(value) is tuple:
        return tuple([_mapped(item, done) for item in value])
    return value


_FOLDING: dict[type[Node], Callable[[Expr, Expr], Expr]] = {
    expr.Add: expr.add,
    expr.Sub: expr.sub,
    expr.Mul: expr.mul,
    expr.FloorDiv: expr.floordiv,
    expr.FloorMod: expr.floormod,
    expr.Min: expr.minimum,
    expr.Max: expr.maximum,
}


def fold(node: Node) -> Node:
    """The node with integer constants, neutral elements and constant conditions folded."""
    match node:
        case expr.And(a, b) if a is TRUE or b is TRUE:
            return b if a is TRUE else a
        case expr.And(a, b) if a is FALSE or b is FALSE:
            return FALSE
        case expr.Or(a, b) if a is FALSE or b is FALSE:
            return b if a is FALSE else a
        case expr.Or(a, b) if a is TRUE or b is TRUE:
            return TRUE
        case expr.Not(a) if a is TRUE or a is FALSE:
            return FALSE if a is TRUE else TRUE
        case expr.Select(cond, then, other) if cond is TRUE or cond is FALSE or then is other:
            return other if cond is FALSE else then
        case expr.Cast(value, dtype):
            return expr.cast(value, dtype)
        case expr.Compare(a, b):
            return expr.compare(type(node), a, b)
        case expr.Binary(a, b) if type(node) in _FOLDING:
            return _FOLDING[type(node)](a, b)
    return node
