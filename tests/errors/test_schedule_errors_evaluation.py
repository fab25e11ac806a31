"""Refusals of steps that would evaluate something after it has changed, or where it was not
evaluated and may not be."""

from __future__ import annotations

from tests.unit.schedule.steps import Case, program, refusals
from tests.unit.schedule.texts import SHARES

FLAGS = "x: i32[4, 3], y: i32[4], p: i32[4]"
LIT = """
for i in range(4):
    with block("light"):
        w = spatial(4, i)
        p[w] = x[w, 0]
    for k in range(3):
        with block("sum"):
            v = spatial(4, i)
            u = reduce(3, k)
            where(i32(0) < p[i])
            with init():
                y[v] = i32(0)
            y[v] = y[v] + x[v, u]
"""
MOVED = """
for i in range(4):
    for k in range(3):
        with block("move"):
            w = ordered(4, i)
            o = ordered(3, k)
            p[w] = p[w]//i32(2)
        with block("sum"):
            v = ordered(4, cast(min(max(p[i], i32(0)), i32(3)), index))
            u = reduce(3, k)
            with init():
                y[v] = i32(0)
            y[v] = y[v] + x[v, u]
"""
WHILE = """
for i in range(4):
    while i32(0) < p[i]:
        for k in range(3):
            with block("sum"):
                v = spatial(4, i)
                u = reduce(3, k)
                with init():
                    y[v] = i32(0)
                y[v] = y[v] + x[v, u]
        p[i] = p[i]//i32(2)
"""
# Without iterations of k nobody divides by m
DIVIDED = """
for k in range(m):
    for j in range(12//m):
        with block("sum"):
            v = spatial(12, j)
            u = reduce(m, k)
            with init():
                y[v] = i32(0)
            y[v] = y[v] + x[v, u]
"""
MAYBE_NONE = "x: i32[12, m], y: i32[12], *, m: dim[0, 64]"
# Without iterations of k nobody reads p, which has no elements then
COUNTED = DIVIDED.replace("12//m", "cast(p[0], index)")
COUNTS = "x: i32[12, m], y: i32[12], p: i32[m], *, m: dim[0, 64]"
SHRINKING = """
for i in range(cast(min(max(p[0], i32(0)), i32(4)), index)):
    for k in range(3):
        with block("move"):
            w = ordered(4, i)
            o = ordered(3, k)
            p[0] = x[w, o]
        with block("keep"):
            v = ordered(4, i)
            u = ordered(3, k)
            y[v] = y[v] + x[v, u]
"""
PADDED = """
for i in range(6):
    for j in range(cast(y[0, 0], index)):
        with block("pad"):
            u = spatial(6, i)
            v = spatial(8, j)
            y[u, v] = select(1 <= u and u < 5, x[u, v], i32(0))
"""
SQUARES = "x: i32[6, 8], y: i32[6, 8]"
ROWS = """
for i in range(n):
    for k in range(m):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(m, k)
            with init():
                y[v] = i32(0)
            y[v] = y[v] + x[v, u]
"""
ANY_ROWS = "x: i32[n, m], y: i32[n], *, n: dim[1, 64], m: dim[0, 64]"
PARTS = """
for i in range(n):
    for k in range(12//m):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(12//m, k)
            with init():
                y[v] = i32(0)
            y[v] = y[v] + x[v, u]
"""
ANY_PARTS = "x: i32[n, 12], y: i32[n], *, n: dim[0, 64], m: dim[0, 64]"
CONDITION = """
for i in range(n):
    if 12 % (n - i) < 1:
        with block("count"):
            v = spatial(n, i)
            y[v] = x[0]
"""
BINDING = """
for i in range(n):
    with block("count"):
        v = spatial(n, i)
        u = ordered(13, 12//(n - i))
        y[v] = x[min(u, 11)]
"""
# Only iterations beyond the last one reach the inner ones
BEYOND = """
for i in range(n):
    for k in range(max(0, i - n + 1)):
        with block("never"):
            v = spatial(n, i)
            u = ordered(4, FEW)
            y[v] = x[u]
"""
# What divides is 0 once the loop is done
COUNTDOWN = """
for i in range(n):
    with block("count"):
        v = ordered(n, i)
        u = ordered(13, cast(i32(12)//x[0], index))
        y[v] = x[min(u, 11)]
    with block("next"):
        w = ordered(n, i)
        x[0] = x[0] - i32(1)
"""
# Nothing runs where n is 0, until it is split by two numbers
FEWER = """
for i in range(m):
    with block("count"):
        v = spatial(m, i)
        u = ordered(13, 12//m)
        y[v] = x[min(u, 11)]
"""
TWELVE = "x: i32[12], y: i32[n], *, n: dim[1, 64]"
NOT_MANY = "x: i32[12], y: i32[m], *, m: dim[0, 16]"


def _split(reason: str, text: str) -> Case:
    place, why = "split of loop i2", "factor 4 may not divide its extent n, and "
    return program(text, TWELVE), lambda t: t.s.split(t.i, 4), place, why + reason, "for i2"


THROUGH_VIEW = """
for i in range(4):
    for k in range(3):
        with block("sum"):
            v = spatial(4, i)
            u = reduce(3, k)
            row = view(y[v:+1])
            with init():
                row[0] = i32(0)
            row[0] = row[0] + x[v, u]
"""


def _decompose(reason: str, text: str, head: str = FLAGS, loop: str = "i3") -> Case:
    place = f"decompose_reduction of block 'sum' at loop {loop}"
    step = lambda t: t.s.decompose_reduction("sum", getattr(t, loop[0]))  # noqa: E731
    return program(text, head), step, place, reason, 'with block("sum"):'


