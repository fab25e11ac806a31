"""What is said of loop programs that break a rule, in full."""

import pytest

from passes.ir.dtypes import F32, I32
from passes.ir.expr import Const, Dim, Var, index
from passes.ir.loop.nodes import Block, Buffer, For, Function, Load, Store, View, seq
from passes.ir.loop.parse import parse_function
from passes.ir.loop.verify import verify, verify_lowered
from passes.ir.node import IRError
from tests.errors.loop_texts import GRID, HEAD, PAIR, SUM, message, shown


def test_a_block_that_looks_around():
    text = SUM.replace("x0[i4, k5]", "x0[i2, k5]")
    assert message(IRError, lambda: verify(parse_function(text))) == shown(
        """
        function 'f', block 'sum': i2 is not bound here; what stands here may speak of its own iterators and of dims
        6 |                 k5 = reduce(4, k3)
        7 |                 with init():
        8 |                     y1[i4] = f32(0.0)
        9 |                 y1[i4] = y1[i4] + x0[i2, k5]
          |                                      ^^
        """  # noqa: E501
    )


def test_an_iterator_of_the_wrong_kind():
    text = SUM.replace("k5 = reduce", "k5 = spatial")
    assert message(IRError, lambda: verify(parse_function(text))) == shown(
        """
        function 'f', block 'sum': y1[i4] is stored to by all instances of spatial iterator k5; index with it, or make it a reduce iterator
         5 |                 i4 = spatial(n, i2)
         6 |                 k5 = spatial(4, k3)
         7 |                 with init():
         8 |                     y1[i4] = f32(0.0)
           |                     ^^^^^^
         9 |                 y1[i4] = y1[i4] + x0[i4, k5]
        """.replace("\n         ", "\n        ")  # noqa: E501
    )


def test_an_init_with_a_reduce_iterator():
    text = SUM.replace("f32(0.0)", "x0[i4, k5]")
    found = message(IRError, lambda: verify(parse_function(text)))
    assert found.startswith("function 'f', block 'sum': k5 is not bound here;")
    assert f"8 |{' ' * 21}y1[i4] = x0[i4, k5]\n  |{' ' * 37}^^\n" in found


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("    for i2 in parallel(n):\n        y1[0] = f32(0.0)\n",
         "function 'f': y1[0] is stored to by all iterations of parallel loop i2; make the loop"
         " serial, or store to a place for each iteration"),
        ("    for i2 in parallel(n):\n        with block(\"a\"):\n"
         "            k3 = reduce(n, i2)\n            y1[0] = y1[0] + x0[k3, 0]\n",
         "function 'f', block 'a': k3 is a reduce iterator bound to parallel loop i2, whose"
         " iterations run at the same time; make the loop serial"),
        ("    for i2 in parallel(n):\n        barrier()\n",
         "function 'f': barrier() inside a parallel loop: threads would wait for ever"),
        ("    launch(\"k\", [n], [x0])\n",
         "function 'f': \"k\" is launched by a kernel; only host programs launch kernels, those"
         " with the attribute kind=\"host\""),
        ("    y1[0] = call(\"exp\", f32, n)\n",
         "function 'f': call(\"exp\", f32, n) cannot be called: 'exp' does not take (index)"),
        ("    y1[n and n] = f32(0.0)\n",
         "function 'f': n and n is not defined for operands of type index"),
        ("    if n:\n        pass\n", "function 'f': n is a condition but has type index"),
    ],
)  # fmt: skip
def test_rules_of_statements(body, said):
    found = message(IRError, lambda: verify(parse_function(HEAD + body)))
    assert found.splitlines()[0] == said
    assert "^" in found


def test_names_bound_twice():
    n, i = Dim("n", 1, 9), Var("i", 0)
    y = Buffer("y", 1, (n,), F32)
    loops = [For(i, n, Store(y, (i,), Const(value, F32))) for value in (0.0, 1.0)]
    function = Function("f", (n,), (y,), (), seq(*loops))
    assert message(IRError, lambda: verify(function)) == shown(
        """
        function 'f': i0 is bound twice; every variable and buffer has an ordinal of its own
        1 | def f(y1: f32[n], *, n: dim[1, 9]):
        2 |     for i0 in range(n):
        3 |         y1[i0] = f32(0.0)
        4 |     for i0 in range(n):
          |         ^^
        5 |         y1[i0] = f32(1.0)
        """
    )


