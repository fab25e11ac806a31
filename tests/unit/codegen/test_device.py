"""The host/device split: thread blocks become launches, and programs of single threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from passes.codegen.lower.device import Split, split_device
from passes.codegen.lower.lockstep import run_split
from passes.ir.dtypes import INDEX
from passes.ir.expr import Call, Lt, const
from passes.ir.expr_text import print_expr
from passes.ir.loop.memory import ExecutionError
from passes.ir.loop.nodes import Barrier, Function, If, Seq, seq
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import print_function
from passes.ir.loop.verify import verify
from passes.ir.node import IRError
from tests.unit.codegen.running import Arrays, assert_same, interpreted, random_arrays, shape_of

REVERSE = """
def reverse(x: f32[n], y: f32[n], *, n: dim[64, 4096]):
    s = alloc(f32[64], scope="shared")
    for b in block.x(n//64):
        for t in thread.x(64):
            s[t] = x[b*64 + t]
        for t in thread.x(64):
            y[b*64 + t] = s[63 - t] + f32(1.0)
"""


def test_the_two_sides() -> None:
    split = split_device(parse_function(REVERSE))
    assert (
        print_function(split.host)
        == """\
@kernel(kind="host")
def reverse(x0: f32[n], y1: f32[n], *, n: dim[64, 4096]):
    launch("reverse_0", [n], [x0, y1])
"""
    )
    (kernel,) = split.kernels.values()
    assert (
        print_function(kernel.function)
        == """\
@kernel(kind="device")
def reverse_0(x0: f32[n], y1: f32[n], *, n: dim[64, 4096], block_x: dim[0, 63]):
    s2 = alloc(f32[64], scope="shared")
    s2[thread_id()] = x0[block_x*64 + thread_id()]
    barrier()
    y1[block_x*64 + thread_id()] = s2[63 - thread_id()] + f32(1.0)
"""
    )
    assert [print_expr(e) for e in kernel.grid] == ["n//64", "1", "1"]
    assert [print_expr(e) for e in kernel.block] == ["64", "1", "1"]


PROGRAMS = {
    "shared memory": (REVERSE, [{"n": 64}, {"n": 192}]),
    "two axes, fewer threads": ("""
def tiles(x: f32[n, m], y: f32[m, n], z: f32[n], *, n: dim[1, 64], m: dim[1, 64]):
    s = alloc(f32[8, 9], scope="shared")
    for bi in block.y((n + 7)//8):
        for bj in block.x((m + 7)//8):
            for ti in thread.y(8):
                for tj in thread.x(8):
                    if bi*8 + ti < n and bj*8 + tj < m:
                        s[ti, tj] = x[bi*8 + ti, bj*8 + tj]
            for ti in thread.x(8):
                for tj in thread.y(8):
                    if bi*8 + tj < n and bj*8 + ti < m:
                        y[bj*8 + ti, bi*8 + tj] = s[tj, ti]
            for t in thread.x(4):
                if bj == 0 and bi*8 + t < n:
                    z[bi*8 + t] = s[t, 0]
            for t in thread.x(4):
                if bj == 0 and bi*8 + t + 4 < n:
                    z[bi*8 + t + 4] = s[t + 4, 0]
""", [{"n": 8, "m": 8}, {"n": 13, "m": 20}]),
    "loops around barriers": ("""
def sums(x: f32[n, 40], y: f32[n], *, n: dim[1, 64]):
    s = alloc(f32[8], scope="shared")
    acc = alloc(f32[8, 2], scope="register")
    for b in block.x(n):
        for t in thread.x(8):
            acc[t, 0] = f32(0.0)
        for k in range(5):
            for t in thread.x(8):
                acc[t, 1] = x[b, k*8 + t]
            for t in thread.x(8):
                acc[t, 0] = acc[t, 0] + acc[t, 1]
        for t in thread.x(8):
            s[t] = acc[t, 0]
        for h in range(3):
            for t in thread.x(4):
                if t < 4//(1 + h*h):
                    s[t] = s[t] + s[t + 4//(1 + h*h)]
        y[b] = s[0]
""", [{"n": 1}, {"n": 5}]),
    "several launches": ("""
def stages(x: f32[n], y: f32[n], *, n: dim[1, 64], r: dim[1, 4]):
    t = alloc(f32[n])
    c = alloc(f32[1])
    c[0] = f32(0.5)
    c[0] = c[0] + x[0]
    for q in range(r):
        for i in block.x((n + 3)//4):
            for j in thread.x(4):
                if i*4 + j < n:
                    t[i*4 + j] = x[n - 1 - i*4 - j]*c[0] + cast(q, f32)
        if q < 2:
            for i in block.x(n):
                x[i] = t[i]
    for i in block.x(n):
        for k in parallel(2):
            if k == 0:
                y[i] = f32(0.0)
            y[i] = y[i] + t[i]
""", [{"n": 5, "r": 1}, {"n": 8, "r": 3}]),
    "copies on their way": ("""
def pipe(x: f32[n, 16], y: f32[n, 16], *, n: dim[1, 64]):
    s = alloc(f32[2, 16], scope="shared")
    for b in block.x(1):
        with async_group("q"):
            for t in thread.x(16):
                s[0, t] = x[0, t]
        for i in range(n):
            if i + 1 < n:
                with async_group("q"):
                    for t in thread.x(16):
                        s[(i + 1)%2, t] = x[i + 1, t]
            async_wait("q", min(n - 1 - i, 1), [s])
            for t in thread.x(16):
                y[i, t] = s[i%2, 15 - t]
""", [{"n": 1}, {"n": 4}]),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_threads_in_step_do_what_the_program_says(name: str) -> None:
    text, sizes = PROGRAMS[name]
    function = parse_function(text)
    split = split_device(function)
    verify(split.host)
    for kernel in split.kernels.values():
        verify(kernel.function)
    for dims in sizes:
        memory = random_arrays(function, dims)
        check_split(function, split, dims, memory, name)


def check_split(
    function: Function, split: Split, dims: Mapping[str, int], memory: Arrays, what: str
) -> None:
    """The split function gives what the function itself gives, without races."""
    wanted = interpreted(function, dims, memory)
    found = [
        array.copy().reshape(shape_of(buffer, dims, function))
        for buffer, array in zip(function.params, memory, strict=True)
    ]
    run_split(split, dims, found, check_races=True)
    assert_same(wanted, [array.reshape(-1) for array in found], what)


def test_a_missing_barrier_is_found() -> None:
    split = split_device(parse_function(REVERSE))
    (kernel,) = split.kernels.values()
    assert isinstance(kernel.function.body, Seq)
    stmts = [stmt for stmt in kernel.function.body.stmts if not isinstance(stmt, Barrier)]
    bare = replace(kernel, function=kernel.function.replace(body=seq(*stmts)))
    arrays = [np.zeros(64, np.float32), np.zeros(64, np.float32)]
    for check_races in (True, False):
        with pytest.raises(ExecutionError, match=r"at the same time|before anything is stored"):
            run_split(
                Split(split.host, {"reverse_0": bare}), {"n": 64}, arrays, check_races=check_races
            )


def test_a_barrier_that_some_threads_miss_is_found() -> None:
    split = split_device(parse_function(REVERSE))
    (kernel,) = split.kernels.values()
    some = If(Lt(Call("thread_id", (), INDEX), const(5)), kernel.function.body)
    bare = replace(kernel, function=kernel.function.replace(body=some))
    arrays = [np.zeros(64, np.float32), np.zeros(64, np.float32)]
    with pytest.raises(ExecutionError, match="threads disagree"):
        run_split(Split(split.host, {"reverse_0": bare}), {"n": 64}, arrays)


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        (
            "for t in thread.x(8):\n            a[0] = x[t]\n"
            "        for t in thread.x(8):\n            y[t] = a[0]",
            "'f': local buffer 'a2' is private to a thread but carries data between threads; give"
            " it scope 'shared', or an axis that is indexed by the thread",
        ),
        (
            "for t in thread.x(8):\n            y[t] = x[t]\n"
            "            for u in thread.y(2):\n                y[t*2 + u] = x[t]",
            "'f': loops over threads must be directly inside each other",
        ),
        (
            "for t in thread.x(cast(k[0], index)):\n            y[t] = x[t]",
            "'f': how many threads there are must be known before the kernel runs",
        ),
        (
            "for t in thread.x(8):\n            w[t] = x[t]",
            "'f': buffer 'w3' has scope 'warp'",
        ),
        (
            "y[b] = x[b]\n        for c in block.y(2):\n            y[b] = x[c]",
            "'f': loops over thread blocks must be directly inside each other",
        ),
    ],
)
def test_what_a_grid_cannot_run(inside: str, message: str) -> None:
    function = parse_function(
        f"""
def f(x: f32[64], y: f32[64], k: i32[1]):
    a = alloc(f32[1], scope="local")
    w = alloc(f32[8], scope="warp")
    for b in block.x(2):
        {inside}
""".replace("'a2'", "a3")
    )
    with pytest.raises(IRError) as caught:
        split_device(function)
    assert str(caught.value) == message.replace("a2", "a3").replace("w3", "w4")


def test_the_host_reads_no_memory() -> None:
    function = parse_function("""
def f(x: f32[64], k: i32[1]):
    for r in range(cast(k[0], index)):
        for b in block.x(2):
            x[b] = f32(0.0)
""")
    with pytest.raises(IRError, match="a loop or condition around thread blocks reads memory"):
        split_device(function)
    function = parse_function("""
def f(x: f32[64], y: f32[64]):
    for b in block.x(64):
        with block("copy"):
            i = spatial(64, b)
            y[i] = x[i]
""")
    with pytest.raises(IRError, match="comes after the pass 'blocks'"):
        split_device(function)


def test_shared_memory_does_not_outlive_a_kernel() -> None:
    function = parse_function("""
def f(x: f32[64], y: f32[64]):
    s = alloc(f32[64], scope="shared")
    for b in block.x(64):
        s[b] = x[b]
    for b in block.x(64):
        y[b] = s[b]
""")
    with pytest.raises(IRError, match="shared buffer 's2' is used by two kernels, and outlives"):
        split_device(function)
