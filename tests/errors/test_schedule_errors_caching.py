"""Refusals of the primitives that stage, rearrange, cut and note."""

from __future__ import annotations

import math

from tests.unit.schedule.steps import Case, program, refusals
from tests.unit.schedule.texts import (
    BACKWARDS,
    COUNTED,
    FILL,
    HALVES,
    IDS,
    SUM,
    TWO,
    of_rows,
    where,
)

PARTLY = """
t = alloc(f32[n])
for i in range((n + 1)//2):
    with block("one"):
        v = spatial(n, i)
        t[v] = x[v]
for j in range((n + 1)//2):
    with block("two"):
        w = spatial(n, j)
        y[w] = t[cast(p[w], index)]
"""
GATHER = """
for i in range(n):
    with block("pick"):
        v = spatial(n, i)
        where(i < 3)
        y[v] = x[cast(p[v], index)]
"""
DIVIDED = """
for i in range(4):
    for k in range(8):
        with block("sum"):
            v = spatial(4, i)
            u = reduce(8, k)
            where(i32(0) < p[k])
            s[v] = s[v] + i32(7)//p[u]*q[v, u]
"""
SEVERAL = """
for i in range(n):
    with block("mean"):
        v = spatial(n, i)
        y[v] = x[v] + x[n - 1 - v]
"""
IN_PLACE = """
for i in range(n):
    with block("one"):
        v = spatial(n, i)
        x[v] = x[v] + f32(1.0)
"""
PAIR = """
for i in range(n):
    with block("both"):
        v = spatial(n, i)
        x[v] = a[v, 0]
        y[v] = a[v, 1]
"""
TWICE = """
for i in range(4):
    with block("both"):
        v = spatial(4, i)
        y[v] = x[v]
        y[v + 4] = x[v]
"""
SCATTER = """
for i in range(n):
    with block("put"):
        v = spatial(n, i)
        y[cast(p[v], index)] = x[v]
"""
BRANCH = """
for i in range(n):
    with block("some"):
        v = spatial(n, i)
        if v < 3:
            y[v] = x[v]
"""
FROM_OLD = """
for r in range(2):
    for k in range(8):
        with block("sum"):
            v = spatial(1, 0)
            u = reduce(8, k)
            with init():
                y[v] = y[v] + f32(1.0)
            y[v] = y[v] + a[0, u]
"""
RUNNING = """
for i in range(4):
    for k in range(8):
        with block("run"):
            v = spatial(4, i)
            u = spatial(8, k)
            a[v, u] = a[v, max(u - 1, 0)] + f32(1.0)
"""
UNKNOWN = """
for i in range(4):
    for k in range(8):
        with block("run"):
            v = spatial(4, i)
            u = opaque(8, k)
            a[v, u] = x[v]
"""
ENDLESS = """
for i in range(n):
    while p[0] < i32(3):
        with block("count"):
            v = ordered(n, i)
            p[0] = p[0] + i32(1)
"""
BARRIERS = """
for b in block.x(4):
    for i in range(8):
        with block("fill"):
            v = spatial(4, b)
            w = spatial(8, i)
            a[v, w] = x[v]
        barrier()
"""
VIEWED = """
t = alloc(f32[8])
for i in range(2):
    with block("fill"):
        v = spatial(2, i)
        z = view(t[v*4:+4])
        for j in range(4):
            z[j] = x[v]
"""
AGAIN = """
for k in range(8):
    for r in range(2):
        with block("sum"):
            u = reduce(8, k)
            with init():
                y[0] = f32(0.0)
            y[0] = y[0] + a[0, u]
"""
IN_ORDER = """
for i in range(n):
    for s in range(3):
        for k in range(4):
            with block("sum"):
                v = spatial(n, i)
                o = ordered(3, s)
                u = reduce(4, k)
                with init():
                    y[v] = f32(0.0)
                y[v] = y[v] + a[v, o + u]
"""
FOUR = "x: f32[4], y: f32[8], a: f32[4, 8]"
FILLED = 'with block("fill"):'

