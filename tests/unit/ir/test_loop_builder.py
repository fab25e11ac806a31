"""The builder's output, seen as text."""

import textwrap

import pytest

from passes.ir.dtypes import F32, I8, I32, INDEX
from passes.ir.expr import Dim
from passes.ir.loop.builder import LoopBuilder, identity, load
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
