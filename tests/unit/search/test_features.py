"""Features of scheduled programs: the same by dims as by numbers, limits, steps, words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from passes.ir.dtypes import F32
from passes.ir.expr import Dim
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Function
from passes.ir.loop.parse import parse_function
from passes.schedule.schedule import Schedule
from passes.search.defaults.target import Target
from passes.search.features import columns, features_of
from passes.search.features.columns import COLUMNS, access, column, per_step
from passes.search.features.summary import short, summary

TARGET = Target(512, 32, 32768, 1 << 20)
T, U, V = Dim("t", 1, 64), Dim("u", 1, 64), Dim("v", 1, 64)


def product(t: int | Dim, u: int | Dim, v: int | Dim, scope: str = "register") -> Function:
    """A product of matrices: 8×32 results in registers, tiles of those (t×u), a sum in parts of
    v, chunks of rows and columns in parallel."""
    dims = tuple([size for size in (t, u, v) if isinstance(size, Dim)])
    b = LoopBuilder("product", dims=dims)
    x, w = b.param("x", (256, 512), F32), b.param("w", (512, 1024), F32)
    y = b.param("y", (256, 1024), F32)
    b.reduce(y, (512,), lambda i, j, k: load(x, i, k) * load(w, k, j), label="dot")
    s = Schedule(b.function())
    end = s.reindex_cache_write("dot", scope)
    rows, beside = s.loops(end)
    rows, row = s.split(rows, 8)
    beside, lanes = s.split(beside, 32)
    rows, row_tile = s.split(rows, t)
    beside, column_tile = s.split(beside, u)
    s.reorder(rows, beside, row_tile, column_tile, row, lanes)
    s.compute_at("dot", column_tile)
    outer, inner = s.split(s.loops("dot")[-1], v)
    s.reorder(outer, inner, *s.loops("dot")[-4:-2])
    begin = s.decompose_reduction("dot", outer)
    s.parallel(s.fuse(rows, beside))
    for label in (begin, "dot", end):
        *_, row, lanes = s.loops(label)
        vectors, lanes = s.split(lanes, 16)
        s.vectorize(lanes)
        s.unroll(vectors)
        s.unroll(row)
    return s.function


def rows(
    function: Function, threads: int = 1, target: Target = TARGET
) -> dict[str, NDArray[np.float32]]:
    found = features_of(function, target, threads)
    return dict(zip(found.labels, found.evaluate({}, 1)[0], strict=True))


@pytest.mark.parametrize("threads", [1, 3])
def test_dims_give_what_their_values_give(threads: int) -> None:
    """All at once the same as one by one, where sizes divide."""
    tiles = [(4, 2, 8), (1, 1, 1), (32, 32, 64), (2, 16, 4), (8, 4, 32), (16, 8, 2), (1, 32, 16)]
    values = dict(zip("tuv", np.array(tiles, np.int64).T, strict=True))
    symbolic = features_of(product(T, U, V), TARGET, threads)
    found = symbolic.evaluate(values, len(tiles))
    assert found.shape == (len(tiles), 3, len(COLUMNS)) and found.dtype == np.float32
    for sizes, row in zip(tiles, found, strict=True):
        concrete = features_of(product(*sizes), TARGET, threads)
        assert concrete.labels == symbolic.labels
        wanted = concrete.evaluate({}, 1)[0]
        for store, (got, expected) in enumerate(zip(row, wanted, strict=True)):
            for name, one, other in zip(COLUMNS, got, expected, strict=True):
                assert one == pytest.approx(other, abs=1e-4), (sizes, symbolic.labels[store], name)


def test_a_population_is_its_candidates() -> None:
    found = features_of(product(T, U, V), TARGET, 2)
    random = np.random.default_rng(3)
    values = {name: random.integers(1, 33, 50) for name in "tuv"}
    together = found.evaluate(values, 50)
    assert np.isfinite(together).all()
    for k in range(0, 50, 7):
        alone = found.evaluate({name: sizes[k : k + 1] for name, sizes in values.items()}, 1)
        assert np.array_equal(alone[0], together[k])


def test_a_dim_without_values_is_an_error() -> None:
    found = features_of(product(T, U, V), TARGET, 2)
    with pytest.raises(KeyError, match="'u'"):
        found.evaluate({"t": np.array([1]), "v": np.array([1])}, 1)


def test_what_runs_does_not_depend_on_tiles() -> None:
    found = features_of(product(T, U, V), TARGET, 2)
    values = {"t": np.array([1, 3, 5]), "u": np.array([7, 2, 32]), "v": np.array([3, 64, 5])}
    dot = found.evaluate(values, 3)[:, found.labels.index("dot")]
    assert column(dot, columns.MULTIPLY_ADDS) == pytest.approx([256 * 1024 * 512] * 3, rel=1e-3)


def test_a_step_of_a_register_tile() -> None:
    dot = rows(product(4, 2, 8))["dot"]
    got = {
        name: float(column(dot, name))
        for name in (
            columns.STEPS, per_step("fma"), columns.LOADS, columns.BROADCASTS, columns.STORES,
            columns.ACCUMULATORS, columns.TILE_ROWS, columns.TILE_COLUMNS, columns.REGISTERS,
            columns.WIDTH, columns.LANES, columns.FILLED,
        )
    }  # fmt: skip
    wanted = [256 // 8 * 1024 // 32 * 512, 16, 2, 8, 0, 16, 8, 2, 19, 16, 16, 1]
    assert list(got.values()) == pytest.approx(wanted, rel=1e-5)
    narrow = rows(product(4, 2, 8), target=replace(TARGET, vector_bits=256))["dot"]
    assert column(narrow, per_step("fma")) == pytest.approx(32)
    assert column(narrow, columns.LOADS) == pytest.approx(4)


def test_sums_in_memory_come_and_go_once_for_all_steps_at_a_place() -> None:
    dot = rows(product(4, 2, 8, scope="local"))["dot"]
    assert column(dot, columns.STORES) == pytest.approx(16 / 512)
    assert column(dot, columns.LOADS) == pytest.approx(2 + 16 / 512, rel=1e-3)


def test_threads_share_chunks() -> None:
    dot = rows(product(2, 4, 8), threads=3)["dot"]
    assert column(dot, columns.CHUNKS) == pytest.approx(16 * 8)
    assert column(dot, columns.CHUNKS_EACH) == pytest.approx(43)
    assert column(dot, columns.BALANCE) == pytest.approx(128 / (3 * 43))
    assert column(dot, columns.REGIONS) == 1
    assert column(dot, columns.CHUNK_STEPS) == pytest.approx(2 * 4 * 512)
    alone = rows(product(32, 32, 8), threads=3)["dot"]
    assert column(alone, columns.BALANCE) == pytest.approx(1 / 3)


def test_more_of_the_factors_comes_in_the_smaller_the_tiles() -> None:
    found = features_of(product(T, U, V), TARGET, 1)
    sizes = np.array([1, 2, 4, 8])
    values = {"t": sizes, "u": np.ones_like(sizes), "v": np.full_like(sizes, 64)}
    dot = found.evaluate(values, 4)[:, found.labels.index("dot")]
    assert (np.diff(column(dot, columns.TRAFFIC_SHARED)) < 0).all()
    assert column(dot, columns.TRAFFIC_L1) == pytest.approx([traffic_of_registers()] * 4, rel=1e-3)


def traffic_of_registers() -> float:
    return 256 // 8 * 1024 // 32 * 512 * (8 + 32) * 4


MASKED = """
def masked(x0: f32[100], y1: f32[100]):
    for i2 in range(7):
        for i3 in vectorized(16):
            with block("copy"):
                i4 = spatial(100, i2*16 + i3)
                where(i2*16 + i3 < 100)
                y1[i4] = x0[i4]
