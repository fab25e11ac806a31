"""The interpreter with several threads, thread blocks, launches and barriers."""

import numpy as np
import pytest

from passes.ir.loop.memory import ExecutionError
from tests.unit.ir.running import floats, run

SPMD = """
def kernel(x: f32[n], y: f32[n], *, n: dim[1, 99]):
    t = alloc(f32[n])
    for i in parallel(n):
        t[i] = x[i] + f32(1.0)
    BETWEEN
    for i in parallel(n):
        y[i] = t[n - 1 - i]
"""


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_threads_run_their_chunks_between_barriers(threads):
    x = floats(5)
    text = SPMD.replace("BETWEEN", "barrier()")
    _, y = run(text, {"n": 5}, x, np.zeros(5, np.float32), threads=threads, check_races=True)
    assert (y == x[::-1] + 1).all()


def test_a_missing_barrier_is_found():
    text = SPMD.replace("BETWEEN", "")
    with pytest.raises(ExecutionError, match="read before anything is stored there"):
        run(text, {"n": 5}, floats(5), np.zeros(5, np.float32), threads=2)


def test_threads_know_themselves():
    text = """
def f(y: i32[9]):
    mine = alloc(i32[1], scope="local")
    mine[0] = cast(thread_id(), i32)*i32(10) + cast(num_threads(), i32)
    for i in parallel(9):
        y[i] = mine[0]
"""
    (y,) = run(text, {}, np.zeros(9, np.int32), threads=3)
    assert y.tolist() == [3, 3, 3, 13, 13, 13, 23, 23, 23]


HOST = """
@kernel(kind="host")
def main(x: f32[n], y: f32[n], *, n: dim[1, 9]):
    t = alloc(f32[n])
    for step in range(3):
        launch("double", [n], [x, t])
        barrier()
        launch("double", [n], [t, y])
        barrier()
"""


DOUBLE = """
def double(a: f32[k], b: f32[k], *, k: dim[1, 99]):
    for i in parallel(k):
        b[i] = a[i] + a[i]
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_host_programs_launch_kernels(threads):
    x = floats(7)
    dims = {"n": 7}
    _, y = run(HOST, dims, x, np.zeros(7, np.float32), kernels=[DOUBLE], threads=threads)
    assert (y == 4 * x).all()


def test_while_around_barriers_and_launches():
    text = """
@kernel(kind="host")
def main(x: f32[n], at: i32[1], *, n: dim[1, 9]):
    while at[0] < i32(3):
        launch("double", [n], [x])
        barrier()
        launch("count", [], [at])
        barrier()
"""
    double = "def double(x: f32[n], *, n: dim[1, 9]):\n    for i in parallel(n):\n        x[i] = x[i] + x[i]\n"  # noqa: E501
    count = "def count(at: i32[1]):\n    if thread_id() == 0:\n        at[0] = at[0] + i32(1)\n"
    x = floats(7)
    before = x.copy()
    run(text, {"n": 7}, x, np.zeros(1, np.int32), kernels=[double, count], threads=2)
    assert (x == 8 * before).all()


def test_races_are_found_through_views():
    text = """
def f(y: f32[8]):
    for i in parallel(3):
        with block("pair"):
            v = spatial(3, i)
            pair = view(y[v*STEP:+2])
            pair[0] = f32(0.0)
            pair[1] = f32(1.0)
"""
    run(text.replace("STEP", "2"), {}, np.zeros(8, np.float32), check_races=True)
    with pytest.raises(ExecutionError, match="at the same time"):
        run(text.replace("STEP", "1"), {}, np.zeros(8, np.float32), check_races=True)


GRID = """
def g(x: f32[n, 32], y: f32[n, 32], *, n: dim[1, 9]):
    s = alloc(f32[32], scope="shared")
    for b in block.x(n):
        for t in thread.x(32):
            s[t] = x[b, t]
        barrier()
        for t in thread.x(32):
            AT
"""


def test_thread_blocks():
    x = floats(3, 32)
    text = GRID.replace("AT", "y[b, t] = s[31 - t]")
    _, y = run(text, {"n": 3}, x, np.zeros_like(x), check_races=True)
    assert (y == x[:, ::-1]).all()
    _, y = run(text, {"n": 3}, x, np.zeros_like(x), threads=2)
    assert (y == x[:, ::-1]).all()


@pytest.mark.parametrize(
    "body",
    [
        "s[t] = s[31 - t]",  # threads of a block
        "y[b//2, t] = s[t]",  # blocks
    ],
)
def test_races_of_thread_blocks_are_found(body):
    x = floats(3, 32)
    with pytest.raises(ExecutionError, match="at the same time"):
        run(GRID.replace("AT", body), {"n": 3}, x, np.zeros_like(x), check_races=True)


def test_shared_memory_is_not_kept_from_block_to_block():
    text = GRID.replace("        for t in thread.x(32):\n            s[t] = x[b, t]\n", "", 1)
    text = text.replace("        barrier()\n", "        if b == 0:\n            s[0] = x[0, 0]\n")
    x = floats(3, 32)
    with pytest.raises(ExecutionError, match="read before anything is stored there"):
        run(text.replace("AT", "y[b, t] = s[0]"), {"n": 3}, x, np.zeros_like(x), check_races=True)
