"""The host/device split: thread blocks become launches, and programs of single threads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from passes.codegen.lower import lower, lowering
from passes.codegen.lower.device import split_device
from passes.codegen.lower.facts import Facts
from passes.ir.dtypes import INDEX
from passes.ir.expr import Call, Lt, const
from passes.ir.loop.canonical import canonical
from passes.ir.loop.interpret import interpret
from passes.ir.loop.memory import ExecutionError
from passes.ir.loop.nodes import Barrier, Function, If, Seq, Stmt, seq
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


SPLIT = """\
@kernel(kind="host")
def reverse(x0: f32[n], y1: f32[n], *, n: dim[64, 4096]):
    @device(grid=[n//64, 1, 1], threads=[64, 1, 1], place=[block_x])
    @kernel(kind="device")
    def reverse_0(x0: f32[n], y1: f32[n], *, n: dim[64, 4096], block_x: dim[0, 63]):
        s2 = alloc(f32[64], scope="shared")
        s2[thread_id()] = x0[block_x*64 + thread_id()]
        barrier()
        y1[block_x*64 + thread_id()] = s2[63 - thread_id()] + f32(1.0)
    launch("reverse_0", [n], [x0, y1])
"""


def test_the_two_sides() -> None:
    host = split_device(parse_function(REVERSE))
    assert print_function(host) == SPLIT
    assert parse_function(SPLIT) is canonical(host)


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
            if k == i%2:
                y[i] = t[i] + f32(1.0)
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
    host = split_device(function)
    verify(host)
    assert parse_function(print_function(host)) is canonical(host)
    for dims in sizes:
        memory = random_arrays(function, dims)
        wanted = interpreted(function, dims, memory)
        assert_same(wanted, on_device(host, dims, memory), name)


def on_device(
    host: Function, dims: Mapping[str, int], memory: Arrays, *, check_races: bool = True
) -> Arrays:
    """The parameters after the host program has run."""
    found = [
        array.copy().reshape(shape_of(buffer, dims, host))
        for buffer, array in zip(host.params, memory, strict=True)
    ]
    interpret(host, dims, found, check_races=check_races)
    return [array.reshape(-1) for array in found]


@pytest.mark.parametrize("name", PROGRAMS)
def test_kernels_are_lowered_pass_by_pass(name: str) -> None:
    text, sizes = PROGRAMS[name]
    facts = Facts(vector_bits=128, index_bits=32, thread_blocks=True)
    function = parse_function(text)
    memory = random_arrays(function, sizes[-1])
    wanted, stage = interpreted(function, sizes[-1], memory), function
    for done, step in lowering(facts):
        stage = step(stage)
        verify(stage)
        assert_same(wanted, on_device(stage, sizes[-1], memory), f"{name} after {done}")
    assert lower(function, facts) is stage


def with_body(host: Function, body: Stmt) -> Function:
    """The host program with another body of its one kernel."""
    (kernel,) = host.kernels
    bare = kernel.function.replace(body=body)
    return host.replace(kernels=(kernel.replace(function=bare),))


def test_a_missing_barrier_is_found() -> None:
    host = split_device(parse_function(REVERSE))
    body = host.kernels[0].function.body
    assert isinstance(body, Seq)
    stmts = [stmt for stmt in body.stmts if not isinstance(stmt, Barrier)]
    bare, arrays = with_body(host, seq(*stmts)), [np.zeros(64, np.float32)] * 2
    for check_races in (True, False):
        with pytest.raises(ExecutionError, match=r"at the same time|before anything is stored"):
            on_device(bare, {"n": 64}, arrays, check_races=check_races)


def test_a_barrier_that_some_threads_miss_is_found() -> None:
    host = split_device(parse_function(REVERSE))
    some = If(Lt(Call("thread_id", (), INDEX), const(5)), host.kernels[0].function.body)
    with pytest.raises(ExecutionError, match="threads disagree"):
        on_device(with_body(host, some), {"n": 64}, [np.zeros(64, np.float32)] * 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("grid=[n//64, 1, 1]", "grid=[block_x, 1, 1]"), "block_x is a size of a grid"),
        (("[n], [x0, y1]", "[n], [x0]"), '"reverse_0" takes 1 dims and 2 buffers'),
        (('launch("reverse_0"', 'launch("other"'), '"other" is launched, but is not among'),
        (('@kernel(kind="host")\n', ""), "reverse_0 is a kernel; each has a name of its own"),
        (("place=[block_x]", "place=[n]"), "reverse_0 has the dims n, block_x; its place"),
    ],
)
def test_a_host_program_and_its_kernels_agree(wrong: tuple[str, str], message: str) -> None:
    assert wrong[0] in SPLIT
    function = parse_function(SPLIT.replace(*wrong))
    with pytest.raises(IRError) as error:
        verify(function)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "wrong",
    [
        ("threads=[64, 1, 1], ", ""),
        ("place=[block_x]", "place=[1]"),
        ("place=[block_x]", "place=[block_x], size=[1]"),
    ],
)
def test_kernels_have_their_sizes(wrong: tuple[str, str]) -> None:
    with pytest.raises(IRError, match=r"a kernel has '@device\(grid=\[x, y, z\], threads="):
        parse_function(SPLIT.replace(*wrong))


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
