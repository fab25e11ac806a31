"""Programs with every kind of statement: updates of tuples, views, while loops, copies."""

from __future__ import annotations

from passes.ir.dtypes import F32, I32, INDEX
from passes.ir.expr import And, Const, Dim, Expr, Max, Or, Select, cast, const
from passes.ir.intrinsics import call
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Function

N, M = Dim("n", 1, 64), Dim("m", 1, 64)
LOWEST = Const(float("-inf"), F32)


def online_softmax(inner: Expr | int = 16) -> Function:
    """Of each row of x, the largest element and the sum of exp(x - largest)."""
    b = LoopBuilder("online", dims=(N,) if inner is not M else (N, M))
    x = b.param("x", (N, inner), F32)
    top, total = b.param("top", (N,), F32), b.param("total", (N,), F32)

    def results(a: tuple[Expr, ...], c: tuple[Expr, ...]) -> tuple[Expr, Expr]:
        most = Max(a[0], c[0])
        scaled = [part[1] * call("exp", part[0] - most) for part in (a, c)]
        return most, Select(a[0].equal(c[0]), a[1] + c[1], scaled[0] + scaled[1])

    online = b.combiner("online", [LOWEST, const(0.0, F32)], results)
    b.reduce_tuple([top, total], (inner,), lambda i, k: (load(x, i, k), 1.0), online, "soft")
    return b.function()


def argmax(inner: int = 12) -> Function:
    """Where in each row of x the first of the largest elements stands."""
    b = LoopBuilder("argmax", dims=(N,))
    x, at = b.param("x", (N, inner), I32), b.param("at", (N,), I32)
    best = b.local("best", (N,), I32)

    def results(a: tuple[Expr, ...], c: tuple[Expr, ...]) -> tuple[Expr, Expr]:
        first = Or(a[0] > c[0], And(a[0].equal(c[0]), a[1] < c[1]))
        return Max(a[0], c[0]), Select(first, a[1], c[1])

    combiner = b.combiner("argmax", [const(-(1 << 31), I32), const((1 << 31) - 1, I32)], results)
    b.reduce_tuple([best, at], (inner,), lambda i, k: (load(x, i, k), cast(k, I32)), combiner)
    return b.function()


def turned_rows() -> Function:
    """y = x with each row back to front, three times what is before it added, through views."""
    b = LoopBuilder("turned", dims=(N,))
    x, y, z = (b.param(name, (N, 6), I32) for name in "xyz")
    with b.loop("i", N) as i, b.loop("j", 6) as j, b.block("turn", [(N, i), (6, j)]) as (u, v):
        row, out = b.view(x, (u, 0), (None, 6)), b.view(y, (u, v), (None, 1))
        b.store(out, (0,), load(row, 5 - v) + 1)
    with b.loop("i", N) as i, b.block("add", [(N, i)]) as (u,):
        row, out = b.view(y, (u, 1), (None, 5)), b.view(z, (u, 0), (None, 6))
        with b.loop("j", 5) as j:
            b.store(out, (j + 1,), load(row, j) * 3)
    return b.function()


def doubled_until() -> Function:
    """y = x, doubled until the sum of its first column reaches 50 or five times."""
    b = LoopBuilder("doubled", dims=(N,))
    x, y = b.param("x", (N, 4), I32), b.param("y", (N, 4), I32)
    left, total = b.local("left", (1,), I32), b.local("total", (1,), I32)
    b.map(y, lambda i, j: load(x, i, j), label="copy")
    b.store(left, (0,), 5)
    b.store(total, (0,), 0)
    with b.loop_while(And(load(left, 0) > 0, load(total, 0) < 50)):
        b.map(y, lambda i, j: load(y, i, j) * 2, label="double")
        b.map(total, lambda i: 0, label="clear")
        with b.loop("r", N) as r, b.block("count", reduce=[(N, r)]) as (row,):
            b.store(total, (0,), load(total, 0) + load(y, row, 0))
        b.store(left, (0,), load(left, 0) - 1)
    return b.function()


def copied_ahead(rows: int = 6) -> Function:
    """y = 3 (x + 1), the next row on its way while one is used."""
    b = LoopBuilder("ahead", dims=(N,))
    x, y = b.param("x", (rows, N), I32), b.param("y", (rows, N), I32)
    s = b.local("s", (2, N), I32)

    def fetch(row: Expr, label: str) -> None:
        with b.async_group("rows"), b.loop("j", N) as j:
            copied = b.block(label, [(N, j)], opaque=[(rows, row)])
            with copied as (v, u):
                b.store(s, (u % 2, v), load(x, u, v))

    fetch(const(0, INDEX), "first")
    with b.loop("i", rows) as i:
        with b.when(i < rows - 1):
            fetch(i + 1, "next")
        b.async_wait("rows", Select(i < rows - 1, const(1), const(0)), [s])
        with b.loop("j", N) as j, b.block("use", [(rows, i), (N, j)]) as (u, v):
            b.store(y, (u, v), (load(s, u % 2, v) + 1) * 3)
    return b.function()


def rows_of_any_length() -> Function:
    """`online_softmax` whose rows have a symbolic length."""
    return online_softmax(M)


ALL = (online_softmax, rows_of_any_length, argmax, turned_rows, doubled_until, copied_ahead)
