"""Lowered kernels written by hand: what schedules and lowering passes are to arrive at."""

from __future__ import annotations

from passes.ir.dtypes import F16, F32, I8, I32, U8
from passes.ir.expr import (
    Broadcast,
    Call,
    Dim,
    Expr,
    IntLike,
    Mul,
    Ramp,
    Var,
    cast,
    const,
    index,
)
from passes.ir.loop.nodes import Buffer, For, Function, Load, Stmt, Store, seq

LANES = 16


def splat(value: Expr, lanes: int = LANES) -> Expr:
    return Broadcast(value, lanes)


def at(buffer: Buffer, position: IntLike, lanes: int = 1) -> Load:
    """A load of `lanes` neighbours."""
    start = index(position)
    return Load(buffer, (Ramp(start, 1, lanes) if lanes > 1 else start,))


def put(buffer: Buffer, position: IntLike, value: Expr) -> Store:
    start = index(position)
    lanes = value.dtype.lanes
    return Store(buffer, (Ramp(start, 1, lanes) if lanes > 1 else start,), value)


def fma(a: Expr, b: Expr, c: Expr) -> Expr:
    return Call("fma", (a, b, c), a.dtype)


def gemm(rows: int = 8, vectors: int = 3, depth: int = 1024, width: int = 1024) -> Function:
    """y[m, N] = a[m, K] @ b, `b` packed in panels [K][vectors*16]; m a multiple of `rows`."""
    m = Dim("m", rows, 4096)
    step = vectors * LANES
    a = Buffer("a", 0, (m * depth,), F32)
    b = Buffer("b", 1, (index(depth * width),), F32)
    y = Buffer("y", 2, (m * width,), F32)
    tile = Buffer("t", 3, (index(rows * step),), F32, "register")
    panel, row, k = Var("p", 4), Var("r", 5), Var("k", 6)
    slots = [(i, j) for i in range(rows) for j in range(vectors)]

    def slot(i: int, j: int) -> Load:
        return at(tile, i * step + j * LANES, LANES)

    zero = splat(const(0.0, F32))
    clear = [put(tile, i * step + j * LANES, zero) for i, j in slots]
    update: list[Stmt] = []
    for i, j in slots:
        left = splat(at(a, (row * rows + i) * depth + k))
        right = at(b, panel * (depth * step) + k * step + j * LANES, LANES)
        update.append(put(tile, i * step + j * LANES, fma(left, right, slot(i, j))))
    finish = [
        put(y, (row * rows + i) * width + panel * step + j * LANES, slot(i, j)) for i, j in slots
    ]
    body = seq(*clear, For(k, index(depth), seq(*update)), *finish)
    loops = For(panel, index(width // step), For(row, m // rows, body), "parallel")
    return Function("gemm", (m,), (a, b, y), (tile,), loops)


def q4_gemm(rows: int = 8, depth: int = 576, width: int = 1536) -> Function:
    """y[m, N] = x[m, K] @ w.T: w in 4 bits with scale and offset, x in 8 bits with scale and sum.

    A panel is 16 output features; a 32-deep block of it is 256 B of nibbles [4][16][4], 16 f16
    scales, 16 f16 offsets. Low nibbles of byte b of group g are k = 4g+b, high ones 16+4g+b.
    """
    m = Dim("m", rows, 4096)
    blocks, size = depth // 32, 320
    total = width // LANES * blocks * size
    w = Buffer("w", 0, (index(total),), U8)
    d = Buffer("d", 1, (index((total - 256) // 2),), F16)
    offset = Buffer("o", 2, (index((total - 288) // 2),), F16)
    x = Buffer("x", 3, (m * depth,), I8)
    xd = Buffer("xd", 4, (m * blocks,), F32)
    xs = Buffer("xs", 5, (m * blocks,), F32)
    y = Buffer("y", 6, (m * width,), F32)
    acc = Buffer("t", 7, (index(rows * LANES),), F32, "register")
    panel, row, k = Var("p", 8), Var("r", 9), Var("k", 10)
    start = panel * blocks + k
    codes: list[Expr] = []
    for shift in (0, 4):
        for g in range(4):
            code: Expr = at(w, start * size + 64 * g, 64)
            codes.append(code & 15 if shift == 0 else code >> shift)
    f32x = F32.with_lanes(LANES)
    scale = cast(at(d, start * (size // 2), LANES), f32x)
    low = cast(at(offset, start * (size // 2), LANES), f32x)
    update: list[Stmt] = []
    for i in range(rows):
        t = row * rows + i
        dot: Expr = splat(const(0, I32))
        for g, code in enumerate(codes):
            quad = Broadcast(at(x, t * depth + k * 32 + 4 * g, 4), LANES)
            dot = Call("x86.vpdpbusd", (dot, code, quad), dot.dtype)
        factor = Mul(scale, splat(at(xd, t * blocks + k)))
        whole = fma(cast(dot, f32x), factor, at(acc, i * LANES, LANES))
        whole = fma(low, splat(at(xs, t * blocks + k)), whole)
        update.append(put(acc, i * LANES, whole))
    clear = [put(acc, i * LANES, splat(const(0.0, F32))) for i in range(rows)]
    finish = [
        put(y, (row * rows + i) * width + panel * LANES, at(acc, i * LANES, LANES))
        for i in range(rows)
    ]
    body = seq(*clear, For(k, index(blocks), seq(*update)), *finish)
    loops = For(panel, index(width // LANES), For(row, m // rows, body), "parallel")
    return Function("q4", (m,), (w, d, offset, x, xd, xs, y), (acc,), loops)


def q4_gemv(depth: int = 576, width: int = 1536) -> Function:
    """The same for one row, the high nibbles not shifted: their products are 16 times too big."""
    blocks, size = depth // 32, 320
    total = width // LANES * blocks * size
    w = Buffer("w", 0, (index(total),), U8)
    d = Buffer("d", 1, (index((total - 256) // 2),), F16)
    offset = Buffer("o", 2, (index((total - 288) // 2),), F16)
    x = Buffer("x", 3, (index(depth),), I8)
    xd = Buffer("xd", 4, (index(blocks),), F32)
    xs = Buffer("xs", 5, (index(blocks),), F32)
    y = Buffer("y", 6, (index(width),), F32)
    acc = Buffer("t", 7, (index(2 * LANES),), F32, "register")
    panel, k = Var("p", 8), Var("k", 9)
    start = panel * blocks + k
    f32x, i32x = F32.with_lanes(LANES), I32.with_lanes(LANES)
    dots: list[Expr] = []
    for mask, first in ((15, 0), (240, 16)):
        dot: Expr = splat(const(0, I32))
        for g in range(4):
            code = at(w, start * size + 64 * g, 64) & mask
            quad = Broadcast(at(x, k * 32 + first + 4 * g, 4), LANES)
            dot = Call("x86.vpdpbusd", (dot, code, quad), i32x)
        dots.append(dot)
    whole = cast(dots[0] + (dots[1] >> 4), f32x)
    scale = cast(at(d, start * (size // 2), LANES), f32x)
    low = cast(at(offset, start * (size // 2), LANES), f32x)
    update = seq(
        put(acc, 0, fma(whole, Mul(scale, splat(at(xd, k))), at(acc, 0, LANES))),
        put(acc, LANES, fma(low, splat(at(xs, k)), at(acc, LANES, LANES))),
    )
    body = seq(
        *[put(acc, i * LANES, splat(const(0.0, F32))) for i in range(2)],
        For(k, index(blocks), update),
        put(y, panel * LANES, at(acc, 0, LANES) + at(acc, LANES, LANES)),
    )
    loops = For(panel, index(width // LANES), body, "parallel")
    return Function("gemv", (), (w, d, offset, x, xd, xs, y), (acc,), loops)
