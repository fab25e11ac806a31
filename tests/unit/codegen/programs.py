"""Scheduled kernels as text, each with dims to run it at: what lowering must cope with."""

from __future__ import annotations

from tests.unit.codegen.control_programs import CONTROL

PROGRAMS: dict[str, tuple[str, list[dict[str, int]]]] = dict(CONTROL)


def _program(name: str, text: str, *dims: dict[str, int]) -> None:
    PROGRAMS[name] = (text, list(dims) or [{}])


_program(
    "register tile",
    """
def mm(a: f32[m, 24], b: f32[2, 24, 32], y: f32[m, 64], *, m: dim[4, 64]):
    t = alloc(f32[m, 64], scope="register")
    for p in parallel(2):
        for r in range(m // 4):
            for i in unrolled(4):
                for j in unrolled(2):
                    for v in vectorized(16):
                        with block("init"):
                            row = spatial(m, r*4 + i)
                            col = spatial(64, p*32 + j*16 + v)
                            t[row, col] = f32(0.0)
            for k in range(24):
                for i in unrolled(4):
                    for j in unrolled(2):
                        for v in vectorized(16):
                            with block("update"):
                                row = spatial(m, r*4 + i)
                                col = spatial(64, p*32 + j*16 + v)
                                deep = reduce(24, k)
                                t[row, col] = fma(
                                    a[row, deep], b[col//32, deep, col%32], t[row, col])
            for i in unrolled(4):
                for j in unrolled(2):
                    for v in vectorized(16):
                        with block("out"):
                            row = spatial(m, r*4 + i)
                            col = spatial(64, p*32 + j*16 + v)
                            y[row, col] = max(t[row, col], f32(0.0))
""",
    {"m": 8},
    {"m": 7},
)
_program(
    "initialised where it is updated",
    """
def rowsum(x: f32[n, 40], y: f32[n], *, n: dim[0, 64]):
    t = alloc(f32[n], scope="local")
    for i in parallel(n):
        for k in range(40):
            with block("sum"):
                row = spatial(n, i)
                deep = reduce(40, k)
                with init():
                    t[row] = f32(0.0)
                t[row] = t[row] + x[row, deep]
        with block("out"):
            row = spatial(n, i)
            y[row] = t[row]*f32(0.5)
""",
    {"n": 3},
    {"n": 0},
)
_program(
    "vectorized reductions",
    """
def stats(x: f32[n, 64], total: f32[n], top: f32[n], low: f32[n], dot: f32[n], *, n: dim[1, 64]):
    for i in parallel(n):
        total[i] = f32(0.0)
        top[i] = f32("-inf")
        low[i] = f32("inf")
        dot[i] = f32(0.0)
        for k in range(4):
            for v in vectorized(16):
                total[i] = total[i] + x[i, k*16 + v]
            for v in vectorized(16):
                top[i] = max(x[i, k*16 + v], top[i])
            for v in vectorized(16):
                low[i] = min(low[i], x[i, k*16 + v])
            for v in vectorized(16):
                dot[i] = fma(x[i, k*16 + v], x[i, k*16 + v], dot[i])
""",
    {"n": 5},
)
_program(
    "tail by predicate",
    """
def scale(x: f32[n], y: f32[n], *, n: dim[0, 512]):
    for i in parallel((n + 15)//16):
        for v in vectorized(16):
            with block("scale"):
                at = spatial(n, i*16 + v)
                where(i*16 + v < n)
                y[at] = x[at]*f32(3.0) + f32(1.0)
""",
    {"n": 16},
    {"n": 37},
    {"n": 0},
    {"n": 5},
)
_program(
    "nested lanes",
    """
def nibbles(w: u8[3, 4, 16, 4], x: i8[3, 8, 4], y: i32[3, 16, 8], z: i8[3, 16, 4], q: i32[16, 4]):
    for b in parallel(3):
        for g in unrolled(4):
            for r in vectorized(16):
                for j in vectorized(4):
                    z[b, r, j] = cast(w[b, g, r, j] & u8(15), i8) + x[b, g, j]
            for r in vectorized(16):
                y[b, r, g] = cast(w[b, g, r, 1] >> u8(4), i32)*cast(x[b, g, 2], i32)
                y[b, r, g + 4] = cast(cast(w[b, g, r, 3], f32), i32)
    for r in parallel(16):
        for j in vectorized(4):
            q[r, j] = cast(r*4 + j, i32)
""",
)
_program(
    "outer lanes only",
    """
def repeat(x: f32[16], y: f32[16, 4], z: f32[4, 16], w: f32[16, 4]):
    for r in vectorized(16):
        for j in vectorized(4):
            y[r, j] = x[r]
            w[r, j] = x[j] + x[r]*x[15 - r]
    for j in vectorized(4):
        for r in vectorized(16):
            z[j, r] = x[r]*f32(2.0)
""",
)
_program(
    "transposed and strided",
    """
def transpose(x: f32[n, 8], y: f32[8, n], z: f32[n], *, n: dim[1, 40]):
    for i in parallel(n):
        for v in vectorized(8):
            y[v, i] = x[i, v]
        z[i] = x[n - 1 - i, 2]
""",
    {"n": 5},
)
_program(
    "element types",
    """
def types(a: f16[32], b: bf16[32], c: i16[32], d: u16[32], e: bool[32], f: f64[32], g: i64[32],
          h: u32[32], ya: f16[32], yb: bf16[32], yc: i16[32], yd: u16[32], ye: bool[32],
          yf: f64[32], yg: i64[32], yh: u32[32]):
    for i in parallel(2):
        for v in vectorized(16):
            ya[i*16 + v] = cast(cast(a[i*16 + v], f32)*f32(1.5), f16)
            yb[i*16 + v] = cast(cast(b[i*16 + v], f32)*f32(1.3) + f32(0.1), bf16)
            yc[i*16 + v] = c[i*16 + v]*i16(7) - cast(d[i*16 + v], i16)
            yd[i*16 + v] = d[i*16 + v]//u16(3) + d[i*16 + v]%u16(5)
            ye[i*16 + v] = (a[i*16 + v] < f16(0.5)) and not e[i*16 + v]
            yf[i*16 + v] = f[i*16 + v]/f64(3.0) + cast(e[i*16 + v], f64)
            yg[i*16 + v] = select(e[i*16 + v], g[i*16 + v] >> i64(1), cast(c[i*16 + v], i64))
            yh[i*16 + v] = reinterpret(cast(h[i*16 + v], f32), u32) ^ u32(255)
""",
)
_program(
    "scalar element types",
    """
def types(a: f16[9], b: bf16[9], c: i32[9], e: bool[9],
          ya: f16[9], yb: bf16[9], yc: i32[9], ye: bool[9]):
    for i in parallel(9):
        ya[i] = a[i] + f16(0.25)
        yb[i] = max(b[i], bf16(0.0))
        yc[i] = c[i]//i32(7)*i32(100) + c[i]%i32(7) + (c[i]//i32(4))%i32(8)
        yc[i] = yc[i] + min(c[i], i32(0) - c[i])
        ye[i] = e[i] or c[i] == i32(3)
""",
)
_program(
    "floor division of positions",
    """
def shifted(x: f32[n], y: i64[n], *, n: dim[1, 64]):
    for i in parallel(n):
        y[i] = cast((i - 7)//3*1000 + (i - 7)%3*100 + (i - 20)//4 + (i - 20)%8, i64)
        y[i] = y[i] + cast((n - i*2)//n + (3 - i)%n, i64)
""",
    {"n": 30},
)
_program(
    "panel unpacked into a cache",
    """
def cached(w: u8[4, 32, 16], x: f32[m, 32], y: f32[m, 64], *, m: dim[1, 32]):
    c = alloc(f32[4, 32, 16], scope="local")
    t = alloc(f32[m, 64], scope="register")
    for p in parallel(4):
        for k in range(32):
            for v in vectorized(16):
                c[p, k, v] = cast(w[p, k, v], f32)*f32(0.125)
        for r in range(m):
            for v in vectorized(16):
                t[r, p*16 + v] = f32(0.0)
            for k in range(32):
                for v in vectorized(16):
                    t[r, p*16 + v] = fma(c[p, k, v], x[r, k], t[r, p*16 + v])
            for v in vectorized(16):
                y[r, p*16 + v] = t[r, p*16 + v]
""",
    {"m": 3},
)
_program(
    "softmax",
    """
def softmax(x: f32[n, m], y: f32[n, m], *, n: dim[1, 16], m: dim[1, 64]):
    top = alloc(f32[n], scope="local")
    total = alloc(f32[n], scope="local")
    for i in parallel(n):
        top[i] = f32("-inf")
        for k in range(m):
            top[i] = max(top[i], x[i, k])
        total[i] = f32(0.0)
        for k in range(m):
            y[i, k] = exp(x[i, k] - top[i])
            total[i] = total[i] + y[i, k]
        for k in range(m):
            y[i, k] = y[i, k]/total[i]
""",
    {"n": 3, "m": 21},
)
_program(
    "views of packed blocks",
    """
def unpack(q: u8[5, 2, 16](strides=[36, 18, 1]), d: f16[5, 2](strides=[18, 9]), y: f32[5, 64]):
    for i in parallel(5):
        for b in range(2):
            for h in unrolled(2):
                for v in vectorized(16):
                    y[i, b*32 + h*16 + v] = cast(
                        q[i, b, v] >> cast(h*4, u8) & u8(15), f32)*cast(d[i, b], f32)
""",
)
_program(
    "rotary positions",
    """
def rotate(x: f32[n, 2, 16], p: i32[n], y: f32[n, 2, 16], *, n: dim[1, 8]):
    for i in parallel(n):
        for h in range(2):
            for v in vectorized(8):
                y[i, h, v] = x[i, h, v]*cast(p[i], f32) - x[i, h, v + 8]
                y[i, h, v + 8] = x[i, h, (v + 8)%16]*f32(2.0) + x[i, h, v]*cast(v, f32)
""",
    {"n": 4},
)
_program(
    "gather rows",
    """
def gather(x: f32[10, 16], at: i32[n], y: f32[n, 16], z: f32[n], *, n: dim[1, 32]):
    for i in parallel(n):
        for v in vectorized(16):
            y[i, v] = x[cast(at[i]*at[i]%i32(10), index), v]
    for i in vectorized(4):
        z[i*n//4] = x[cast(at[i*n//4]*at[i*n//4]%i32(10), index), 3]
""",
    {"n": 4},
)
_program(
    "byte products in pairs",
    """
def pairs(w: u8[4, 32], x: i8[4, 32], y: i32[8]):
    t = alloc(i32[8], scope="register")
    t[ramp(0, 1, 8)] = broadcast(i32(0), 8)
    for k in range(4):
        t[ramp(0, 1, 8)] = t[ramp(0, 1, 8)] + call(
            "x86.pmaddwd", i32x8,
            call("x86.pmaddubsw", i16x16, w[k, ramp(0, 1, 32)], x[k, ramp(0, 1, 32)]),
            broadcast(i16(1), 16))
    y[ramp(0, 1, 8)] = t[ramp(0, 1, 8)]
""",
)
_program(
    "reductions of vectors",
    """
def lanes(x: f32[3, 16], i: i32[16], y: f32[3], z: i32[3]):
    for r in parallel(3):
        y[r] = reduce_add(x[r, ramp(0, 1, 16)]) + reduce_max(x[r, ramp(0, 1, 7)])
        z[r] = reduce_min(i[ramp(r, 1, 12)]) + reduce_add(i[ramp(0, 1, 5)])
""",
)
_program(
    "sums that round",
    """
def rounded(x: f32[n], y: f32[n], z: i8[n], *, n: dim[1, 64]):
    for i in parallel((n + 15)//16):
        for v in vectorized(16):
            if i*16 + v < n:
                y[i*16 + v] = floor(x[i*16 + v]*f32(4.0)) + sqrt(abs(x[i*16 + v]))
                z[i*16 + v] = cast(
                    round(min(max(x[i*16 + v]*f32(50.0), f32(-127.0)), f32(127.0))), i8)
""",
    {"n": 35},
)
_program(
    "lanes that update the same elements",
    """
def meeting(x: f32[24], a: f32[6], b: f32[6], c: f32[24]):
    for i in vectorized(24):
        a[i//4] = a[i//4] + x[i]
    for i in vectorized(24):
        b[i%6] = max(b[i%6], x[i])
    for i in vectorized(24):
        c[i%6*4 + i//6] = c[i%6*4 + i//6] + x[i]
""",
)
_program(
    "powers",
    """
def powers(x: f32[n], y: f32[n], z: f16[n], *, n: dim[1, 64]):
    for i in parallel((n + 15)//16):
        for v in vectorized(16):
            if i*16 + v < n:
                y[i*16 + v] = pow(abs(x[i*16 + v]), f32(1.5)) + pow(x[i*16 + v], f32(3.0))
        for v in range(min(16, n - i*16)):
            z[i*16 + v] = pow(cast(abs(x[i*16 + v]), f16) + f16(1.0), f16(-2.0))
""",
    {"n": 21},
)
DOT = """
def dot(w: u8[3, 16, 4], x: i8[3, 2, 4], y: i32[2, 16]):
    t = alloc(i32[2, 16], scope="register")
    for r in unrolled(2):
        for v in vectorized(16):
            t[r, v] = i32(0)
    for k in range(3):
        for r in unrolled(2):
            for v in vectorized(16):
                t[r, v] = dot4_words(
                    t[r, v],
                    reinterpret(w[k, v, ramp(0, 1, 4)], u32),
                    reinterpret(x[k, r, ramp(0, 1, 4)], i32))
    for r in unrolled(2):
        for v in vectorized(16):
            y[r, v] = t[r, v]
"""
_program("byte products in words", DOT)
