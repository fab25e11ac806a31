"""What the loop IR says to somebody who got it wrong, in full."""

import textwrap

import numpy as np
import pytest

from passes.codegen.lower import lower
from passes.ir.dtypes import F32, I32
from passes.ir.expr import Const, Dim, Var, index
from passes.ir.loop.interpret import interpret
from passes.ir.loop.memory import ExecutionError
from passes.ir.loop.nodes import Block, Buffer, For, Function, Load, Store, View, seq
from passes.ir.loop.parse import parse_function
from passes.ir.loop.verify import verify, verify_lowered
from passes.ir.node import IRError

HEAD = "def f(x0: f32[n, 4], y1: f32[n], *, n: dim[1, 9]):\n"
SUM = f"""{HEAD}\
    for i2 in range(n):
        for k3 in range(4):
            with block("sum"):
                i4 = spatial(n, i2)
                k5 = reduce(4, k3)
                with init():
                    y1[i4] = f32(0.0)
                y1[i4] = y1[i4] + x0[i4, k5]
"""


def message(error: type[Exception], action) -> str:
    with pytest.raises(error) as caught:
        action()
    assert type(caught.value) is error
    return str(caught.value)


def shown(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


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
        ("    y1[0] = select(x0[0, 0] and x0[0, 1], f32(0.0), f32(1.0))\n", None),
        ("    y1[n and n] = f32(0.0)\n",
         "function 'f': n and n is not defined for operands of type index"),
        ("    if n:\n        pass\n", "function 'f': n is a condition but has type index"),
    ],
)  # fmt: skip
def test_rules_of_statements(body, said):
    found = message(IRError, lambda: verify(parse_function(HEAD + body)))
    if said is not None:
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


def test_text_that_does_not_read():
    text = SUM.replace("x0[i4, k5]", "z9[i4, k5]")
    assert message(IRError, lambda: parse_function(text)) == shown(
        """
        line 9, column 35: 'z9' is not a buffer
        6 |                 k5 = reduce(4, k3)
        7 |                 with init():
        8 |                     y1[i4] = f32(0.0)
        9 |                 y1[i4] = y1[i4] + z9[i4, k5]
          |                                   ^
        """
    )
    text = HEAD + "    try:\n        pass\n    finally:\n        pass\n"
    assert message(IRError, lambda: parse_function(text)) == shown(
        """
        line 2, column 5: not a statement of the loop IR; those are 'for … in range(…)', 'while', 'if', 'with block(…)', 'with async_group(…)', 'x[…] = …', async_wait(…), launch(…), barrier() and pass
        1 | def f(x0: f32[n, 4], y1: f32[n], *, n: dim[1, 9]):
        2 |     try:
          |     ^
        3 |         pass
        4 |     finally:
        5 |         pass
        """  # noqa: E501
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("range(4)", "loop(4)",
         "line 3, column 19: no loops of kind 'loop'; there are range, parallel, vectorized,"
         " unrolled, block.x, block.y, block.z, thread.x, thread.y, thread.z"),
        ("[n, 4]", "[n, 4](scope=3)",
         "line 1, column 27: a buffer has strides=[…], align=bytes, pitch=[[axis, factor,"
         " offset]] or distribution=distribution(…), not 'scope=3'"),
        ("[n, 4]", "[n, 4](strides=[5, 1], pitch=[[2, 4, 1]])",
         "line 1, column 7: buffer 'x' has a pitch of 2, 4, 1"),
        ("[n, 4]", "[n, 4](align=24)",
         "line 1, column 7: buffer 'x' has alignment 24, not a power of two"),
        ("[n, 4]", '[n, 4](distribution=distribution({"i": 3}, {}))',
         "line 1, column 34: coordinate 'i' has size 3, not a power of two"),
        ("[n, 4]", '[n, 4](distribution=distribution(4, {}))',
         'line 1, column 34: a distribution is written as in distribution({"i": 2, "j": 4},'
         ' {"lane": [[1, 0], [0, 1], [0, 2]]})'),
        ("x0: f32", "x0: f31",
         "line 1, column 7: unknown element type 'f31'; known: f64, f32, f16, bf16, i64, i32,"
         " i16, i8, u64, u32, u16, u8, bool, index"),
        ("dim[1, 9]", "dim[n]", "line 1, column 37: dim 'n' is written 'n: dim[low, high]'"),
        ("k3 in", "i2 in", "line 3, column 9: 'i2' already has a meaning here"),
        ("f32(0.0)", "i32(0)",
         "line 8, column 21: store of i32 where 'y' takes f32"),
        ("\"sum\"", "3", "line 4, column 24: a block's label is a string"),
        ("[i4, k5]", "[i4, k5", "line 9, column 37: not loop IR text: '[' was never closed"),
    ],
)  # fmt: skip
def test_what_parsing_says(old, new, said):
    found = message(IRError, lambda: parse_function(SUM.replace(old, new)))
    assert found.splitlines()[0] == said


