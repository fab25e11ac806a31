"""Scheduled kernels whose statements depend on each other: branches, while loops, what iterations
carry and share. Each with dims to run it at."""

from __future__ import annotations

CONTROL: dict[str, tuple[str, list[dict[str, int]]]] = {}


def _program(name: str, text: str, *dims: dict[str, int]) -> None:
    CONTROL[name] = (text, list(dims) or [{}])


_program(
    "branches and registers",
    """
def paths(x: f32[n], y: f32[n], *, n: dim[0, 64]):
    t = alloc(f32[2], scope="register")
    for i in parallel(n):
        t[0] = x[i]
        if i%3 == 0:
            t[1] = t[0]*f32(2.0)
        else:
            t[1] = f32(1.0)
            if x[i] < f32(0.0):
                t[0] = f32(0.0) - t[0]
        for k in range(i):
            t[1] = t[1] + t[0]
            if k == 3:
                t[0] = t[1]*f32(0.25)
        y[i] = t[0] + t[1]
""",
    {"n": 20},
    {"n": 0},
)
_program(
    "carried between serial iterations",
    """
def running(x: f32[n, 8], y: f32[n, 8], *, n: dim[1, 32]):
    t = alloc(f32[8], scope="local")
    for j in range(8):
        t[j] = f32(0.0)
    for i in range(n):
        for j in range(8):
            t[j] = t[j]*f32(0.5) + x[i, j]
            y[i, j] = t[j]
""",
    {"n": 6},
)
_program(
    "stages with barriers",
    """
def stages(x: f32[n], y: f32[n], s: f32[2], *, n: dim[1, 64]):
    t = alloc(f32[n], scope="global")
    s[0] = f32(0.0)
    s[1] = x[0]
    for i in parallel(n):
        t[i] = x[i]*f32(2.0)
    for i in range(n):
        s[0] = s[0] + t[i]
    for r in range(2):
        for i in parallel(n):
            y[i] = t[n - 1 - i] + s[0]
        for i in parallel(n):
            t[i] = y[i]*s[1]
""",
    {"n": 9},
)
_program(
    "registers that some iterations keep",
    """
def kept(x: f32[4], y: f32[2], *, n: dim[0, 8]):
    t = alloc(f32[2], scope="register")
    t[0] = f32(0.0)
    t[1] = f32(1.0)
    for i in range(4):
        if i == 1:
            t[0] = x[i]
        for j in range(n - i):
            t[1] = x[i]
    y[0] = t[0]
    y[1] = t[1]
""",
    {"n": 0},
    {"n": 2},
)
_program(
    "parallel loops of less than nothing",
    """
def few(x: f32[n], y: f32[n], *, n: dim[1, 64]):
    for i in parallel(n - 4):
        y[i] = x[i]
""",
    {"n": 2},
    {"n": 9},
)
_program(
    "while loops",
    """
def roots(x: f32[n], y: f32[n], steps: i32[n], *, n: dim[1, 64]):
    t = alloc(f32[1], scope="register")
    c = alloc(i32[2], scope="local")
    s = alloc(f32[n], scope="local")
    for i in parallel(n):
        t[0] = abs(x[i]) + f32(1.0)
        c[0] = i32(0)
        while f32(0.001) < abs(t[0]*t[0] - abs(x[i])) and c[0] < i32(20):
            t[0] = (t[0] + abs(x[i])/t[0])*f32(0.5)
            c[0] = c[0] + i32(1)
            if c[0] == i32(3):
                c[1] = c[0]
        y[i] = t[0]
        c[1] = i32(0)
        while c[1] < c[0]:
            for k in range(n):
                if c[1] == i32(0):
                    s[k] = x[k]
                s[k] = s[k] + f32(1.0)
            c[1] = c[1] + i32(1)
        steps[i] = c[1]
        if i32(0) < c[0]:
            y[i] = y[i] + s[0] + s[n - 1]
""",
    {"n": 1},
    {"n": 7},
)
_program(
    "while around parallel loops",
    """
def settle(x: f32[n], y: f32[n], m: i32[2], *, n: dim[1, 64]):
    m[0] = i32(0)
    m[1] = i32(3)
    while m[0] < m[1]:
        for i in parallel(n):
            y[i] = x[n - 1 - i]*f32(0.5) + cast(m[0], f32)
        for i in parallel(n):
            x[i] = y[i]
        if m[0] == i32(1):
            m[0] = i32(2)
            for i in parallel(n):
                x[i] = x[i] - f32(1.0)
        m[0] = m[0] + i32(1)
    for r in range(cast(m[0], index)):
        for i in parallel(n):
            y[i] = y[i] + x[i]
        m[0] = m[0] - i32(1)
""",
    {"n": 5},
)
_program(
    "tuples whose parts need each other",
    """
def turned(x: i32[n, 8], a: i32[n, 8], b: i32[n, 8], *, n: dim[1, 64]):
    @combiner(i32(1), i32(0))
    def products(p: i32, q: i32, r: i32, s: i32):
        return p*r - q*s, p*s + q*r
    for i in vectorized(n):
        for j in vectorized(8):
            for k in range(3):
                with block("turned"):
                    u = spatial(n, i)
                    v = spatial(8, j)
                    w = reduce(3, k)
                    with init():
                        a[u, v] = i32(1)
                        b[u, v] = i32(0)
                    a[u, v], b[u, v] = products(a[u, v], b[u, v], x[u, v], cast(w, i32))
""",
    {"n": 1},
    {"n": 9},
)
