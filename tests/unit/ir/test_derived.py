"""Facts of nodes: what annotations promise of their fields, and how deep a fact goes."""

from __future__ import annotations

from passes.ir.arith import free_vars
from passes.ir.derived import Derived
from passes.ir.dtypes import BOOL, F32
from passes.ir.expr import Add, Const, Expr, Var, const
from passes.ir.graph.nodes import Apply, Input, TensorType
from passes.ir.loop.nodes import Block, BlockIter, Buffer, For, Load, Store
from passes.ir.node import Node

I = Var("i", 0)  # noqa: E741


def test_facts_of_deep_expressions() -> None:
    e: Expr = I
    for number in range(1, 2000):
        e = Add(e, Var("i", number))
    assert len(free_vars(e)) == 2000


def test_a_fact_is_computed_once_a_node() -> None:
    seen: list[Node] = []

    def count(node: Node, below: list[int]) -> int:
        seen.append(node)
        return 1 + sum(below)

    size = Derived("size_in_test", count)
    shared = Add(I, const(900))
    assert size(Add(shared, shared)) == 7
    assert size(Add(shared, I)) == 5
    assert len(seen) == len(set(seen)) == 5


def test_children_are_all_nodes_in_the_fields_of_every_kind() -> None:
    t = Buffer("t", 9, (const(4),), F32, strides=(const(1),))
    store = Store(t, (I,), Load(t, (I,)))
    iters = (BlockIter(I, const(4)),)
    asked = Const(True, BOOL)
    kind = TensorType((const(4),), F32)
    nodes = [
        t,
        store,
        For(I, const(4), store, "serial", (("note", 1), ("other", "x"))),
        Block("b", iters, (I,), store),
        Block("b", iters, (I,), store, store, asked, (("note", True),)),
        Apply("op", (Input("x", kind),), (("axes", (const(2), 3)), ("width", F32)), (kind,)),
    ]
    for node in nodes:
        assert node.children == tuple(_nodes_in(node.values()))


def _nodes_in(field: object) -> list[Node]:
    """The nodes of a field, those of tuples in it included."""
    if isinstance(field, tuple):
        return [node for part in field for node in _nodes_in(part)]
    return [field] if isinstance(field, Node) else []
