"""Loop nests as trees."""

from __future__ import annotations

from passes.ir.loop.outline import outline
from passes.ir.loop.parse import parse_function


def test_the_tree_of_a_program() -> None:
    function = parse_function("""
def f(x: f32[n, 64], k: i32[n], y: f32[n], *, n: dim[1, 64], m: dim[1, 8]):
    t = alloc(f32[n])
    for i in parallel((n + 3)//4):
        for j in unrolled(4):
            for q in range(64):
                with block("sum"):
                    r = spatial(n, i*4 + j)
                    s = reduce(64, q)
                    where(i*4 + j < n)
                    with init():
                        t[r] = f32(0.0)
                    t[r] = t[r] + x[r, s]
        if i < m:
            while k[0] < i32(3):
                k[0] = k[0] + i32(1)
        else:
            y[0] = f32(0.0)
    for i in range(n):
        with block("scan"):
            r = ordered(n, i)
            y[r] = t[r] + y[max(r - 1, 0)]
""")
    assert (
        outline(function)
        == """\
f(n, m)
├─ i4 in parallel((n + 3)//4)
│  ├─ j5 in unrolled(4), q6 in range(64)
│  │  └─ sum: stores t3, loads x0; reduces s8 over 64; where i4*4 + j5 < n
│  ├─ if i4 < m
│  │  └─ while k1[0] < i32(3)
│  │     └─ stores k1
│  └─ else
│     └─ stores y2
└─ i9 in range(n)
   └─ scan: stores y2, loads t3; runs in order of r10 over n
"""
    )


def test_copies_and_thread_blocks() -> None:
    function = parse_function("""
def f(x: f32[64], y: f32[64]):
    s = alloc(f32[64], scope="shared")
    for b in block.x(2):
        with async_group("q"):
            for t in thread.x(32):
                s[b*32 + t] = x[b*32 + t]
        async_wait("q", 0, [s])
        barrier()
        for t in thread.x(32):
            y[b*32 + t] = s[b*32 + t]
""")
    assert (
        outline(function)
        == """\
f()
└─ b3 in block.x(2)
   ├─ copies of "q"
   │  └─ t4 in thread.x(32)
   │     └─ stores s2, loads x0
   ├─ wait for "q"
   ├─ barrier
   └─ t5 in thread.x(32)
      └─ stores y1, loads s2
"""
    )
