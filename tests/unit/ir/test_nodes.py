"""Interned nodes: one object a content, told apart by type, gone when nobody holds them."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest

from passes.ir.dtypes import BOOL, F32, INDEX, DType, dtype
from passes.ir.expr import Add, Const, Dim, Expr, SymbolicInt, Var, ceildiv, const, index
from passes.ir.loop.nodes import For, Seq
from passes.ir.node import IRError, key_of, rewrite

I, J = Var("i", 0), Var("j", 1)  # noqa: E741


def test_one_object_a_content() -> None:
    assert Var("i", 0) is I
    assert Var(name="i", ordinal=0, dtype=INDEX) is I
    assert Var("i", ordinal=0) is I
    assert Add(I, J) is Add(b=J, a=I)
    assert For(I, const(3), Seq(())) is For(I, const(3), Seq(()), "serial", ())


def test_values_of_different_types_are_told_apart() -> None:
    assert Const(True, BOOL) is not Const(1, INDEX)
    assert Const(0.0, F32) is not Const(-0.0, F32)
    assert key_of((1, (True, 1.0))) != key_of((1, (1, 1.0)))
    assert key_of(("a", I)) == ("a", I)
    loops = [For(I, const(2), Seq(()), "serial", (("note", note),)) for note in (1, True, 1.0)]
    assert len(set(loops)) == 3


def test_nodes_nobody_holds_go_away() -> None:
    node = Add(Var("nobody", 77), I)
    watched = weakref.ref(node)
    del node
    gc.collect()
    assert watched() is None


def test_children_are_the_nodes_in_the_fields() -> None:
    assert Add(I, J).children == (I, J)
    loop = For(I, const(3), Seq((For(J, const(2), Seq(())),)))
    assert loop.children == (I, const(3), loop.body)
    assert I.children == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Add(I),
        lambda: Add(I, J, I),
        lambda: Add(I, c=J),
        lambda: Add(I, J, a=I),
        lambda: I.replace(size=3),
    ],
)
def test_fields_that_do_not_fit(make) -> None:
    with pytest.raises(TypeError):
        make()


def test_nodes_cannot_be_changed_and_are_checked() -> None:
    with pytest.raises(AttributeError):
        I.name = "j"  # type: ignore[misc]
    for _ in range(2):  # the first did not leave one behind
        with pytest.raises(IRError, match="constant"):
            Const(1.5, INDEX)


def test_rewriting_stays_out_of_what_is_not_where() -> None:
    e = Add(Add(I, J), Add(J, J))
    seen: list[object] = []

    def rule(node: object) -> None:
        seen.append(node)

    assert rewrite(e, rule, where=lambda n: n is not e.a) is e  # type: ignore[arg-type]
    assert seen == [J, e.b, e]


def test_there_is_one_object_of_each_type() -> None:
    assert DType("f32") is F32 is dtype("f32")
    assert F32.with_lanes(4).scalar is F32
    assert pickle.loads(pickle.dumps(F32)) is copy.deepcopy(F32) is F32
    for _ in range(2):
        with pytest.raises(ValueError, match="unknown element type"):
            DType("f31")


def test_symbolic_ints_stay_symbols_in_index_expressions() -> None:
    n, eight = Dim("n", 1, 64), SymbolicInt(8)
    symbol = Var("tile", 3)
    eight.expr = symbol
    e: Expr = n // eight * eight
    assert e is n // symbol * symbol
    assert index(eight) is symbol
    assert ceildiv(n, 4) is (n + 3) // 4
    assert Var("x", 5, F32) + eight is Var("x", 5, F32) + 8
