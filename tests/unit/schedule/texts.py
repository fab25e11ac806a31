"""Texts of programs that several tests schedule, and heads that go with them."""

SUM = """
for i in range(n):
    for k in range(8):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(8, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + a[v, u]
"""
TWO = """
t = alloc(f32[n])
for i in range(n):
    with block("one"):
        v = spatial(n, i)
        t[v] = x[v]
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        y[w] = t[w]
"""
HALVES = """
for i in range(8):
    for k in range(8):
        with block("sum"):
            v = spatial(8, i)
            u = reduce(8, k)
            with init():
                y[v//2] = f32(0.0)
            y[v//2] = y[v//2] + a[0, u]
"""
COUNTED = """
for i in range(n):
    for k in range(cast(p[0], index)):
        with block("sum"):
            v = spatial(n, i)
            u = ordered(n, k)
            p[0] = p[0] + i32(1)
"""
CHAIN = """
t = alloc(f32[n])
for i in range(n):
    with block("one"):
        v = spatial(n, i)
        t[v] = x[v] + f32(1.0)
for j in range(n):
    with block("two"):
        w = spatial(n, j)
        y[w] = t[w]*f32(2.0)
"""
PRODUCT = """
for i in range(n):
    for k in range(10):
        with block("sum"):
            v = spatial(n, i)
            u = reduce(10, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + a[v, u]*b[u]
"""
STREAM = """
t = alloc(f32[8])
for i in range(n):
    for j in range(8):
        with block("load"):
            v = ordered(n, i)
            w = spatial(8, j)
            t[w] = a[v, w]
    for j in range(8):
        with block("use"):
            v = spatial(n, i)
            w = reduce(8, j)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + t[w]
"""
IDS = "x: f32[n], y: f32[n], p: i32[n], *, n: dim[1, 64]"
DOTS = "w: u8[8], q: i8[8], y: i32[1]"
