"""Sums of products by default schedule: what they look like, and that they mean the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from passes.codegen.lower import lower
from passes.ir.dtypes import BF16, F32, I8, U8, DType
from passes.ir.expr import Const, Dim, Expr, IntLike, cast, index, maximum
from passes.ir.graph.nodes import Input, TensorType
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Buffer, For, Function, Load
from passes.ir.node import postorder
from passes.ops import OPERATORS, apply
from passes.ops.define import define
from passes.schedule.replay import replay
from passes.schedule.schedule import Schedule
from passes.search.defaults import default_schedule
from passes.search.defaults.target import Target
from tests.unit.codegen.running import assert_same, compiled, interpreted, random_arrays

AVX2 = Target(256, 16, 32768, 262144, ("avx2", "fma"))
AVX512 = Target(512, 32, 32768, 1 << 20, ("avx512f", "avx512bw", "avx2", "fma"))
VNNI = replace(AVX512, features=(*AVX512.features, "avx512vnni", "avx512vl", "avx512bf16"))
# So small that every factor is too large for it.
TINY = replace(AVX512, l1d_bytes=256, l2_bytes=1024)
N, M, K = Dim("n", 1, 700), Dim("m", 1, 300), Dim("k", 1, 90)


def product(
    rows: IntLike,
    columns: IntLike,
    steps: IntLike,
    *,
    turned: bool = False,
    relu: bool = False,
    types: tuple[DType, DType] = (F32, F32),
) -> Function:
    """c = a @ b, b `turned` as [columns, steps]; with a bias and a relu."""
    given = [e for e in map(index, (rows, columns, steps)) if isinstance(e, Dim)]
    b = LoopBuilder("product", dims=tuple(dict.fromkeys(given)))
    left = b.param("a", (rows, steps), types[0])
    right = b.param("b", (columns, steps) if turned else (steps, columns), types[1])
    result = F32 if types[0].is_float else DType("i32")
    bias = b.param("bias", (columns,), result) if relu else None
    c = b.param("c", (rows, columns), result)
    out = c if bias is None else b.local("t", (rows, columns), result)

    def term(i: Expr, j: Expr, k: Expr) -> Expr:
        weight = load(right, j, k) if turned else load(right, k, j)
        return cast(load(left, i, k), result) * cast(weight, result)

    b.reduce(out, (steps,), term, label="product")
    if bias is not None:
        b.map(c, lambda i, j: maximum(load(out, i, j) + load(bias, j), Const(0.0, F32)), "end")
    return b.function()


def gated(rows: IntLike, columns: int, steps: int) -> Function:
    """Two products that meet in one map."""
    b = LoopBuilder("gated", dims=(rows,) if isinstance(rows, Dim) else ())
    x = b.param("x", (rows, steps), F32)
    gate, up = (b.param(name, (steps, columns), F32) for name in ("gate", "up"))
    c = b.param("c", (rows, columns), F32)
    sums = [b.local(name, (rows, columns), F32) for name in ("g", "u")]
    for target, weight in zip(sums, (gate, up), strict=True):
        _product_into(b, target, x, weight)
    b.map(c, lambda i, j: load(sums[0], i, j) * load(sums[1], i, j), "end")
    return b.function()


def _product_into(b: LoopBuilder, target: Buffer, x: Buffer, weight: Buffer) -> None:
    b.reduce(target, (x.shape[1],), lambda i, j, k: load(x, i, k) * load(weight, k, j))


def check(
    function: Function, target: Target, cases: Sequence[Mapping[str, int]], lowers: bool = False
) -> Schedule:
    """The schedule, after comparing the program under it with the plain one."""
    made = default_schedule(function, target)
    programs = [(made.function, 1), *([(lower(made.function), 3)] if lowers else [])]
    for dims in cases:
        given = random_arrays(function, dims)
        wanted = interpreted(function, dims, given)
        for one, threads in programs:
            assert_same(wanted, interpreted(one, dims, given, threads=threads), f"{dims}")
    return made


SIZES = [(1, 1, 1), (1, 40, 9), (5, 33, 7), (8, 48, 16), (9, 100, 3), (13, 47, 12), (64, 1, 8)]


@pytest.mark.parametrize("target", [AVX2, AVX512, TINY], ids=["avx2", "avx512", "tiny"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size(size: tuple[int, int, int], target: Target) -> None:
    check(product(*size), target, [{}], lowers=target is AVX2)
    check(product(*size, turned=True), target, [{}])


@pytest.mark.parametrize("target", [AVX512, TINY], ids=["avx512", "tiny"])
def test_any_number_of_rows(target: Target) -> None:
    rows = [{"n": n} for n in (1, 6, 13, 259)]
    check(product(N, 20, 16, relu=True), target, rows)
    check(product(N, 16, 8, turned=True), target, rows[:3])


@pytest.mark.slow
def test_lowered_for_any_number_of_rows() -> None:
    rows = [{"n": n} for n in (1, 3, 8, 13, 255, 257)]
    for target in (AVX512, TINY):
        check(product(N, 48, 32, relu=True), target, rows, lowers=True)
        check(product(N, 20, 64, turned=True), target, rows[:4], lowers=True)


def test_all_extents_symbolic() -> None:
    sizes = [(1, 1, 1), (9, 27, 7)]
    cases = [dict(zip("nmk", size, strict=True)) for size in sizes]
    check(product(N, M, K), AVX512, cases)


@pytest.mark.parametrize("target", [AVX512, TINY], ids=["avx512", "tiny"])
def test_sums_that_end_in_one_map(target: Target) -> None:
    made = check(gated(13, 40, 32), target, [{}])
    assert sum(step.name == "parallel" for step in made.trace) <= 4
    check(gated(N, 16, 16), target, [{"n": n} for n in (1, 9, 30)])


BYTES = [(U8, I8), (I8, U8), (I8, I8), (BF16, BF16)]


@pytest.mark.parametrize("types", BYTES, ids=str)
@pytest.mark.parametrize("size", [(9, 32, 8), (5, 20, 8), (1, 4, 512)], ids=str)
def test_small_numbers(types: tuple[DType, DType], size: tuple[int, int, int]) -> None:
    for turned in (False, True):
        made = check(product(*size, turned=turned, types=types), VNNI, [{}])
        assert any(step.name == "tensorize" for step in made.trace)


def test_steps_that_no_instruction_takes() -> None:
    made = check(product(5, 20, 7, types=(U8, I8)), VNNI, [{}])
    assert not any(step.name == "tensorize" for step in made.trace)


CONVOLUTIONS = {
    "3x3": ("conv", (1, 4, 7, 8), (3, 3, 8, 32), {"padding": (1, 1)}),
    "strided": ("conv", (1, 11, 11, 3), (3, 3, 3, 16), {"stride": (2, 2)}),
    "depthwise": ("conv", (1, 6, 9, 20), (3, 3, 1, 20), {"groups": 20}),
    "grouped": ("conv", (1, 4, 5, 16), (3, 3, 4, 16), {"groups": 4, "padding": (1, 1)}),
    "dilated": ("conv", (1, 9, 9, 8), (3, 3, 8, 16), {"dilation": (2, 2)}),
    "transposed": ("conv_transposed", (1, 4, 5, 8), (4, 4, 8, 16), {"stride": (2, 2)}),
    "channels first": ("conv", (1, 8, 6, 18), (8, 8, 3, 3), {"layout": "first"}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str) -> None:
    operator, x, w, attrs = CONVOLUTIONS[name]
    operands = [Input(k, TensorType(tuple(map(index, s)), F32)) for k, s in (("x", x), ("w", w))]
    function = define(apply(operator, *operands, **attrs), OPERATORS)  # type: ignore[arg-type]
    for target in (AVX512, TINY):
        check(function, target, [{}])


def test_batches() -> None:
    equations = ("bmk,bkn->bmn", "bmk,bnk->bmn", "bsk,kn->bsn", "km,kn->nm", "mk,kno->mno")
    for equation in equations:
        left, right = equation.split("->")[0].split(",")
        sizes = dict(zip("bsmnko", (3, 10, 9, 33, 12, 1), strict=True))
        shapes = [tuple(index(sizes[axis]) for axis in axes) for axes in (left, right)]
        operands = [Input(k, TensorType(s, F32)) for k, s in zip("ab", shapes, strict=True)]
        check(define(apply("contract", *operands, equation=equation), OPERATORS), AVX512, [{}])


@pytest.mark.parametrize("rows", [37, N], ids=str)
@pytest.mark.parametrize("equation", ["km,nk->mn", "bkm,bnk->bmn"])
def test_left_factors_that_lie_across(equation: str, rows: IntLike) -> None:
    left, right = equation.split("->")[0].split(",")
    sizes: dict[str, IntLike] = {"b": 2, "m": rows, "n": 300, "k": 8}
    shapes = [tuple(index(sizes[axis]) for axis in axes) for axes in (left, right)]
    operands = [Input(k, TensorType(s, F32)) for k, s in zip("ab", shapes, strict=True)]
    function = define(apply("contract", *operands, equation=equation), OPERATORS)
    cases = [{"n": n} for n in (1, 5, 131)] if rows is N else [{}]
    made = check(function, TINY, cases)
    assert [b.scope for b in made.function.allocs].count("global") == 2


# What the schedules look like


def loops(function: Function) -> list[For]:
    return [node for node in postorder(function.body) if isinstance(node, For)]


def innermost(function: Function) -> For:
    """The longest serial loop with no other serial one inside."""
    serial = [loop for loop in loops(function) if loop.kind == "serial"]
    leaves = [one for one in serial if not any(i in serial and i is not one for i in inner(one))]
    return max(leaves, key=lambda loop: int(loop.extent.value))  # type: ignore[attr-defined]


def inner(loop: For) -> list[For]:
    return [node for node in postorder(loop) if isinstance(node, For)]


def test_square_product_is_tiled_over_registers_with_panels() -> None:
    made = default_schedule(product(1024, 1024, 1024), AVX512)
    names = [step.name for step in made.trace]
    assert names.count("parallel") == 2 and "loop_partition" not in names
    assert [b.scope for b in made.function.allocs] == ["register", "global"]
    panels = made.function.allocs[1]
    assert panels.shape == tuple(map(index, (32, 1024, 32)))
    loop = innermost(made.function)
    assert loop.extent == index(1024)
    tile = {one.kind: int(one.extent.value) for one in inner(loop) if one is not loop}  # type: ignore[attr-defined]
    assert tile == {"unrolled": 8, "vectorized": 16}
    assert len(made.trace) < 50 and len(names) == len(made.trace)


def test_few_rows_are_streamed_and_fetched_ahead() -> None:
    made = default_schedule(product(16, 4096, 4096), AVX512)
    kept = [b for b in made.function.allocs if b.scope != "register"]
    assert {b.shape for b in kept} == {(index(16), index(4096))}  # sums: no copy of the factor
    assert {b.scope for b in kept} == {"local"}
    assert [a for loop in loops(made.function) for a in loop.annotations][:1] == [("prefetch", 1)]


def test_streamed_sums_of_few_rows_stay_with_their_thread() -> None:
    small = replace(AVX512, l2_bytes=2048)
    made = check(product(4, 64, 128), small, [{}], lowers=True)
    assert {b.scope for b in made.function.allocs} == {"local", "register"}


def test_near_factors_are_read_in_place() -> None:
    made = default_schedule(product(16, 512, 256), AVX512)
    assert not any(b.scope == "global" for b in made.function.allocs)


@pytest.mark.parametrize("rows", [64, N], ids=str)
def test_factors_whose_steps_share_sets_of_the_cache_are_not(rows: IntLike) -> None:
    """A 64th of the cache holds whatever lines lie 4 KiB apart."""
    apart = default_schedule(product(rows, 1040, 1024), AVX512)
    assert {b.scope for b in apart.function.allocs} == {"register"}
    shared = default_schedule(product(rows, 1024, 1024), AVX512)
    assert any(step.name == "rfactor" for step in shared.trace)  # streamed


def test_lanes_run_along_k_where_both_factors_lie_along_it() -> None:
    made = default_schedule(product(1, 512, 1024, turned=True), AVX512)
    assert not any(b.scope == "global" for b in made.function.allocs)
    assert any(step.name == "rfactor" for step in made.trace)


def test_margins_are_copied_not_tested_in_the_sum() -> None:
    operator, x, w, attrs = CONVOLUTIONS["3x3"]
    operands = [Input(k, TensorType(tuple(map(index, s)), F32)) for k, s in (("x", x), ("w", w))]
    function = define(apply(operator, *operands, **attrs), OPERATORS)  # type: ignore[arg-type]
    made = default_schedule(function, AVX512).function
    assert next(b.name for b in made.allocs) == "padded"
    reads = [n for n in postorder(innermost(made)) if isinstance(n, Load)]
    assert any(load.buffer.name == "padded" for load in reads)


def test_a_trace_repeats_the_schedule() -> None:
    function = product(N, 48, 32, relu=True)
    made = default_schedule(function, AVX512)
    assert replay(function, made.trace).function is made.function


@pytest.mark.parametrize("size", [(33, 100, 40), (3, 512, 64)], ids=str)
def test_native_results(size: tuple[int, int, int]) -> None:
    for target in (AVX512, TINY):
        function = product(*size)
        lowered = lower(default_schedule(function, target).function)
        a, b, c = random_arrays(function, {})
        done = compiled(lowered, {}, [a, b, c])[2]
        wanted = a.reshape(size[0], size[2]) @ b.reshape(size[2], size[1])
        np.testing.assert_allclose(done, wanted.ravel(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("target", [AVX2, AVX512, TINY])
@pytest.mark.parametrize("columns", [128, 100, 16])
def test_columns_that_are_cut_in_pieces_stay_with_the_rule(target: Target, columns: int) -> None:
    b = LoopBuilder("heads")
    q, k = b.param("q", (1, 128, 12, 64), F32), b.param("k", (1, columns, 12, 64), F32)
    y = b.param("y", (1, 12, 128, columns), F32)

    def term(i: Expr, h: Expr, m: Expr, n: Expr, d: Expr) -> Expr:
        return load(q, i, m, h, d) * load(k, i, n, h, d)

    b.reduce(y, (64,), term)
    assert not default_schedule(b.function(), target).trace.notes