ASKED = """
for i in range(n):
    for j in range(6):
        with block("c"):
            u = spatial(n, i)
            v = spatial(6, j)
            where(f32(0.0) < b[i, 5 - j])
            a[u, v] = f32(1.0)
"""
MADE = """
s = alloc(f32[n, 6])
for i in range(n):
    for j in range(2):
        for l in range(4):
            with block("w"):
                u = spatial(n, i)
                v = spatial(6, j*4 + l)
                where(j*4 + l < 6)
                s[u, v] = f32(7.0)
for p in range(n):
    for q in range(6):
        with block("c"):
            u = spatial(n, p)
            v = spatial(6, q)
            where(f32(0.0) < b[p, 5 - q])
            a[u, v] = s[u, v]
"""
PAIR = "a: f32[n, 6], b: f32[n, 6], *, n: dim[1, 64]"
AT_ONCE = """
for i in parallel(n):
    for j in range(6):
        for k in range(min(i, 4)):
            with block("c"):
                u = spatial(n, i)
                v = spatial(6, j)
                w = ordered(4, k)
                a[u, v] = a[u, v] + b[u, w]
"""

CASES: dict[str, Case] = {
    "decompose predicate": _decompose("its predicate or a binding reads memory, which is stored"
        " to inside the loop", LIT),
    "decompose binding": _decompose("its predicate or a binding reads memory, which is stored"
        " to inside the loop", MOVED, loop="k4"),
    "decompose while": _decompose("a condition or a block stands between the loop and it", WHILE),
    "decompose divisor": _decompose("loop k2 may be empty, and the divisor m of what it would"
        " still evaluate may be 0", DIVIDED, MAYBE_NONE, "k2"),
    "decompose count": _decompose("loop k3 may be empty, and 'p2' may not reach as far as what it"
        " would still evaluate", COUNTED, COUNTS, "k3"),
    "decompose view": _decompose("its init speaks of its views", THROUGH_VIEW, loop="k4"),
    "blockize extent": (program(SHRINKING, FLAGS), lambda t: t.s.blockize(t.k),
        "blockize of loop k4", "the extent cast(min(max(p2[0], i32(0)), i32(4)), index) around it"
        " reads memory that the function stores to", "for k4"),
    "fuse divisor": (program(DIVIDED, MAYBE_NONE), lambda t: t.s.fuse(t.k, t.j),
        "fuse of loops k2, j3", "loop k2 may be empty, and the divisor m of what it would still"
        " evaluate may be 0", "for k2"),
    "reorder divisor": (program(DIVIDED, MAYBE_NONE), lambda t: t.s.reorder(t.j, t.k),
        "reorder of loops j3, k2", "loop k2 may be empty, and the divisor m of what it would still"
        " evaluate may be 0", "for j3"),
    "padding extent": (program(PADDED, SQUARES), lambda t: t.s.decompose_padding("pad", t.i),
        "decompose_padding of block 'pad' at loop i2", "the extent of loop j3 reads what it stores",
        'with block("pad"):'),
    "einsum none": (program(ROWS, ANY_ROWS), lambda t: t.s.pad_einsum("sum", (4, 4)),
        "pad_einsum of block 'sum'", "the reduction along u5 may be empty, and start nothing",
        'with block("sum"):'),
    "einsum parts": (program(PARTS, ANY_PARTS), lambda t: t.s.pad_einsum("sum", (4, 4)),
        "pad_einsum of block 'sum'", "the divisor m of an extent may be 0", 'with block("sum"):'),
    "split extent": _split("the extent of loop k3 divides by n - i2, which may be 0 beyond it",
        SHARES),
    "split condition": _split("a condition divides by n - i2, which may be 0 beyond it", CONDITION),
    "split binding": _split("a binding or predicate of block 'count' divides by n - i2, which may"
        " be 0 beyond it", BINDING),
    "split beyond": _split("a binding or predicate of block 'never' divides by 2 - k3, which may"
        " be 0 beyond it", BEYOND.replace("FEW", "2//(2 - k)")),
    "split counts": _split("a binding or predicate of block 'never' reads memory at it",
        BEYOND.replace("FEW", "cast(x[k], index)")),
    "split countdown": _split("a binding or predicate of block 'count' divides by x0[0], which may"
        " be 0 beyond it", COUNTDOWN),
    "split few": (program(FEWER, NOT_MANY), lambda t: t.s.split(t.i, (4, 4)),
        "split of loop i2", "the product 4*4 may not be its extent m, and a binding or predicate of"
        " block 'count' divides by m, which may be 0 beyond it", "for i2"),
    "layout predicate": (program(ASKED, PAIR), lambda t: t.s.transform_block_layout(
        "c", lambda i: ((i[0]*6 + i[1])//4, (i[0]*6 + i[1])%4)),
        "transform_block_layout of block 'c'", "its predicate would be asked of padding, too, and"
        " 'b1' may not reach as far as what it would still evaluate", 'with block("c"):'),
    "consumer predicate": (program(MADE, PAIR), lambda t: t.s.reverse_compute_at("c", t.l),
        "reverse_compute_at of block 'c' at loop l5", "its predicate would be asked beyond its"
        " bounds, and 'b1' may not reach as far as what it would still evaluate", "for l5"),
    "fuse at once": (program(AT_ONCE, PAIR), lambda t: t.s.fuse(t.j, t.k),
        "fuse of loops j3, k4", "the inner extent depends on a loop whose iterations run at once,"
        " and block 'c' has an order along them", "for j3"),
}  # fmt: skip

test_refusal = refusals(CASES)