def run(body: str, n: int = 3, **options):
    function = parse_function(HEAD + body)
    arrays = [np.zeros((n, 4), np.float32), np.zeros(n, np.float32)]
    return message(ExecutionError, lambda: interpret(function, {"n": n}, arrays, **options))


def test_out_of_bounds():
    assert run("    for i2 in range(n + 1):\n        y1[i2 - 1] = x0[i2, 3]\n") == (
        "function 'f': y1[i2 - 1] (where i2 = 0) touches element [-1], outside the buffer's"
        " shape [3]; tighten the loop's extent or guard the access by a predicate"
    )
    block = "    for i2 in range(n + 1):\n        with block('b'):\n            "
    assert run(f"{block}i3 = spatial(n + 1, i2)\n            y1[0] = x0[i3, 3]\n") == (
        "function 'f', block 'b': x0[i3, 3] (where i3 = 3) touches element [3, 3], outside the"
        " buffer's shape [3, 4]; tighten the loop's extent or guard the access by a predicate"
    )
    assert run(f"{block}i3 = spatial(n, i2)\n            y1[i3] = x0[i3, 3]\n") == (
        "function 'f', block 'b': i2 (where i2 = 3) gives iterator i3 the value 3, outside 0..2;"
        " guard the block by a predicate"
    )


def test_reads_of_nothing():
    text = "    t2 = alloc(f32[n])\n    for i3 in range(n):\n        y1[i3] = t2[i3]\n"
    assert run(text) == (
        "function 'f': t2[i3] (where i3 = 0) is read before anything is stored there;"
        " store to it first"
    )


def test_races():
    assert run(
        "    for i2 in parallel(n):\n        y1[i2] = y1[(i2 + 1)%3]\n", check_races=True
    ) == (
        "function 'f': y1[i2] (where i2 = 1) is stored to here and touched at the same time by"
        " another thread or parallel iteration; put a barrier between the two, or make the loop"
        " serial"
    )
    waiting = "    for i2 in range(thread_id() + 1):\n        barrier()\n"
    assert run(waiting, threads=2) == (
        "function 'f': threads disagree about a loop or condition around a barrier ([1, 2]),"
        " so some would wait for ever"
    )


def test_arguments():
    function = parse_function(SUM)
    x, y = np.zeros((3, 4), np.float32), np.zeros(3, np.float32)

    def said(dims, *arrays):
        return message(ExecutionError, lambda: interpret(function, dims, arrays))

    assert said({"n": 3}, x) == "function 'f' takes 2 arrays, not 1"
    assert said({"m": 3}, x, y) == "function 'f' takes dims (n), not {'m': 3}"
    assert said({"n": 10}, x, y) == "function 'f': dim n = 10 is outside its declared bounds 1..9"
    assert said({"n": 2}, x, y) == ("function 'f': parameter x0 takes f32[2, 4], not float32[3, 4]")
    assert said({"n": 3}, x, x[0, :3]) == (
        "function 'f': parameters y and x share memory, but y is stored to"
    )
    host = parse_function('@kernel(kind="host")\ndef g(x0: f32[4]):\n    launch("k", [], [x0])\n')
    assert message(ExecutionError, lambda: interpret(host, {}, [x[0]])) == (
        "function 'g' launches 'k', which is not among the kernels given (none)"
    )


def test_division_by_zero():
    assert run("    y1[0] = cast(n%(n - 3), f32)\n") == (
        "function 'f': n%(n - 3) (where n = 3) divides by zero"
    )


