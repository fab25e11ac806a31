"""Hand-written text: what reads, how it is spelled, what canonical form does to it."""

import re

import pytest

from passes.ir.dtypes import F32
from passes.ir.expr import Const, Dim, Var, index
from passes.ir.loop.canonical import canonical
from passes.ir.loop.nodes import Barrier, Block, Buffer, For, Function, Seq, Store, seq
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import Listing, print_function, print_type, window

EVERYTHING = """\
@kernel(kind="host", level=-2, ratio=0.5, fast=True)
def everything(x0: f32[n, 4](strides=[8, 1]), q1: u8[n, 16], *, n: dim[1, 512], m: dim[0, 9]):
    t2 = alloc(f32[n])
    s3 = alloc(f32[()], scope="local")
    r4 = alloc(i32[16], scope="register")
    w17 = alloc(f16[n, 16, 16](align=16, distribution=distribution({"i": 16, "j": 16}, {"register": [[0, 1], [8, 0], [0, 8]], "lane": [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]]})), scope="fragment")
    @combiner(i32(0))
    def exp(a22: i32, b23: i32):
        return a22 ^ b23
    @combiner(f32("-inf"), f32(0.0))
    def online(m18: f32, s19: f32, m20: f32, s21: f32):
        return max(m18, m20), s19*exp(m18 - max(m18, m20)) + s21*exp(m20 - max(m18, m20))
    pass
    for i5 in range(n):
        with block("sum", tag="a \\"quoted\\" \\\\ note"):
            i6 = spatial(n, i5)
            k7 = reduce(4, 3)
            o9 = ordered(n + m, i5)
            where(i5 < n - 1 and not i5 == 3)
            with init():
                t2[i6] = f32("-inf")
            t2[i6] = max(t2[i6], x0[i6, k7])
    for i10 in parallel(n, grain=16):
        for j11 in vectorized(16):
            for k12 in unrolled(i32(4)):
                s3[()] = select(i10 <= j11, f32(0.5), cast(k12, f32))
    r4[ramp(0, 1, 16)] = reinterpret(q1[0, ramp(0, 1, 64)], i32x16)
    while r4[0] < i32(9) and not n == 3:
        r4[0] = exp(r4[0], cast(t2[0], i32))
    for b24 in block.y(n + 1, grain=3):
        with async_group("a queue"):
            for t25 in thread.x(32):
                t2[b24*32 + t25] = x0[b24, t25]
        async_wait("a queue", min(b24, 1), [t2])
        barrier()
        with block("part"):
            p26 = opaque(n, b24)
            v27 = view(x0[p26, 0:+4])
            u28 = view(v27[2:+(n - n)])
            e29 = view(s3[()])
            t2[p26], e29[()] = online(t2[p26], e29[()], v27[ramp(0, 1, 1)], u28[0])
    if n % 2 == 0:
        barrier()
    else:
        launch("other", [n, m + 1], [x0, t2])
"""  # noqa: E501


def test_every_construct_reads_back():
    function = parse_function(EVERYTHING)
    text = print_function(function)
    assert parse_function(text) is function

    def bare(spelled: str) -> str:
        return re.sub(r"(?<=\b[a-z])\d+|(?<=\bexp)_1", "", spelled)

    assert bare(text) == bare(EVERYTHING.replace("    pass\n", "").replace("n % 2", "n%2"))


def test_names_in_text_are_free():
    a = parse_function("def f(x: f32[4]):\n    for i in range(4):\n        x[i] = f32(1.0)\n")
    b = parse_function("def f(x9: f32[4]):\n    for i7 in range(4):\n        x9[i7] = f32(1.0)\n")
    assert a is b


def test_a_name_may_be_bound_again_after_its_loop():
    loop = "    for i in range(4):\n        x[i] = f32(1.0)\n"
    assert len(parse_function(f"def f(x: f32[4]):\n{loop}{loop}").body.stmts) == 2


def test_canonical_avoids_names_of_types_and_dims():
    n = Dim("k1", 1, 4)
    x = Buffer("x", 77, (n,), F32)
    body = Store(x, (index(0),), Const(1.0, F32))
    for number in range(9):
        body = For(Var("i" if number else "k", 90 + number), index(2), body)
    text = print_function(Function("f", (n,), (x,), (), body))
    assert "for i1 in" in text and "for k9 in" not in text
    assert "i8" not in text and "k1 in" not in text
    assert parse_function(text) is canonical(Function("f", (n,), (x,), (), body))


def test_canonical_makes_labels_unique_and_flattens():
    empty = Block("b", (), (), Barrier())
    other = Block("b", (), (), Seq(()))
    done = canonical(Function("f", (), (), (), seq(empty, other)))
    assert [stmt.label for stmt in done.body.stmts] == ["b", "b_1"]


def test_listing_knows_where_statements_start():
    listing = Listing(parse_function(EVERYTHING))
    heads = [listing.lines[start].strip().split(" ")[0] for start in listing.starts]
    assert heads == [
        "for", "with", "t2[i13]", "t2[i13]", "for", "for", "for", "s3[()]", "r4[ramp(0,",
        "while", "r4[0]", "for", "with", "for", "t2[b20*32", 'async_wait("a', "barrier()", "with",
        "t2[p22],", "if",
        "barrier()", 'launch("other",',
    ]  # fmt: skip


def test_window_underlines_a_part():
    lines = [f"line {n}" for n in range(9)]
    assert window(lines, 4, "4") == (
        "2 | line 1\n3 | line 2\n4 | line 3\n5 | line 4\n  |      ^\n"
        "6 | line 5\n7 | line 6\n8 | line 7"
    )


@pytest.mark.parametrize("shape", ["()", "n", "n, 4"])
def test_types_of_buffers(shape):
    f = parse_function(f"def f(x0: f32[{shape}], *, n: dim[1, 9]):\n    pass\n")
    assert print_type(f.params[0]) == f"f32[{shape}]"