"""
WORDS = """
def words(x0: u8[64], w1: i8[32, 64], y2: i32[32]):
    for j3 in vectorized(16):
        for k4 in range(16):
            with block("dot"):
                j5 = spatial(32, j3)
                k6 = reduce(16, k4)
                with init():
                    y2[j5] = i32(0)
                y2[j5] = dot4(y2[j5], WORD(x0[PART], u32), WORD(w1[j5, PART], i32))
""".replace("WORD", "reinterpret").replace("PART", "ramp(k6*4, 1, 4)")
GATHER = """
def gather(t0: f32[1000, 64], n1: i32[8], y2: f32[8, 64]):
    for i3 in range(8):
        for j4 in vectorized(64):
            with block("row"):
                i5 = spatial(8, i3)
                j6 = spatial(64, j4)
                y2[i5, j6] = t0[cast(n1[i5], index), j6]
"""
AHEAD = """
def ahead(x0: f32[64, 16], y1: f32[64, 16]):
    for i2 in range(64, prefetch=1):
        for j3 in vectorized(16):
            with block("copy"):
                i4 = spatial(64, i2)
                j5 = spatial(16, j3)
                y1[i4, j5] = x0[i4, j5]
"""


def test_lanes_that_a_condition_leaves_out() -> None:
    (copy,) = rows(parse_function(MASKED)).values()
    assert column(copy, columns.MASKED) == 1
    assert column(copy, columns.FILLED) == pytest.approx(100 / 112)
    assert column(copy, columns.STEPS) == pytest.approx(7)


def test_a_tensor_instruction_stands_for_its_products() -> None:
    dot = rows(parse_function(WORDS))["dot"]
    assert column(dot, columns.TENSOR_PRODUCTS) == pytest.approx(4)
    assert column(dot, columns.TENSOR_LANES) == pytest.approx(16)
    assert column(dot, columns.MULTIPLY_ADDS) == pytest.approx(16 * 64)
    assert column(dot, per_step("tensor")) == pytest.approx(1)
    assert column(dot, columns.BROADCASTS) == pytest.approx(1)
    assert column(dot, columns.GATHERS) == pytest.approx(16)


def test_places_that_memory_tells_are_anywhere_along_their_axis() -> None:
    (row,) = rows(parse_function(GATHER)).values()
    number = next(k for k in range(3) if column(row, access(k, "indirect")))
    assert column(row, access(number, "unique")) == pytest.approx(8 * 64 * 4)
    assert column(row, access(number, "contiguous")) == 1


def test_what_is_fetched_ahead() -> None:
    (row,) = rows(parse_function(AHEAD)).values()
    assert column(row, columns.PREFETCHED) == 1
    assert column(row, columns.STAGES) == pytest.approx(1)


def test_candidates_that_ask_too_much_are_told_by_cause() -> None:
    sizes = np.array([1, 2, 32])
    values = {"t": sizes, "u": sizes, "v": np.ones_like(sizes)}
    private = features_of(product(T, U, V, scope="local"), TARGET, 2)
    found = private.limits(values, 3)
    assert {cause: broken.tolist() for cause, broken in found.items()} == {
        "more private memory than a thread has": [False, False, False],
        "more registers than there are": [False, False, False],
        "more code than is worth its time": [False, False, False],
    }
    small = features_of(product(T, U, V), replace(TARGET, vector_registers=15), 2)
    assert small.limits(values, 3)["more registers than there are"].tolist() == [True] * 3


PRIVATE = """
def private(x0: f32[64, 4096], y1: f32[64, 4096], *, t: dim[1, 4096]):
    part2 = alloc(f32[64, 4096], scope="local")
    for f3 in parallel(64*((4095 + t)//t)):
        for j4 in range(t):
            with block("first"):
                i5 = spatial(64, f3//((4095 + t)//t))
                j6 = spatial(4096, f3%((4095 + t)//t)*t + j4)
                where(f3%((4095 + t)//t)*t + j4 < 4096)
                part2[i5, j6] = exp(x0[i5, j6])
        for j7 in range(t):
            with block("second"):
                i8 = spatial(64, f3//((4095 + t)//t))
                j9 = spatial(4096, f3%((4095 + t)//t)*t + j7)
                where(f3%((4095 + t)//t)*t + j7 < 4096)
                y1[i8, j9] = part2[i8, j9]*f32(2.0)
"""


def test_private_memory_is_what_an_iteration_needs() -> None:
    found = features_of(parse_function(PRIVATE), replace(TARGET, l2_bytes=4096), 2)
    sizes = np.array([16, 100, 1024, 1025])
    made = found.evaluate({"t": sizes}, 4)[:, 0]
    assert column(made, columns.PROGRAM_PRIVATE) == pytest.approx(sizes * 4)
    assert column(made, columns.TARGET_PRIVATE).tolist() == [1, 1, 1, 1]
    broken = found.limits({"t": sizes}, 4)["more private memory than a thread has"]
    assert broken.tolist() == [False, False, False, True]


def test_code_that_is_written_out() -> None:
    text = """
def unrolled(x0: f32[4096, 16], y1: f32[4096, 16]):
    for i2 in unrolled(4096):
        for j3 in vectorized(16):
            with block("copy"):
                i4 = spatial(4096, i2)
                j5 = spatial(16, j3)
                y1[i4, j5] = x0[i4, j5]*f32(2.0)
"""
    found = features_of(parse_function(text), TARGET, 1)
    assert column(found.evaluate({}, 1)[0, 0], columns.CODE) == pytest.approx(3 * 4096)
    assert found.limits({}, 2)["more code than is worth its time"].tolist() == [True, True]


def test_rows_in_words() -> None:
    found = features_of(product(4, 2, 8), TARGET, 2)
    text = summary(found.labels, found.evaluate({}, 1)[0])
    dot = text.split("dot\n")[1].split("dot_write")[0].splitlines()
    assert dot[:3] == [
        "    134M runs in 524k steps: 134M fma",
        "    step: 16 instructions, 2 loads, 8 broadcasts, 0 gathers, 0 stores",
        "    tile: 8 x 2 vectors of 16, 19 registers, lanes 100% filled",
    ]
    assert [short(x) for x in (0.5, 24, 999.7, 1049, 2.1e6, 3e13)] == [
        "0.5", "24", "1k", "1.05k", "2.1M", "30T",
    ]  # fmt: skip


def test_columns_have_names_of_their_own() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS) and set(COLUMNS) >= columns.FLAGS


LOOPS = """
def scale(x0: f32[64, 512], w1: f32[512], y2: f32[64, 512]):
{head}
        for i5 in range(8):
            for j6 in vectorized(64):
                with block("scale"):
                    i7 = spatial(64, {row}*8 + i5)
                    j8 = spatial(512, {column}*64 + j6)
                    y2[i7, j8] = x0[i7, j8]*w1[j8]
"""


@pytest.mark.parametrize("capacity", [512, 2048, 8192, 65536])
def test_fused_loops_are_seen_as_those_again(capacity: int) -> None:
    fused = LOOPS.format(head="    for f3 in parallel(64):", row="f3//8", column="(f3%8)")
    nested = LOOPS.format(
        head="    for a3 in parallel(8):\n      for b4 in parallel(8):", row="a3", column="b4"
    )
    target = replace(TARGET, l1d_bytes=capacity, l2_bytes=2 * capacity)
    found, wanted = (rows(parse_function(text), 2, target)["scale"] for text in (fused, nested))
    for name in (*columns.TRAFFIC, columns.CHUNKS, columns.BALANCE, columns.RUNS):
        assert column(found, name) == pytest.approx(column(wanted, name), rel=1e-5), name