PAIR = f"""{HEAD[:-3]}, k: dim[1, 2]):
    best2 = alloc(f32[n])
    @combiner(f32("-inf"), f32(0.0))
    def last(a: f32, b: f32, c: f32, d: f32):
        return max(a, c), select(a < c, d, b)
    for i in range(n):
        for j in range(4):
            with block("last"):
                v = spatial(n, i)
                w = reduce(4, j)
                with init():
                    best2[v] = f32("-inf")
                    y1[v] = f32(0.0)
                best2[v], y1[v] = last(best2[v], y1[v], x0[v, w], f32(1.0))
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("last(best2[v], y1[v],", "last(best2[v], y1[w],",
         "line 14, column 17: an update is 'x[…], y[…] = last(x[…], y[…], value, value)': the"
         " combiner takes what it stores to, and new values"),
        (", f32(1.0))", ")",
         "line 14, column 17: combiner 'last' takes (f32, f32), not operands (f32)"),
        ("f32(1.0))", "i32(1))",
         "line 14, column 17: combiner 'last' takes (f32, f32), not operands (f32, i32)"),
        ("(a: f32, b", "(a: i32, b",
         "line 5, column 16: Max of different types i32 and f32"),
        ("@combiner(f32(\"-inf\"), ", "@combiner(",
         "line 4, column 5: combiner 'last' takes, gives and starts with different types:"
         " (f32, f32), (f32, f32), (f32, f32), (f32)"),
        ("return max(a, c), select", "pass; return max(a, c), select",
         "line 4, column 5: a combiner is '@combiner(identity, …)' and 'def name(left: type, …,"
         " right: type, …):' with a 'return'"),
        ("c: f32", "best2: f32", "line 4, column 30: 'best2' already has a meaning here"),
    ],
)  # fmt: skip
def test_what_parsing_says_of_tuples(old, new, said):
    found = message(IRError, lambda: parse_function(PAIR.replace(old, new)))
    assert found.splitlines()[0] == said


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
        ("w = reduce(4, j)", "w = opaque(4, j)\n                u = view(x0[v, w:+5])\n"
         "                t = view(u[w])", None),
        ("w = reduce(4, j)", "w = reduce(4, j)\n                u = view(x0[j, 0:+4])",
         "function 'f', block 'last': j8 is not bound here; what stands here may speak of its own"
         " iterators and of dims"),
        ("w = reduce(4, j)", "w = reduce(4, j)\n                u = view(x0[v, 0:+v])",
         "function 'f', block 'last': v9 in the shape of u11 is not an expression of the"
         " function's dims; declare them"),
        ("                    y1[v] = f32(0.0)", "                    y1[v] = u[0]", None),
    ],
)  # fmt: skip
def test_rules_of_tuples_and_views(old, new, said):
    assert old in PAIR
    text = PAIR.replace(old, new)
    if "u[0]" in new:
        text = text.replace("w = reduce(4, j)", "w = reduce(4, j)\n" + " " * 16
                            + "u = view(x0[v, w:+1])")  # fmt: skip
        said = (
            "function 'f', block 'last': w10 is not bound here; what stands here may speak of its"
            " own iterators and of dims"
        )
    if said is None:
        verify(parse_function(text))
        return
    found = message(IRError, lambda: verify(parse_function(text)))
    assert found.splitlines()[0] == said
    assert "^" in found


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


GRID = f"""{HEAD}\
    s2 = alloc(f32[32], scope="shared")
    for b in block.x(n):
        with async_group("s"):
            for t in thread.x(32):
                s2[t] = x0[b, t % 4]
        async_wait("s", 0, [s2])
        barrier()
        for t in thread.x(32):
            if t == 0:
                y1[b] = s2[t]
"""


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


def test_what_a_cpu_does_not_have():
    assert message(IRError, lambda: lower(parse_function(GRID))) == (
        "'f': loop b3 is bound to block.x; a CPU has no thread blocks, bind it on a GPU target or"
        " make it parallel"
    )
    text = GRID.replace("block.x", "range").replace("thread.x", "range")
    text = text.replace("        barrier()\n", "")
    assert message(IRError, lambda: lower(parse_function(text))) == (
        "'f': buffer s2 has scope 'shared'; a CPU has global, local and register buffers"
    )
    text = text.replace(', scope="shared"', "").replace("f32[32]", "f32[32](align=128)")
    assert message(IRError, lambda: lower(parse_function(text))) == (
        "'f': buffer s2 is aligned to 128 bytes; a CPU's buffers are to 64"
    )


def test_a_view_that_reaches_too_far():
    body = (
        "    for i2 in range(n):\n        with block('b'):\n            i3 = spatial(n, i2)\n"
        "            v4 = view(x0[i3:+2, 3])\n            y1[i3] = v4[0]\n"
    )
    assert run(body) == (
        "function 'f', block 'b': x0[i3, 3] (where i3 = 2) is where a view begins that reaches 4,"
        " outside the buffer's shape [3, 4]; guard the block by a predicate"
    )
    within = body.replace("v4[0]", "v4[2]").replace("i3:+2", "0:+2")
    assert run(within) == (
        "function 'f', block 'b': v4[2] touches element [2], outside the buffer's shape [2];"
        " tighten the loop's extent or guard the access by a predicate"
    )


def test_names_of_other_letters():
    n = Dim("n", 1, 9)
    said = [message(IRError, action) for action in (
        lambda: Buffer("é", 0, (n,), F32), lambda: Buffer("x1", 0, (n,), F32),
        lambda: Var("größe", 1), lambda: Var("", 1),
    )]  # fmt: skip
    assert said == [
        "buffer name 'é' must be ASCII letters and underscores",
        "buffer name 'x1' must be ASCII letters and underscores",
        "variable name 'größe' must be ASCII letters and underscores",
        "variable name '' must be ASCII letters and underscores",
    ]