def test_names_from_elsewhere():
    n = Dim("n", 1, 9)
    x, y = Buffer("x", 0, (n,), F32), Buffer("y", 1, (n,), F32)
    body = Store(x, (n - 1,), Const(0.0, F32))
    assert message(IRError, lambda: verify(Function("f", (n,), (y,), (), body))) == shown(
        """
        function 'f': x0 is neither a parameter nor an alloc of the function
        1 | def f(y1: f32[n], *, n: dim[1, 9]):
        2 |     x0[n - 1] = f32(0.0)
          |     ^^
        """
    )
    found = message(IRError, lambda: verify(Function("f", (), (x,), (), body)))
    assert found.startswith("function 'f': n in the shape of x0 is not an expression of the")
    found = message(IRError, lambda: verify(Function("if", (n,), (x,), (), body)))
    assert found == (
        "function 'if': the function name 'if' must be a name that is not a keyword of Python,"
        " whose syntax the text has"
    )


def test_not_lowered():
    text = HEAD.replace(", 4]", "]") + "    for i2 in vectorized(4):\n        y1[i2] = x0[i2]\n"
    assert message(IRError, lambda: verify_lowered(parse_function(text))).startswith(
        "function 'f': i2 is a loop still vectorized after lowering\n"
    )
    assert message(IRError, lambda: verify_lowered(parse_function(SUM))) == (
        "function 'f': global buffer x0 of shape [n, 4] is not lowered;"
        " it needs one axis, and a constant size unless it is global"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max(a, c), ", "max(a, y1[0]), ",
         "function 'f': max(a3, y1[0]) reads memory; a combiner speaks of its parameters and of"
         " dims"),
        ("@combiner(f32(\"-inf\"), ", "@combiner(x0[0, 0], ",
         "function 'f': x0[0, 0] reads memory; a combiner speaks of its parameters and of dims"),
        ("y1[v] = last(best2[v], y1[v]", "best2[v] = last(best2[v], best2[v]",
         "function 'f', block 'last': best2[v9] is stored to twice at the same time"),
        ("y1[v] = last(best2[v], y1[v]", "y1[v + w] = last(best2[v], y1[v + w]",
         "function 'f', block 'last': y1[v9 + w10] is stored to at reduce iterator w10, whose"
         " instances all combine into one place; make the iterator spatial"),
        ("w = reduce(4, j)", "w = reduce(4, j)\n                u = view(x0[j, 0:+4])",
         "function 'f', block 'last': j8 is not bound here; what stands here may speak of its own"
         " iterators and of dims"),
        ("w = reduce(4, j)", "w = reduce(4, j)\n                u = view(x0[v, 0:+v])",
         "function 'f', block 'last': v9 in the shape of u11 is not an expression of the"
         " function's dims; declare them"),
    ],
)  # fmt: skip
def test_rules_of_tuples_and_views(old, new, said):
    assert old in PAIR
    found = message(IRError, lambda: verify(parse_function(PAIR.replace(old, new))))
    assert found.splitlines()[0] == said
    assert "^" in found


def with_view(line: str) -> str:
    """The tuple reduction with views of x0 in its block."""
    return PAIR.replace("w = reduce(4, j)", f"w = reduce(4, j)\n                {line}")


def test_how_far_views_reach_is_for_the_run():
    text = with_view("u = view(x0[v, w:+5])\n                t = view(u[w])")
    verify(parse_function(text.replace("reduce", "opaque")))


def test_an_init_does_not_look_through_a_view_at_a_reduce_iterator():
    text = with_view("u = view(x0[v, w:+1])").replace("    y1[v] = f32(0.0)", "    y1[v] = u[0]")
    assert message(IRError, lambda: verify(parse_function(text))).splitlines()[0] == (
        "function 'f', block 'last': w10 is not bound here; what stands here may speak of its"
        " own iterators and of dims"
    )


