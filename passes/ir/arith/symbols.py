"""The variables and dims a node speaks of, and replacing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from passes.ir import expr
from passes.ir.derived import Derived, union
from passes.ir.expr import FALSE, TRUE, Dim, Expr, Var
from passes.ir.loop.nodes import Block, BlockIter, For, Multiple, TupleCombiner
from passes.ir.node import IRError, Node

N = TypeVar("N", bound=Node)
Symbol = Var | Dim


def _free(node: Node, below: Sequence[frozenset[Var]]) -> frozenset[Var]:
    if isinstance(node, Var):
        return frozenset((node,))
    found = union(below)
    if found and isinstance(node, For):
        return found.difference([node.var, *[multiple.var for multiple in node.multiples]])
    if found and isinstance(node, Block):
        return found.difference([iterator.var for iterator in node.iters])
    if found and isinstance(node, TupleCombiner):
        return found.difference(node.params)
    return found


def _symbols(node: Node, below: Sequence[frozenset[Symbol]]) -> frozenset[Symbol]:
    return frozenset((node,)) if isinstance(node, (Var, Dim)) else union(below)


def _dims(node: Node, below: Sequence[frozenset[Dim]]) -> frozenset[Dim]:
    return frozenset((node,)) if isinstance(node, Dim) else union(below)


_free_vars, _dims_below = Derived("free_vars", _free), Derived("dims", _dims)
_symbols_below = Derived("symbols", _symbols)


def free_vars(node: Node) -> frozenset[Var]:
    """The variables `node` uses but does not bind; loops, blocks and combiners bind theirs."""
    return _free_vars(node)


def dims_of(node: Node) -> frozenset[Dim]:
    """The dims that occur anywhere in `node`, the shapes of its buffers included."""
    return _dims_below(node)


def symbols_of(node: Node) -> frozenset[Symbol]:
    """The variables and dims that occur anywhere in `node`, bound ones included."""
    return _symbols_below(node)


def substitute(node: N, values: Mapping[Any, Expr]) -> N:
    """`node` with variables and dims replaced; what is rebuilt is folded on the way.

        i*4 + j, {i: 0} -> j

    Works on statements too: a variable that the statement binds may be renamed (its value is a
    variable), anything else raises IRError.
    """
    keys = frozenset(values)
    if symbols_of(node).isdisjoint(keys):
        return node
    done: dict[Node, Node] = dict(values)
    stack: list[Node] = [node]
    while stack:
        item = stack[-1]
        if item in done:
            stack.pop()
            continue
        missing = []
        for child in item.children:
            if child not in done:
                if symbols_of(child).isdisjoint(keys):
                    done[child] = child
                else:
                    missing.append(child)
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        if isinstance(item, (For, BlockIter, Multiple)) and not isinstance(done[item.var], Var):
            name = f"{item.var.name}{item.var.ordinal}"
            raise IRError(f"cannot substitute a value for {name}: the statement binds it")
        done[item] = folded(type(item), [_mapped(value, done) for value in item.values()])
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


def folded(kind: type[Node], fields: Sequence[Any]) -> Node:
    """`fold` of the node with these fields."""
    folding = _FOLDING.get(kind)
    if folding is not None:
        return folding(*fields)
    return fold(kind(*fields))


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
