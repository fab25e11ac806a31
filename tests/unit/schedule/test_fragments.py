"""The table takes instructions of other machines: a product of fragments spread over a warp."""

from __future__ import annotations

import numpy as np
import pytest

from passes.ir.expr import Var
from passes.ir.expr_text import print_expr
from passes.ir.loop.distribution import Distribution, mma_m16n8k16
from passes.ir.loop.interpret import interpret
from passes.ir.loop.nodes import Function
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import print_distribution
from passes.schedule.instructions.entry import Entry, need
from passes.schedule.intrinsics import INTRINSICS, TensorIntrinsic
from passes.schedule.tree import ScheduleError
from tests.unit.schedule.steps import Steps

A, B, C = mma_m16n8k16()


def placed(d: Distribution) -> str:
    """The coordinates of register r of lane l, as text."""
    coordinates = d.coordinates(register=Var("r", 1), lane=Var("l", 0))
    return ", ".join([print_expr(e) for e in coordinates])


# What each lane computes: the elements of the sum that its four registers hold
MMA = Entry(
    "mma_m16n8k16_f16",
    f"a: f16[16, 16](distribution={print_distribution(A)}),"
    f" b: f16[16, 8](distribution={print_distribution(B)}),"
    f" c: f32[16, 8](distribution={print_distribution(C)})",
    """
for i in range(16):
    for j in range(8):
        for k in range(16):
            with block("mma"):
                u = spatial(16, i)
                v = spatial(8, j)
                w = reduce(16, k)
                c[u, v] = c[u, v] + cast(a[u, w], f32)*cast(b[w, v], f32)
""",
    f"""
for l0 in thread.x(32):
    for r1 in unrolled(4):
        for k2 in range(16):
            c[{placed(C)}] = c[{placed(C)}] + \
cast(a[{placed(C).split(", ")[0]}, k2], f32)*cast(b[k2, {placed(C).split(", ")[1]}], f32)
""",
    "nvptx64", (need(32, "sm_80"),),
)  # fmt: skip


def program(third: Distribution) -> Function:
    text = f"""
def f(x: f16[16, 16], w: f16[16, 8], y: f32[16, 8]):
    p = alloc(f16[16, 16](distribution={print_distribution(A)}), scope="fragment")
    q = alloc(f16[16, 8](distribution={print_distribution(B)}), scope="fragment")
    s = alloc(f32[16, 8](distribution={print_distribution(third)}), scope="fragment")
    for a in range(16):
        for b in range(16):
            p[a, b] = x[a, b]
    for d in range(16):
        for e in range(8):
            q[d, e] = w[d, e]
            s[d, e] = f32(0.0)
    for m in range(16):
        for n in range(8):
            for k in range(16):
                with block("product"):
                    i = spatial(16, m)
                    j = spatial(8, n)
                    z = reduce(16, k)
                    s[i, j] = s[i, j] + cast(p[i, z], f32)*cast(q[z, j], f32)
    for g in range(16):
        for h in range(8):
            y[g, h] = s[g, h]
"""
    return parse_function(text)


def result(function: Function) -> np.ndarray:
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape).astype(np.float16) for shape in ((16, 16), (16, 8)))
    y = np.zeros((16, 8), np.float32)
    interpret(function, {}, [x, w, y])
    return y


def test_a_product_of_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INTRINSICS, MMA.name, one := TensorIntrinsic(MMA))
    one.check()
    t = Steps(program(C))
    t.s.tensorize(t.m, MMA.name)
    np.testing.assert_allclose(result(t.s.function), result(program(C)), rtol=1e-5)
    with pytest.raises(ScheduleError, match="'s5' is not distributed as 'c' is"):
        other = Steps(program(Distribution(C.outputs, tuple(reversed(C.inputs)))))
        other.s.tensorize(other.m, MMA.name)
