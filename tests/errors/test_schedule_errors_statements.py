"""Refusals that opaque iterators, tuples, views, while loops and asynchronous copies lead to."""

from __future__ import annotations

from tests.unit.schedule.steps import Case, program, refusals
from tests.unit.schedule.texts import MOST

OPAQUE = """
for i in range(n):
    for k in range(8):
        with block("last"):
            v = spatial(n, i)
            o = opaque(8, k)
            y[v] = y[v]*f32(0.5) + a[v, o]
"""
OPAQUE_SUM = """
for i in range(n):
    for j in range(8):
        for k in range(8):
            with block("sum"):
                v = spatial(n, i)
                o = opaque(8, j)
                u = reduce(8, k)
                with init():
                    y[v] = f32(0.0)
                y[v] = y[v] + a[v, u]
"""
TUPLE = f"""
t = alloc(f32[n]){MOST}
for i in range(n):
    for k in range(8):
        with block("most"):
            v = spatial(n, i)
            u = reduce(8, k)
            with init():
                t[v] = f32("-inf")
                y[v] = f32(0.0)
            t[v], y[v] = most(t[v], y[v], a[v, u], x[v])
"""
VIEWED = """
for i in range(n):
    for k in range(8):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(8, k)
            row = view(a[v, 0:+8])
            out = view(y[v:+1])
            with init():
                out[0] = f32(0.0)
            out[0] = out[0] + row[u]
"""
READ_INIT = VIEWED.replace("out = view(y[v:+1])", "w = view(x[v])").replace("out[0]", "y[v]")
REPEATED = """
for i in range(8):
    while x[0] < f32(3.0):
        for j in range(n):
            with block("step"):
                v = spatial(n, j)
                x[v] = x[v] + f32(1.0)
"""
COPIES = """
s = alloc(f32[n, 8])
t = alloc(f32[n, 8])
for p in range(n):
    for q in range(8):
        with block("made"):
            v = spatial(n, p)
            w = spatial(8, q)
            t[v, w] = a[v, w]*f32(2.0)
for i in range(n):
    with async_group("rows"):
        for j in range(8):
            with block("copy"):
                v = spatial(n, i)
                w = spatial(8, j)
                s[v, w] = t[v, w]
async_wait("rows", 0, [s])
for k in range(n):
    with block("use"):
        v = spatial(n, k)
        y[v] = s[v, 3]
"""
LEFT = """
s = alloc(f32[8], scope="local")
for z in range(n):
    async_wait("q", 0, [s])
    y[z] = s[0]
    with async_group("q"):
        for j in range(8):
            s[j] = a[z, j]
"""
CARRIED = """
t = alloc(f32[n], scope="local")
for k in range(8):
    for i in range(n):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(8, k)
            with init():
                t[v] = f32(0.0)
            t[v] = t[v] + a[v, u]
            y[v] = t[v]
"""
WHILE_CARRIED = """
t = alloc(f32[n], scope="local")
while x[0] < f32(1.0):
    x[0] = x[0] + f32(1.0)
    for i in range(n):
        with block("sum"):
            v = spatial(n, i)
            t[v] = t[v] + a[v, 0]
"""

CASES: dict[str, Case] = {
    "reorder opaque": (program(OPAQUE), lambda t: t.s.reorder(t.k, t.i),
        "reorder of loops k4, i3", "loop k4 drives an opaque iterator of block 'last'",
        "for k4"),
    "vectorize opaque": (program(OPAQUE), lambda t: t.s.vectorize(t.k),
        "vectorize of loop k4", "it drives an opaque iterator of block 'last'", "for k4"),
    "parallel opaque": (program(OPAQUE), lambda t: t.s.parallel(t.k),
        "parallel of loop k4", "it drives an opaque iterator of block 'last'", "for k4"),
    "rfactor opaque": (program(OPAQUE_SUM), lambda t: t.s.rfactor("sum", t.k),
        "rfactor of block 'sum' at loop k5", "it has opaque iterators", 'with block("sum"):'),
    "vectorize tuples": (program(TUPLE), lambda t: t.s.vectorize(t.k),
        "vectorize of loop k10", "lanes may meet in t3[i9]", "for k10"),
    "parallel tuples": (program(TUPLE), lambda t: t.s.parallel(t.k),
        "parallel of loop k10", "it drives a reduce iterator of block 'most'", "for k10"),
    "rfactor by": (program(TUPLE.replace("a[v, u]", "t[u]")), lambda t: t.s.rfactor("most", t.k),
        "rfactor of block 'most' at loop k10",
        "it does not combine its own element with a new value by +, max or min",
        'with block("most"):'),
    "rfactor apart": (program(TUPLE.replace("y[v]", "y[0]")), lambda t: t.s.rfactor("most", t.k),
        "rfactor of block 'most' at loop k10",
        "it does not combine its own element with a new value by +, max or min",
        'with block("most"):'),
    "rfactor view": (program(VIEWED), lambda t: t.s.rfactor("sum", t.k),
        "rfactor of block 'sum' at loop k4", "its output or its init speaks of view 'out8'",
        'with block("sum"):'),
    "cache_write view": (program(VIEWED), lambda t: t.s.cache_write("sum", "local", "y"),
        "cache_write of block 'sum'", "block 'sum' has views of memory", 'with block("sum"):'),
    "cache_read view": (program(VIEWED), lambda t: t.s.cache_read("sum", "a", "local"),
        "cache_read of block 'sum', buffer 'a'", "block 'sum' has views of memory",
        'with block("sum"):'),
    "vectorize while": (program(REPEATED), lambda t: t.s.vectorize(t.i),
        "vectorize of loop i3", "a while loop inside it runs differently in each lane", "for i3"),
    "parallel copies": (program(COPIES), lambda t: t.s.parallel(t.i),
        "parallel of loop i9", "iterations of parallel loop i9 would share queue 'rows'", "for i9"),
    "parallel copies left": (program(LEFT), lambda t: t.s.parallel(t.z),
        "parallel of loop z4", "an iteration reads what another one left in 's3'", "for z4"),
    "bind copies to threads": (program(COPIES), lambda t: t.s.bind(t.i, "thread.x"),
        "bind of loop i9", "it holds copies that all its iterations wait for together", "for i9"),
    "parallel barrier": (program("for i in range(n):\n    barrier()\n"),
        lambda t: t.s.parallel(t.i),
        "parallel of loop i3", "it holds a barrier that all its iterations wait for together",
        "for i3"),
    "bind copies": (program(COPIES), lambda t: t.s.bind(t.i, "block.x"),
        "bind of loop i9", "iterations of block.x loop i9 would share queue 'rows'", "for i9"),
    "compute_at copies": (program(COPIES), lambda t: t.s.compute_at("made", t.j),
        "compute_at of block 'made' at loop j10", "block 'made' would become part of the copies of"
        " 'rows'", "for j10"),
    "parallel carried": (program(CARRIED), lambda t: t.s.parallel(t.i),
        "parallel of loop i5", "an iteration reads what another one left in 't3'", "for i5"),
    "parallel carried while": (program(WHILE_CARRIED), lambda t: t.s.parallel(t.i),
        "parallel of loop i4", "an iteration reads what another one left in 't3'", "for i4"),
}  # fmt: skip

test_refusal = refusals(CASES)