def test_a_combiner_is_shown_where_it_is_wrong():
    text = PAIR.replace("max(a, c), ", "max(a, y1[0]), ")
    assert message(IRError, lambda: verify(parse_function(text))) == shown(
        """
        function 'f': max(a3, y1[0]) reads memory; a combiner speaks of its parameters and of dims
        2 |     best2 = alloc(f32[n])
        3 |     @combiner(f32("-inf"), f32(0.0))
        4 |     def last(a3: f32, b4: f32, c5: f32, d6: f32):
        5 |         return max(a3, y1[0]), select(a3 < c5, d6, b4)
          |                ^^^^^^^^^^^^^^
        6 |     for i7 in range(n):
        7 |         for j8 in range(4):
        8 |             with block("last"):
        """
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("        barrier()\n        for t in thread.x(32):\n",
         "        for t in thread.x(32):\n            barrier()\n",
         "function 'f': barrier() inside a thread loop: threads would wait for ever"),
        ("            for t in thread.x", "            for t in block.x",
         "function 'f': t4 is bound to block.x inside b3, which is bound to block.x; each axis"
         " once, those of blocks outside"),
        ("for b in block.x(n)", "for b in thread.y(n)",
         "function 'f': \"s\" is a group of copies inside a thread loop; put the loop inside the"
         " group"),
        ("        async_wait(\"s\", 0, [s2])\n",
         "        for t in thread.x(32):\n            async_wait(\"s\", 0, [s2])\n",
         "function 'f': \"s\" is waited for in a thread loop; wait outside it, for all iterations"),
        ("async_wait(\"s\", 0, [s2])", "async_wait(\"s\", 0, [y1])",
         "function 'f': \"s\" has groups of copies to [s2], which its waits name"),
        ("async_wait(\"s\", 0, ", "async_wait(\"t\", 0, ",
         "function 'f': \"t\" has groups of copies to [], which its waits name"),
        ("async_wait(\"s\", 0, ", "async_wait(\"s\", i32(0), ",
         "function 'f': i32(0) is a number of groups but has type i32"),
        ("s2[t] = x0[b, t % 4]", "s2[t] = s2[t] + x0[b, t % 4]",
         "function 'f': s2 is read by the group of copies that stores to it; it holds nothing yet"),
        ("s2[t] = x0[b, t % 4]", "s2[0] = x0[b, t % 4]",
         "function 'f': s2[0] is stored to by all iterations of parallel loop t4; make the loop"
         " serial, or store to a place for each iteration"),
        ("            if t == 0:\n                y1", "            if n == 0:\n                y1",
         "function 'f': y1[b3] is stored to by all iterations of parallel loop t5; make the loop"
         " serial, or store to a place for each iteration"),
        ("            for t in thread.x(32):\n                s2[t]",
         "            with async_group(\"t\"):\n                s2[0]",
         "function 'f': \"t\" is a group of copies inside another group"),
    ],
)  # fmt: skip
def test_rules_of_thread_blocks_and_copies(old, new, said):
    verify(parse_function(GRID))
    assert old in GRID
    text = GRID.replace(old, new, 1)
    if "async_group" in new:
        text = text.replace("t % 4", "0")
    found = message(IRError, lambda: verify(parse_function(text)))
    assert found.splitlines()[0] == said
    assert "^" in found


def test_copies_are_no_computations():
    text = GRID.replace(
        "                s2[t] = ", "                barrier()\n                s2[t] = "
    )
    assert message(IRError, lambda: verify(parse_function(text))).splitlines()[0] == (
        "function 'f': async_group holds a statement that is no copy (Barrier)"
    )


def test_a_view_ends_with_its_block():
    v = Buffer("v", 9, (index(4),), F32)
    x, y = Buffer("x", 0, (index(4), index(4)), F32), Buffer("y", 1, (index(4),), F32)
    store = Store(y, (index(0),), Load(v, (index(0),)))
    view = View(v, Load(x, (index(0), index(0))), (None, index(4)))
    block = Block("b", (), (), store, views=(view,))
    verify(Function("f", (), (x, y), (), block))
    function = Function("f", (), (x, y), (), seq(block, store))
    assert message(IRError, lambda: verify(function)).splitlines()[0] == (
        "function 'f': v9 is neither a parameter nor an alloc of the function"
    )


def test_views_of_another_kind():
    x, v = Buffer("x", 0, (index(4), index(4)), F32), Buffer("v", 9, (index(4),), F32)
    start = Load(x, (index(0), index(0)))
    for buffer, extents, said in [
        (v, (index(4),), "view v9 has 1 extents for its source's axes"),
        (v, (None, index(3)), "view v9 has another shape than its extents say"),
        (v.replace(dtype=I32), (None, index(4)),
         "view v9 is i32 in scope 'global', its source f32 in scope 'global'"),
        (v.replace(scope="local"), (None, index(4)),
         "view v9 is f32 in scope 'local', its source f32 in scope 'global'"),
        (v.replace(align=64), (None, index(4)),
         "view v9 has the layout of its source, and none of its own"),
    ]:  # fmt: skip
        assert message(IRError, lambda b=buffer, e=extents: View(b, start, e)) == said


def test_a_distribution_that_does_not_tile():
    tile = 'distribution=distribution({"j": 32}, {"lane": [[1], [2], [4], [8], [16]]})'
    text = GRID.replace("alloc(f32[32]", f"alloc(f32[48]({tile})")
    assert message(IRError, lambda: verify(parse_function(text))).splitlines()[0] == (
        "function 'f': s2 has 48 elements along 'j', of which its distribution places 32 at a time"
    )
