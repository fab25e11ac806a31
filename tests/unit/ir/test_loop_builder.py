"""The builder's output, seen as text."""

import textwrap

import pytest

from passes.ir.dtypes import F32, I8, I32, INDEX
from passes.ir.expr import Dim, cast, const
from passes.ir.loop.builder import LoopBuilder, identity, load
from passes.ir.loop.distribution import distribution
from passes.ir.loop.text import print_function
from passes.ir.node import IRError

N = Dim("n", 1, 512)


def shown(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


def test_map_makes_one_block_over_the_target():
    b = LoopBuilder("scale", dims=(N,))
    x, y = b.param("x", (N, 4), F32), b.param("y", (N, 4), F32)
    b.map(y, lambda i, j: load(x, i, j) * 2.0)
    assert print_function(b.function()) == shown(
        """
        def scale(x0: f32[n, 4], y1: f32[n, 4], *, n: dim[1, 512]):
            for i2 in range(n):
                for j3 in range(4):
                    with block("y"):
                        i4 = spatial(n, i2)
                        j5 = spatial(4, j3)
                        y1[i4, j5] = x0[i4, j5]*f32(2.0)
        """
    )


def test_reduce_starts_from_the_identity():
    b = LoopBuilder("rowmax", dims=(N,))
    x, y = b.param("x", (N, 4), F32, strides=(8, 1)), b.param("y", (N,), F32)
    b.reduce(y, (4,), lambda row, k: load(x, row, k), "max", label="peak")
    assert print_function(b.function()) == shown(
        """
        def rowmax(x0: f32[n, 4](strides=[8, 1]), y1: f32[n], *, n: dim[1, 512]):
            for row2 in range(n):
                for k3 in range(4):
                    with block("peak"):
                        row4 = spatial(n, row2)
                        k5 = reduce(4, k3)
                        with init():
                            y1[row4] = f32("-inf")
                        y1[row4] = max(y1[row4], x0[row4, k5])
        """
    )


def test_a_nest_by_hand_has_every_kind_of_statement():
    b = LoopBuilder("host", dims=(N,), attrs={"kind": "host"})
    x, y = b.param("x", (N,), F32), b.param("y", (N,), F32)
    t = b.local("t", (4,), I8, scope="local")
    with b.loop("i", N, "parallel", grain=16) as i:
        with b.block("first", spatial=[(N, i)], where=i < N - 1, note="z") as (v,):
            b.store(y, (v,), load(x, v))
        with b.when(i.equal(3)):
            b.store(t, (0,), 1)
        with b.otherwise():
            b.store(t, (0,), 2)
    b.barrier()
    b.launch("kernel", (N,), (x, y))
    assert print_function(b.function()) == shown(
        """
        @kernel(kind="host")
        def host(x0: f32[n], y1: f32[n], *, n: dim[1, 512]):
            t2 = alloc(i8[4], scope="local")
            for i3 in parallel(n, grain=16):
                with block("first", note="z"):
                    i4 = spatial(n, i3)
                    where(i3 < n - 1)
                    y1[i4] = x0[i4]
                if i3 == 3:
                    t2[0] = i8(1)
                else:
                    t2[0] = i8(2)
            barrier()
            launch("kernel", [n], [x0, y1])
        """
    )


def test_taken_labels_get_numbers():
    b = LoopBuilder("twice", dims=(N,))
    y = b.param("y", (N,), F32)
    b.map(y, lambda i: 0.0)
    b.map(y, lambda i: 1.0)
    text = print_function(b.function())
    assert 'block("y")' in text and 'block("y_1")' in text


@pytest.mark.parametrize(
    ("combine", "dtype", "value"),
    [("add", F32, 0.0), ("mul", I32, 1), ("max", I8, -128), ("min", I8, 127)],
)
def test_identities(combine, dtype, value):
    assert identity(combine, dtype).value == value


def test_misuse_is_told():
    b = LoopBuilder("wrong")
    with pytest.raises(IRError, match="type index has no identity of 'max'"):
        identity("max", INDEX)
    with pytest.raises(IRError, match=r"must directly follow a when\(\)"), b.otherwise():
        pass
    with pytest.raises(IRError, match=r"init\(\) outside any block"), b.init():
        pass
    with b.loop("i", 4), pytest.raises(IRError, match="while a loop or block is still open"):
        b.function()


def test_reductions_of_tuples():
    b = LoopBuilder("moments", dims=(N,))
    x = b.param("x", (N, 4), F32, align=64)
    y, z = b.param("y", (N,), F32), b.local("z", (N,), F32, align=32)
    sums = b.combiner("sums", [const(0.0, F32), const(0.0, F32)], lambda a, c: [a[0] + c[0], 1.0])
    b.reduce_tuple([y, z], (4,), lambda row, k: (load(x, row, k), 2), sums)
    assert print_function(b.function()) == shown(
        """
        def moments(x0: f32[n, 4](align=64), y1: f32[n], *, n: dim[1, 512]):
            z2 = alloc(f32[n](align=32))
            @combiner(f32(0.0), f32(0.0))
            def sums(a3: f32, a4: f32, b5: f32, b6: f32):
                return a3 + b5, f32(1.0)
            for row7 in range(n):
                for k8 in range(4):
                    with block("sums"):
                        row9 = spatial(n, row7)
                        k10 = reduce(4, k8)
                        with init():
                            y1[row9] = f32(0.0)
                            z2[row9] = f32(0.0)
                        y1[row9], z2[row9] = sums(y1[row9], z2[row9], x0[row9, k10], f32(2.0))
        """
    )


def test_thread_blocks_by_hand():
    b = LoopBuilder("copy", dims=(N,))
    x, y = b.param("x", (N, 32), F32), b.param("y", (N, 32), F32)
    layout = distribution({"j": 32}, {"lane": [(1,), (2,), (4,), (8,), (16,)]})
    s = b.local("s", (32,), F32, "shared", distribution=layout)
    at = b.local("at", (1,), I32)
    with b.loop("i", N, "block.x") as i:
        with b.async_group("q"), b.loop("t", 32, "thread.x") as t:
            b.store(s, (t,), load(x, i, t))
        b.async_wait("q", 0, [s])
        b.barrier()
        with b.block("row", spatial=[(N, i)]) as (v,):
            row = b.view(y, (v, 0), (None, 32))
            with b.loop("t", 32) as t:
                b.store(row, (t,), load(s, t))
    with b.loop("k", 2) as k, b.block("last", opaque=[(2, k)]) as (o,):
        b.store(at, (0,), cast(o, I32))
    with b.loop_while(load(at, 0) < 9):
        b.store(at, (0,), load(at, 0) + 1)
    with pytest.raises(IRError, match=r"view\(\) outside any block"):
        b.view(y, (0, 0), (None, 32))
    assert print_function(b.function()) == shown(
        """
        def copy(x0: f32[n, 32], y1: f32[n, 32], *, n: dim[1, 512]):
            s2 = alloc(f32[32](distribution=distribution({"j": 32}, {"lane": [[1], [2], [4], [8], [16]]})), scope="shared")
            at3 = alloc(i32[1])
            for i4 in block.x(n):
                with async_group("q"):
                    for t5 in thread.x(32):
                        s2[t5] = x0[i4, t5]
                async_wait("q", 0, [s2])
                barrier()
                with block("row"):
                    i6 = spatial(n, i4)
                    y7 = view(y1[i6, 0:+32])
                    for t8 in range(32):
                        y7[t8] = s2[t8]
            for k9 in range(2):
                with block("last"):
                    k10 = opaque(2, k9)
                    at3[0] = cast(k10, i32)
            while at3[0] < i32(9):
                at3[0] = at3[0] + i32(1)
        """  # noqa: E501
    )
