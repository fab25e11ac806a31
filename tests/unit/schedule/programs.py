"""Loop programs to schedule, and the law that scheduling keeps their meaning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from passes.ir.arith import dims_of, simplify, substitute
from passes.ir.dtypes import F32, I8, I32, INDEX, U8
from passes.ir.expr import (
    And,
    Call,
    Const,
    Dim,
    Expr,
    Max,
    Select,
    Var,
    cast,
    const,
    index,
    maximum,
    minimum,
)
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.interpret import interpret
from passes.ir.loop.nodes import Function
from passes.ir.loop.verify import verify

N = Dim("n", 1, 64)
Arrays = list[NDArray[np.generic]]


def extent_of(e: Expr, dims: dict[str, int]) -> int:
    values = {d: Const(dims[d.name], INDEX) for d in dims_of(e)}
    found = simplify(substitute(e, values))
    assert isinstance(found, Const)
    return int(found.value)


def arguments(function: Function, dims: dict[str, int], seed: int = 0) -> Arrays:
    """Random arrays for the parameters; integers called `ids` or `past` stay small."""
    rng = np.random.default_rng(seed)
    made: Arrays = []
    for buffer in function.params:
        shape = [extent_of(e, dims) for e in buffer.shape]
        kind = buffer.dtype.numpy
        if buffer.dtype.is_float:
            made.append(rng.standard_normal(shape).astype(kind))
        elif buffer.name in ("ids", "past"):
            made.append(rng.integers(0, 4, shape).astype(kind))
        else:
            low = -100 if buffer.dtype.is_signed else 0
            made.append(rng.integers(low, 100, shape).astype(kind))
    return made


def assert_same_meaning(
    before: Function, after: Function, sizes: tuple[int, ...] = (1, 7, 16)
) -> None:
    """Both well formed, equal results (to rounding, where floats are), no races."""
    verify(after)
    for size in sizes if before.dims else (1,):
        dims = {d.name: size for d in before.dims}
        wanted = arguments(before, dims)
        got = [a.copy() for a in wanted]
        interpret(before, dims, wanted)
        interpret(after, dims, got, check_races=True)
        for buffer, a, b in zip(before.params, wanted, got, strict=True):
            if buffer.dtype.is_float:
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=buffer.name)
            else:
                np.testing.assert_array_equal(a, b, err_msg=buffer.name)


def matmul(rows: Expr | int = N, columns: int = 16, inner: int = 12) -> Function:
    """y = x w + r, the sum in a temporary."""
    b = LoopBuilder("matmul", dims=(N,) if rows is N else ())
    x, w = b.param("x", (rows, inner), F32), b.param("w", (inner, columns), F32)
    r, y = b.param("r", (rows, columns), F32), b.param("y", (rows, columns), F32)
    t = b.local("t", (rows, columns), F32)
    b.reduce(t, (inner,), lambda i, j, k: load(x, i, k) * load(w, k, j), label="dot")
    b.map(y, lambda i, j: load(t, i, j) + load(r, i, j), label="out")
    return b.function()


def rowsum(rows: Expr | int = N, inner: int = 12) -> Function:
    b = LoopBuilder("rowsum", dims=(N,) if rows is N else ())
    x, y = b.param("x", (rows, inner), F32), b.param("y", (rows,), F32)
    b.reduce(y, (inner,), lambda i, k: load(x, i, k), label="sum")
    return b.function()


def chain(rows: Expr | int = N) -> Function:
    """y = 2 (x + 1), in two maps."""
    b = LoopBuilder("chain", dims=(N,) if rows is N else ())
    x, y = b.param("x", (rows,), F32), b.param("y", (rows,), F32)
    t = b.local("t", (rows,), F32)
    b.map(t, lambda i: load(x, i) + 1.0, label="first")
    b.map(y, lambda i: load(t, i) * 2.0, label="second")
    return b.function()


def softmax(columns: int = 12) -> Function:
    b = LoopBuilder("softmax", dims=(N,))
    x, y = b.param("x", (N, columns), F32), b.param("y", (N, columns), F32)
    m, e = b.local("m", (N,), F32), b.local("e", (N, columns), F32)
    s = b.local("s", (N,), F32)
    b.reduce(m, (columns,), lambda i, k: load(x, i, k), "max", label="peak")
    b.map(e, lambda i, k: Call("exp", (load(x, i, k) - load(m, i),), F32), label="exps")
    b.reduce(s, (columns,), lambda i, k: load(e, i, k), label="sum")
    b.map(y, lambda i, k: load(e, i, k) / load(s, i), label="share")
    return b.function()


def quantise(blocks: int = 3) -> Function:
    """Rows in blocks of 4 elements: a scale a block, and codes of 8 bits."""
    b = LoopBuilder("quantise", dims=(N,))
    x = b.param("x", (N, blocks * 4), F32)
    q, s = b.param("q", (N, blocks * 4), I8), b.param("s", (N, blocks), F32)
    top = b.local("top", (N, blocks), F32)
    b.reduce(
        top, (4,), lambda i, c, k: Call("abs", (load(x, i, c * 4 + k),), F32), "max", label="top"
    )
    b.map(s, lambda i, c: load(top, i, c) / const(127.0, F32), label="scale")
    b.map(
        q,
        lambda i, j: cast(Call("round", (load(x, i, j) / load(s, i, j // 4),), F32), I8),
        label="code",
    )
    return b.function()


def dots(rows: Expr | int = N, columns: int = 8, inner: int = 16) -> Function:
    """Integer products u8 by i8."""
    b = LoopBuilder("dots", dims=(N,) if rows is N else ())
    w, x = b.param("w", (columns, inner), U8), b.param("x", (rows, inner), I8)
    y = b.param("y", (rows, columns), I32)
    b.reduce(
        y,
        (inner,),
        lambda i, j, k: cast(load(w, j, k), I32) * cast(load(x, i, k), I32),
        label="dot",
    )
    return b.function()


def gather(columns: int = 8) -> Function:
    """Rows of a table chosen by ids, doubled on the way."""
    b = LoopBuilder("gather", dims=(N,))
    ids, table = b.param("ids", (N,), I32), b.param("table", (4, columns), F32)
    y, t = b.param("y", (N, columns), F32), b.local("t", (4, columns), F32)
    b.map(t, lambda v, j: load(table, v, j) * 2.0, label="twice")
    b.map(y, lambda i, j: load(t, cast(load(ids, i), INDEX), j), label="pick")
    return b.function()


def stream(steps: int = 3, width: int = 4) -> Function:
    """A running maximum and sum over blocks of keys, in order, as attention keeps them."""
    b = LoopBuilder("stream", dims=(N,))
    x, y = b.param("x", (N, steps * width), F32), b.param("y", (N,), F32)
    m, peak, total = (b.local(name, (N,), F32) for name in ("m", "peak", "total"))
    with b.loop("i", N) as i:
        with b.block("begin", spatial=[(N, i)]) as (v,):
            b.store(m, (v,), -1e30)
            b.store(total, (v,), 0.0)
        with b.loop("j", steps) as j:
            with (
                b.loop("k", width) as k,
                b.block("peak", [(N, i)], [(width, k)], [(steps, j)]) as (v, u, s),
            ):
                with b.init():
                    b.store(peak, (v,), load(m, v))
                value = load(x, v, s * width + u)
                larger = Select(load(peak, v) < value, value, load(peak, v))
                b.store(peak, (v,), larger)
            with b.block("shrink", [(N, i)], ordered=[(steps, j)]) as (v, _s):
                fall = Call("exp", (load(m, v) - load(peak, v),), F32)
                b.store(total, (v,), load(total, v) * fall)
            with (
                b.loop("k", width) as k,
                b.block("grow", [(N, i)], [(width, k)], [(steps, j)]) as (v, u, s),
            ):
                weight = Call("exp", (load(x, v, s * width + u) - load(peak, v),), F32)
                b.store(total, (v,), load(total, v) + weight)
            with b.block("keep", [(N, i)], ordered=[(steps, j)]) as (v, _s):
                b.store(m, (v,), load(peak, v))
        with b.block("end", spatial=[(N, i)]) as (v,):
            b.store(y, (v,), load(total, v))
    return b.function()


def triangle() -> Function:
    """y[i] = x[0] + … + x[i]: an extent that depends on the loop outside."""
    b = LoopBuilder("triangle", dims=(N,))
    x, y = b.param("x", (N,), F32), b.param("y", (N,), F32)
    with (
        b.loop("i", N) as i,
        b.loop("k", i + 1) as k,
        b.block("sum", spatial=[(N, i)], reduce=[(N, k)]) as (v, u),
    ):
        with b.init():
            b.store(y, (v,), 0.0)
        b.store(y, (v,), load(y, v) + load(x, u))
    return b.function()


def append(capacity: int = 80) -> Function:
    """New rows into a state at `past`, then the sum of all of it: state changed in place."""
    b = LoopBuilder("append", dims=(N,))
    past, new = b.param("past", (1,), I32), b.param("new", (N,), F32)
    state, y = b.param("state", (capacity,), F32), b.param("y", (1,), F32)
    old = b.local("old", (N,), F32)
    b.map(old, lambda i: load(state, cast(load(past, 0), INDEX) + i), label="old")
    with b.loop("i", N) as i, b.block("new", spatial=[(N, i)]) as (v,):
        b.store(state, (cast(load(past, 0), INDEX) + v,), load(new, v) + load(old, v))
    b.reduce(y, (capacity,), lambda o, k: load(state, k), label="all")
    return b.function()


def window(taps: int = 3, columns: int = 6) -> Function:
    """relu of a convolution along padded rows: windows that slide over what is computed first."""
    b = LoopBuilder("window", dims=(N,))
    x, w = b.param("x", (N, columns), F32), b.param("w", (taps,), F32)
    y = b.param("y", (N, columns), F32)
    p, c = b.local("p", (N + taps - 1, columns), F32), b.local("c", (N, columns), F32)

    def padded(i: Var, j: Var) -> Expr:
        inside = And(index(1) <= i, i < N + 1)
        return Select(inside, load(x, minimum(maximum(i - 1, 0), N - 1), j), const(0, F32))

    b.map(p, padded, label="pad")
    b.reduce(c, (taps,), lambda i, j, k: load(p, i + k, j) * load(w, k), label="conv")
    b.map(y, lambda i, j: Max(load(c, i, j), const(0, F32)), label="relu")
    return b.function()


ALL = (
    matmul, rowsum, chain, softmax, quantise, dots, gather, stream, triangle, append, window,
)  # fmt: skip
