"""What is found to be what an instruction describes, wherever its operands lie."""

from __future__ import annotations

import numpy as np
import pytest

from passes.codegen.lower import lower
from passes.ir.dtypes import BF16, F32, I8, I32, U8
from passes.ir.expr import Call, Expr
from passes.ir.loop.nodes import Function
from passes.ir.loop.parse import parse_function
from passes.ir.node import postorder
from passes.schedule.intrinsics import INTRINSICS
from passes.schedule.schedule import Schedule
from tests.unit.codegen.instructions import host_has
from tests.unit.codegen.running import assert_same, compiled, interpreted, random_arrays
from tests.unit.schedule.programs import assert_same_meaning
from tests.unit.schedule.steps import Steps, program
from tests.unit.schedule.tensor_workloads import N, contraction

UNSIGNED, SIGNED, HALF = (U8, I8, I32), (I8, I8, I32), (BF16, BF16, F32)

OUTER = """
for k in range(n):
    for i in range(4):
        for j in range(16):
            with block("mm"):
                v = spatial(4, i)
                l = spatial(16, j)
                u = reduce(n, k)
                PLACE
"""
SHAPES = {
    "rows": ("y: f32[4, 16], x: f32[4, n], w: f32[n, 16]", "y[v, l] = y[v, l] + x[v, u]*w[u, l]"),
    "turned": ("y: f32[4, 16], x: f32[4, n], w: f32[n, 16]", "y[v, l] = y[v, l] + w[u, l]*x[v, u]"),
    "turned sum": ("y: f32[4, 16], x: f32[4, n], w: f32[n, 16]",
                   "y[v, l] = w[u, l]*x[v, u] + y[v, l]"),
    "transposed": ("y: f32[4, 16], x: f32[n, 4], w: f32[n, 16]",
                   "y[v, l] = y[v, l] + x[u, v]*w[u, l]"),
    "flat": ("y: f32[64], x: f32[4*n], w: f32[n*16]",
             "y[v*16 + l] = y[v*16 + l] + x[v*n + u]*w[u*16 + l]"),
    "part": ("y: f32[4, 40], x: f32[8, n], w: f32[n, 99]",
             "y[v, l + 3] = y[v, l + 3] + x[v*2 + 1, u]*w[u, l + 7]"),
    "backwards": ("y: f32[4, 16], x: f32[4, n], w: f32[n, 16]",
                  "y[v, l] = y[v, l] + x[v, n - 1 - u]*w[n - 1 - u, l]"),
    "strided": ("y: f32[4, 16](strides=[50, 1]), x: f32[4, n](strides=[1, 4]), w: f32[n, 16]",
                "y[v, l] = y[v, l] + x[v, u]*w[u, l]"),
    "one factor": ("y: f32[4, 16], x: f32[n, 16], w: f32[1]",
                   "y[v, l] = y[v, l] + x[u, v]*x[u, l]"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_places(name: str) -> None:
    params, update = SHAPES[name]
    function = program(OUTER.replace("PLACE", update), f"{params}, *, n: dim[1, 64]")
    t = Steps(function)
    t.s.tensorize(t.i, "fma_f32_x16")
    assert any(isinstance(n, Call) and n.name == "fma" for n in postorder(t.s.function.body))
    assert_same_meaning(function, t.s.function, (1, 5))
    lowered = lower(t.s.function)
    memory = random_arrays(function, {"n": 5})
    wanted = interpreted(function, {"n": 5}, memory)
    assert_same(wanted, compiled(lowered, {"n": 5}, memory), name)


@pytest.mark.parametrize("order", ["ijk", "jik", "kij", "kji", "jki", "ikj"])
def test_any_order_of_loops(order: str) -> None:
    function = contraction("ik,jk->ij", {"i": 3, "j": 16, "k": 4}, UNSIGNED)
    s = Schedule(function)
    loops = {v.name: v for v in s.loops("sum")}
    s.reorder(*[loops[c] for c in order])
    s.tensorize(s.loops("sum")[0], "dot4_u8_i8_x16")
    assert not s.loops("sum")
    assert_same_meaning(function, s.function)


def test_a_block_is_taken_as_it_is() -> None:
    function = contraction("ik,jk->ij", {"i": N, "j": 16, "k": 4}, UNSIGNED)
    s = Schedule(function)
    _, columns, _ = s.loops("sum")
    made = s.blockize(columns)
    s.tensorize(made, "dot4_u8_i8_x16")
    assert_same_meaning(function, s.function)


def test_operands_of_a_known_range() -> None:
    """Saturating sums are exact for codes of four bits, however they came to be."""
    function = parse_function(
        """
def f(q: u8[n, 8], w: i8[16, 16], y: i32[n, 16], *, n: dim[1, 64]):
    t = alloc(u8[n, 16])
    for i in range(n):
        for k in range(16):
            with block("unpack"):
                v = spatial(n, i)
                u = spatial(16, k)
                t[v, u] = q[v, u//2] >> cast(u%2*4, u8) & u8(15)
    for a in range(n):
        for j in range(16):
            for s in range(4):
                for b in range(4):
                    with block("dot"):
                        r = spatial(n, a)
                        l = spatial(16, j)
                        z = reduce(16, s*4 + b)
                        with init():
                            y[r, l] = i32(0)
                        y[r, l] = y[r, l] + cast(t[r, z], i32)*cast(w[l, z], i32)
"""
    )
    t = Steps(function)
    t.s.tensorize(t.b, "dot4_u8_i8_pairs")
    assert_same_meaning(function, t.s.function)


# Whole products, as a schedule would make them, on this processor


def tiled(
    function: Function, intrinsic: str, rows: int, columns: int, depth: tuple[int, ...]
) -> Schedule:
    """Tiles of the result in registers, the depth in steps of the instruction; B in panels."""
    s = Schedule(function)
    s.reindex("sum", "b1", "read")
    (packed,) = s.function.allocs

    def panels(i: list[Expr]) -> list[Expr]:
        return [i[0] // columns, i[1] // depth[-1], i[0] % columns, i[1] % depth[-1]]

    s.transform_layout(f"{packed.name}{packed.ordinal}", panels)
    copy = s.cache_write("sum", "register")
    m, n, k = s.loops("sum")
    m, i = s.split(m, (None, rows))
    n, j = s.split(n, (None, columns))
    k, *steps = s.split(k, (None, *depth))
    s.reorder(m, n, k, i, j, *steps)
    s.reverse_compute_at(copy, n)
    for label in (s.decompose_reduction("sum", k), copy):
        row, column = s.loops(label)[-2:]
        vectors, lanes = s.split(column, (None, INTRINSICS[intrinsic].entry.lanes))
        s.vectorize(lanes)
        s.unroll(vectors)
        s.unroll(row)
    s.tensorize(i, intrinsic)
    return s


PRODUCTS = {
    "dot4_u8_i8_x16": (UNSIGNED, (4,)), "dot4_u8_i8_words_x8": (UNSIGNED, (4,)),
    "dot4_i8_i8_x16": (SIGNED, (2, 4)), "dot2_bf16_x16": (HALF, (2,)),
    "dot2_bf16_fma_x8": (HALF, (2,)), "fma_f32_x16": ((F32, F32, F32), (1,)),
}  # fmt: skip


@pytest.mark.parametrize("intrinsic", PRODUCTS)
def test_products_are_exact(intrinsic: str) -> None:
    kinds, depth = PRODUCTS[intrinsic]
    if not host_has(intrinsic):
        pytest.skip("this CPU lacks the instruction")
    function = contraction("mk,nk->mn", {"m": 24, "n": 64, "k": 32}, kinds)
    s = tiled(function, intrinsic, 4, 32, depth)
    rng = np.random.default_rng(0)
    a, b = random_arrays(function, {})[:2]
    if kinds is UNSIGNED:
        a, b = rng.integers(0, 256, a.shape, np.uint8), rng.integers(-128, 128, b.shape, np.int8)
    given = compiled(lower(s.function), {}, [a, b, np.zeros(24 * 64, kinds[2].numpy)])[2]
    wide = np.float64 if kinds[2].is_float else np.int64
    wanted = a.astype(wide).reshape(24, 32) @ b.astype(wide).reshape(64, 32).T
    np.testing.assert_allclose(given.reshape(24, 64), wanted, rtol=1e-4, atol=1e-4)
