"""What is said of texts that are no loop programs, in full."""

import pytest

from passes.ir.dtypes import F32
from passes.ir.expr import Dim, Var
from passes.ir.loop.nodes import Buffer
from passes.ir.loop.parse import parse_function
from passes.ir.node import IRError
from tests.errors.loop_texts import HEAD, PAIR, SUM, message, shown


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
        ("x0[i4, k5]", "select(x0[i4, k5] and x0[i4, 0], f32(0.0), f32(1.0))",
         "line 9, column 35: select of f32, f32, f32"),
        ("f32(0.0)", "i32(0)",
         "line 8, column 21: store of i32 where 'y' takes f32"),
        ("\"sum\"", "3", "line 4, column 24: a block's label is a string"),
        ("[i4, k5]", "[i4, k5", "line 9, column 37: not loop IR text: '[' was never closed"),
    ],
)  # fmt: skip
def test_what_parsing_says(old, new, said):
    found = message(IRError, lambda: parse_function(SUM.replace(old, new)))
    assert found.splitlines()[0] == said


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
