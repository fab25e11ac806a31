"""Loop programs that are wrong once a piece of them is another, and what is said of them."""

import textwrap

import pytest

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


def message(error: type[Exception], action) -> str:
    with pytest.raises(error) as caught:
        action()
    assert type(caught.value) is error
    return str(caught.value)


def shown(text: str) -> str:
    return textwrap.dedent(text).strip("\n")
