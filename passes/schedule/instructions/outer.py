"""Fused multiply-adds as outer products: c[i, j] += a[i] * b[j], columns in whole vectors.

One rounding where the description has two.
"""

from __future__ import annotations

from passes.schedule.instructions.entry import ANY_STRIDE, Entry, Need, need


def _outer(lanes: int, arch: str, needs: tuple[Need, ...]) -> Entry:
    place = f"c[i, j*{lanes} + l]"
    return Entry(
        name=f"fma_f32_x{lanes}",
        params="a: f32[m](strides=[s]), b: f32[n], c: f32[m, n](strides=[t, 1]), *, "
        f"m: dim[1, 64], n: dim[{lanes}, 1024], s: {ANY_STRIDE}, t: {ANY_STRIDE}",
        description="""
for i in range(m):
    for j in range(n):
        with block("outer"):
            r = spatial(m, i)
            l = spatial(n, j)
            c[r, l] = c[r, l] + a[r]*b[l]
""",
        implementation=f"""
for i in unrolled(m):
    for j in unrolled(n//{lanes}):
        for l in vectorized({lanes}):
            {place} = fma(a[i], b[j*{lanes} + l], {place})
""",
        arch=arch,
        needs=needs,
        lanes=lanes,
        where=(f"n%{lanes} == 0",),
    )


ENTRIES = (
    _outer(16, "x86-64", (need(512, "avx512f"),)),
    _outer(8, "x86-64", (need(256, "avx2", "fma"),)),
    _outer(4, "aarch64", (need(128, "neon"),)),
)
