"""What the loop IR says to somebody who got it wrong, in full."""

import textwrap

import numpy as np
import pytest

from passes.ir.dtypes import F32
from passes.ir.expr import Const, Dim, Var
from passes.ir.loop.interpret import interpret
from passes.ir.loop.memory import ExecutionError
from passes.ir.loop.nodes import Buffer, For, Function, Store, seq
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
    assert message(IRError, lambda: parse_function(HEAD + "    while n:\n        pass\n")) == shown(
        """
        line 2, column 5: not a statement of the loop IR; those are 'for … in range(…)', 'with block(…)', 'x[…] = …', 'if', launch(…), barrier() and pass
        1 | def f(x0: f32[n, 4], y1: f32[n], *, n: dim[1, 9]):
        2 |     while n:
          |     ^
        3 |         pass
        """  # noqa: E501
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("range(4)", "loop(4)",
         "line 3, column 19: no loops of kind 'loop'; there are range, parallel, vectorized,"
         " unrolled"),
        ("[n, 4]", "[n, 4](scope=3)", "line 1, column 7: 'x0' needs a type such as f32[n, 4]"),
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