CASES: dict[str, Case] = {
    "split alone": (program(TWO), lambda t: t.s.split(t.i, (4,)),
        "split of loop i4", "it takes at least two factors, of which at most one is left open",
        "for i4"),
    "split open": (program(TWO), lambda t: t.s.split(t.i, (None, None)),
        "split of loop i4", "it takes at least two factors, of which at most one is left open",
        "for i4"),
    "split by a loop": (program(SUM), lambda t: t.s.split(t.k, t.i + 1),
        "split of loop k4", "factor i3 + 1 is not an expression of dims", "for k4"),
    "split by nothing": (program(TWO), lambda t: t.s.split(t.i, t.s.expr("n//2")),
        "split of loop i4", "factor n//2 may be less than 1", "for i4"),
    "split short": (program(TWO), lambda t: t.s.split(t.i, (4, 4)),
        "split of loop i4", "the factors may not reach its extent n", "for i4"),
    "split exactly": (program(TWO), lambda t: t.s.split(t.i, (None, 2, 2), False),
        "split of loop i4", "factor 2*2 may not divide its extent n", "for i4"),
    "split exactly closed": (program(TWO), lambda t: t.s.split(t.i, (8, 8), False),
        "split of loop i4", "the product 8*8 may not be its extent n", "for i4"),
    "split moving": (program(COUNTED, IDS), lambda t: t.s.split(t.k, 2),
        "split of loop k4", "its extent cast(p2[0], index) reads memory stored to inside",
        "for k4"),
    "split lanes": (program(of_rows(FILL, "4*n"),
                            "x: f32[4*n], a: f32[4*n, 8], *, n: dim[1, 4]"),
        lambda t: (t.s.unroll(t.j), t.s.split(t.j, (t.s.expr("n"), 8))),
        "split of loop j3", "it is unrolled, and n is not a constant", "for j3"),
    "split endless": (program(ENDLESS, IDS), lambda t: t.s.split(t.i, 4),
        "split of loop i3", "factor 4 may not divide its extent n, and a while loop inside might"
        " not end", "for i3"),
    "unit loop in lanes": (program(of_rows(FILL, "4"), FOUR),
        lambda t: (t.s.vectorize(t.j), t.s.add_unit_loop("fill")),
        "add_unit_loop of block 'fill'", "vectorized loop j4 would break: loop u7 inside it is"
        " serial", FILLED),
    "annotate name": (program(SUM), lambda t: t.s.annotate(t.i, "two words", 1),
        "annotate of loop i3", "'two words' is no name that an annotation can have", "for i3"),
    "annotate infinity": (program(SUM), lambda t: t.s.annotate("sum", "weight", math.inf),
        "annotate of block 'sum'", "the value inf is not finite", 'with block("sum"):'),
    "unannotate nothing": (program(SUM), lambda t: t.s.unannotate("sum", "weight"),
        "unannotate of block 'sum'", "it has no annotation 'weight'", 'with block("sum"):'),
    "bind sum": (program(SUM), lambda t: t.s.bind(t.k, "thread.x"),
        "bind of loop k4", "it drives a reduce iterator of block 'sum'", "for k4"),
    "bind twice": (program(of_rows(FILL, "4"), FOUR),
        lambda t: (t.s.bind(t.i, "thread.x"), t.s.bind(t.j, "thread.x")),
        "bind of loop j4", "it is inside thread.x loop i3", "for j4"),
    "bind inside out": (program(of_rows(FILL, "4"), FOUR),
        lambda t: (t.s.bind(t.j, "block.x"), t.s.bind(t.i, "thread.x")),
        "bind of loop i3", "loop j4 inside it is block.x", "for i3"),
    "bind among threads": (program(of_rows(FILL, "4"), FOUR),
        lambda t: (t.s.parallel(t.i), t.s.bind(t.j, "thread.x")),
        "bind of loop j4", "it is inside parallel loop i3", "for j4"),
    "bind barrier": (program(BARRIERS, FOUR), lambda t: t.s.bind(t.i, "thread.x"),
        "bind of loop i4", "it holds a barrier that all its iterations wait for together",
        "for i4"),
    "cache_read nothing": (program(SUM), lambda t: t.s.cache_read("sum", "x0", "local"),
        "cache_read of block 'sum', buffer 'x0'", "it does not read the buffer",
        'with block("sum"):'),
    "cache_read own": (program(IN_PLACE), lambda t: t.s.cache_read("one", "x0", "local"),
        "cache_read of block 'one', buffer 'x0'", "it stores to 'x0'", 'with block("one"):'),
    "cache_read partly": (program(PARTLY, IDS), lambda t: t.s.cache_read("two", "t", "local"),
        "cache_read of block 'two', buffer 't'", "it may need less than what would be computed, and"
        " 't3' may not be all computed", 'with block("two"):'),
    "cache_index plain": (program(SUM), lambda t: t.s.cache_index("sum", "a", "local"),
        "cache_index of block 'sum', buffer 'a'", "no index of 'a2' in it looks up memory or"
        " divides", 'with block("sum"):'),
    "reindex several": (program(SEVERAL), lambda t: t.s.reindex("mean", "x", "read"),
        "reindex of block 'mean', buffer 'x', read", "it reads several elements of it, x0[v4],"
        " x0[n - 1 - v4]", 'with block("mean"):'),
    "reindex divided": (program(DIVIDED, "p: i32[8], q: i32[4, 8], s: i32[4]"),
        lambda t: t.s.reindex_cache_read("sum", 0, "local"),
        "reindex_cache_read of block 'sum'", "it may need less than what would be computed, and the"
        " divisor p0[u6] may be 0", 'with block("sum"):'),
    "reindex unread": (program(SUM), lambda t: t.s.reindex("sum", "x", "read"),
        "reindex of block 'sum', buffer 'x', read", "it reads nothing of it",
        'with block("sum"):'),
    "reindex looked up": (program(GATHER, IDS), lambda t: t.s.reindex("pick", "x", "read"),
        "reindex of block 'pick', buffer 'x', read", "it may need less than what would be"
        " computed, and 'x0' may not reach so far", 'with block("pick"):'),
    "reindex halves": (program(HALVES), lambda t: t.s.reindex("sum", "y", "write"),
        "reindex of block 'sum', buffer 'y', write", "two instances may store to y1[v5//2]",
        'with block("sum"):'),
    "reindex moving": (program(IN_PLACE), lambda t: t.s.reindex("one", "x", "read"),
        "reindex of block 'one', buffer 'x', read", "it stores to 'x0'", 'with block("one"):'),
    "reindex layout": (program(SUM),
        lambda t: t.s.reindex_cache_read("sum", "a", "local", lambda i: (i[0] + i[1],)),
        "reindex_cache_read of block 'sum'", "two elements may meet in one place of (v5 + u6)",
        'with block("sum"):'),
    "cache_write which": (program(PAIR), lambda t: t.s.cache_write("both", "local"),
        "cache_write of block 'both'", "it stores to 'x0', 'y1'; name the buffer meant",
        'with block("both"):'),
    "cache_write not": (program(PAIR), lambda t: t.s.cache_write("both", "local", "a"),
        "cache_write of block 'both'", "it stores nothing to 'a2'", 'with block("both"):'),
    "cache_write twice": (program(TWICE, FOUR), lambda t: t.s.cache_write("both", "local"),
        "cache_write of block 'both'", "it stores at several places of 'y1'",
        'with block("both"):'),
    "cache_write scatter": (program(SCATTER, IDS), lambda t: t.s.cache_write("put", "local"),
        "cache_write of block 'put'", "it stores vectors, or where memory says",
        'with block("put"):'),
    "cache_write branch": (program(BRANCH), lambda t: t.s.cache_write("some", "local"),
        "cache_write of block 'some'", "its body is not made of unconditional stores",
        'with block("some"):'),
    "cache_write late": (program(BACKWARDS), lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'", "its sum may not start with its loops",
        'with block("sum"):'),
    "cache_write from old": (program(FROM_OLD), lambda t: t.s.cache_write("sum", "local"),
        "cache_write of block 'sum'", "loop r3 continues the same sums again",
        'with block("sum"):'),
    "align param": (program(TWO), lambda t: t.s.storage_align("x", 0, 16, 1),
        "storage_align of buffer 'x'", "it is a parameter, not a temporary", "def f("),
    "align registers": (program(TWO),
        lambda t: (t.s.set_scope("t", "register"), t.s.storage_align("t", 0, 16, 1)),
        "storage_align of buffer 't'", "its elements have no places in memory", "t3 = alloc("),
    "align axis": (program(TWO), lambda t: t.s.storage_align("t", 1, 16, 1),
        "storage_align of buffer 't'", "it has no axis 1, but 1 axes", "t3 = alloc("),
    "align offset": (program(TWO), lambda t: t.s.storage_align("t", 0, 16, 16),
        "storage_align of buffer 't'", "no number leaves 16 when divided by 16", "t3 = alloc("),
    "layout aligned": (program(TWO),
        lambda t: (t.s.storage_align("t", 0, 16, 2), t.s.transform_layout("t", lambda i: i)),
        "transform_layout of buffer 't'", "its rows are aligned; that comes after its layout",
        "t3 = alloc("),
    "layout viewed": (program(VIEWED, FOUR),
        lambda t: t.s.transform_layout("t", lambda i: (i[0] // 4, i[0] % 4)),
        "transform_layout of buffer 't'", "block 'fill' has view 'z6' of it, whose region may not"
        " stay one; change the layout before the block gets views", "t3 = alloc("),
    "scope viewed": (program(VIEWED, FOUR), lambda t: t.s.set_scope("z", "local"),
        "set_scope of buffer 'z'", "it is a view of 't3'; name that, and its views go along", ""),
    "scope viewed apart": (program(VIEWED + "y[0] = t[0]\n", FOUR),
        lambda t: (t.s.parallel(t.i), t.s.set_scope("t", "shared")),
        "set_scope of buffer 't'", "parallel loop i4 would break: thread-private buffer 't3' is"
        " used outside the loop too", "t3 = alloc("),
    "layout padding type": (program(SCATTER, IDS),
        lambda t: t.s.transform_layout("p", lambda i: (i[0] // 4, i[0] % 4), 0.5),
        "transform_layout of buffer 'p'", "its type i32 has no value 0.5", "def f("),
    "layout padding where": (program(of_rows(FILL, "4"), FOUR),
        lambda t: t.s.transform_layout("a", lambda i: (i[0], i[0] + i[1]), 0.0),
        "transform_layout of buffer 'a'", "what is padding is unknown: the layout cannot be"
        " turned round", "def f("),
    "instances meet": (program(RUNNING, FOUR),
        lambda t: t.s.transform_block_layout("run", lambda i: (i[1], i[0])),
        "transform_block_layout of block 'run'", "instances may meet in buffer 'a2', and change"
        " order", 'with block("run"):'),
    "instances opaque": (program(UNKNOWN, FOUR),
        lambda t: t.s.transform_block_layout("run", lambda i: (i[1], i[0])),
        "transform_block_layout of block 'run'", "iterator u6 is opaque", 'with block("run"):'),
    "instances shared": (program(of_rows(FILL, "4"), FOUR),
        lambda t: (t.s.fuse(t.i, t.j),
                   t.s.transform_block_layout("fill", lambda i: (i[0] * 8 + i[1],))),
        "transform_block_layout of block 'fill'", "iterator v5 is not a serial loop of its own"
        " over all of it; the layout must keep it alone", FILLED),
    "instances of two kinds": (program(SUM),
        lambda t: t.s.transform_block_layout("sum", lambda i: (i[0] * 8 + i[1],)),
        "transform_block_layout of block 'sum'", "v5*8 + u6 is made of spatial and reduce"
        " iterators", 'with block("sum"):'),
    "instances at once": (program(of_rows(FILL, "4"), FOUR),
        lambda t: t.s.transform_block_layout("fill", lambda i: (i[0], i[0] + i[1])),
        "transform_block_layout of block 'fill'", "the layout cannot be turned round", FILLED),
    "instances shifted": (program(SUM),
        lambda t: t.s.transform_block_layout("sum", lambda i: (i[0], i[1] + 1)),
        "transform_block_layout of block 'sum'", "its reduction would not start in an instance",
        'with block("sum"):'),
    "instances masked": (
        program(where(SUM, "k < 5")),
        lambda t: t.s.transform_block_layout("sum", lambda i: (i[0], 7 - i[1])),
        "transform_block_layout of block 'sum'", "its reduction would not start where u6 is 0, and"
        " its predicate may leave out where it would", 'with block("sum"):'),
    "instances again": (program(AGAIN),
        lambda t: t.s.transform_block_layout("sum", lambda i: i),
        "transform_block_layout of block 'sum'", "instances may meet in buffer 'y1', and change"
        " order", 'with block("sum"):'),
    "instances in order": (program(IN_ORDER),
        lambda t: t.s.transform_block_layout("sum", lambda i: (i[0], 2 - i[1], i[2])),
        "transform_block_layout of block 'sum'", "instances may meet in buffer 'y1', and change"
        " order", 'with block("sum"):'),
}  # fmt: skip

test_refusal = refusals(CASES)
