"""Staged copies and other layouts in the schedules that they are for."""

from __future__ import annotations

import re
from textwrap import dedent

import numpy as np

from passes.codegen.lower import lower
from passes.codegen.lower.blocks import lower_blocks
from passes.codegen.lower.compact import compact
from passes.ir.dtypes import F32
from passes.ir.expr import Var
from passes.ir.expr_text import print_expr
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.interpret import interpret
from passes.ir.loop.nodes import Function
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import print_function
from passes.schedule.schedule import Schedule
from tests.unit.schedule.programs import (
    N,
    arguments,
    assert_same_meaning,
    gather,
    matmul,
)
from tests.unit.schedule.steps import Steps, program
from tests.unit.schedule.texts import STAGED, SUM, where


def conv(rows: int = 9, width: int = 7, channels: int = 3, out: int = 5) -> Function:
    """A 3 x 3 convolution of n images, stored as [n, out, rows, width]."""
    b = LoopBuilder("conv", dims=(N,))
    x = b.param("x", (N, channels, rows + 2, width + 2), F32)
    w = b.param("w", (out, channels, 3, 3), F32)
    y = b.param("y", (N, out, rows, width), F32)
    b.reduce(
        y, (channels, 3, 3),
        lambda i, o, p, q, c, r, s: load(x, i, c, p + r, q + s) * load(w, o, c, r, s),
        label="conv",
    )  # fmt: skip
    return b.function()


def text_of(s: Schedule) -> str:
    return print_function(s.function)


def shape_of(function: Function, name: str) -> list[str]:
    (buffer,) = [b for b in function.allocs if b.name == name]
    return [print_expr(e) for e in buffer.shape]


def assert_lowers(before: Function, after: Function) -> None:
    """The lowered program computes what the unscheduled one does."""
    lowered = lower(after)
    for size in (1, 7):
        dims = {d.name: size for d in before.dims}
        wanted = arguments(before, dims)
        got = [a.copy() for a in wanted]
        interpret(before, dims, wanted)
        interpret(lowered, dims, got)
        for a, b in zip(wanted, got, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_tile_of_a_copy_is_all_that_lowering_keeps() -> None:
    before = matmul(columns=64, inner=32)
    s = Schedule(before)
    copy = s.cache_read("dot", "w1", "local")
    i, j, k = s.loops("dot")
    panel, column = s.split(j, 16)
    s.reorder(panel, i, k, column)
    s.compute_at(copy, panel)
    s.transform_layout("w_c", lambda i: (i[1] // 16, i[0], i[1] % 16))
    s.storage_align("w_c", 1, 16, 4)
    assert_same_meaning(before, s.function)
    small = compact(lower_blocks(s.function))
    assert shape_of(small, "w_c") == ["1", "32", "16"]
    (buffer,) = [b for b in small.allocs if b.name == "w_c"]
    assert buffer.strides is not None
    assert [print_expr(e) for e in buffer.strides] == ["640", "20", "1"]
    assert_lowers(before, s.function)


def test_a_tile_of_an_image_has_its_rim() -> None:
    before = conv()
    s = Schedule(before)
    copy = s.cache_read("conv", "x0", "local")
    rows, _ = s.split(s.loops("conv")[2], 3)
    s.compute_at(copy, rows)
    assert_same_meaning(before, s.function)
    assert shape_of(compact(lower_blocks(s.function)), "x_c") == ["1", "3", "5", "9"]
    assert_lowers(before, s.function)


def test_only_the_block_reads_the_copy() -> None:
    two = """
        def f(x0: f32[n], y1: f32[n], z2: f32[n], *, n: dim[1, 64]):
            for i3 in range(n):
                with block("one"):
                    v4 = spatial(n, i3)
                    y1[v4] = x0[v4]
            for i5 in range(n):
                with block("two"):
                    v6 = spatial(n, i5)
                    z2[v6] = x0[v6] + x0[n - 1 - v6]
    """
    before = parse_function(dedent(two).strip())
    s = Schedule(before)
    s.cache_read("two", "x0", "global")
    text = text_of(s)
    assert "y1[v5] = x0[v5]" in text
    assert "z2[v10] = x_c3[v10] + x_c3[n - 1 - v10]" in text
    assert_same_meaning(before, s.function)


def test_what_a_loop_inside_the_block_reads() -> None:
    """Also where its extent speaks of the block's own iterators: then whole axes are copied."""
    for extent in ("8", "min(v + 1, 8)"):
        t = Steps(
            program(f"""
for i in range(n):
    with block("rows"):
        v = spatial(n, i)
        y[v] = f32(0.0)
        for k in range({extent}):
            y[v] = y[v] + a[v, k]
""")
        )
        before = t.s.function
        copy = t.s.cache_read("rows", "a", "global")
        assert len(t.s.loops(copy)) == 2
        assert_same_meaning(before, t.s.function)


def test_what_is_not_all_computed_is_staged_where_it_is() -> None:
    """Rows of a temporary come to be one by one: the copy of a row is made in their loop."""
    t = Steps(program(STAGED))
    before = t.s.function
    copy = t.s.cache_read("sum", "t", "local")
    assert [v.name for v in t.s.loops(copy)] == ["i", "p"]
    assert_same_meaning(before, t.s.function)


def test_a_fused_and_tiled_reader_of_a_temporary() -> None:
    before = gather()
    s = Schedule(before)
    s.fuse(*s.split(s.fuse(*s.loops("pick")), 4))
    s.reindex("pick", "t3", "read")
    s.split(s.loops("twice")[0], 3)
    s.cache_index("pick_read", "t3", "global")
    assert_same_meaning(before, s.function)


def test_a_convolution_becomes_a_matrix_product() -> None:
    before = conv()
    s = Schedule(before)
    s.reindex("conv", "x0", "read")
    s.reindex("conv", "w1", "read")
    s.reindex("conv", "y2", "write")
    s.transform_block_layout(
        "conv",
        lambda i: ((i[0] * 9 + i[2]) * 7 + i[3], i[1], (i[4] * 3 + i[5]) * 3 + i[6]),
    )
    s.transform_layout(
        "x_r", lambda i: ((i[0] * 9 + i[1]) * 7 + i[2], (i[3] * 3 + i[4]) * 3 + i[5])
    )
    s.transform_layout("w_r", lambda i: ((i[1] * 3 + i[2]) * 3 + i[3], i[0]))
    s.transform_layout("y_w", lambda i: ((i[0] * 9 + i[2]) * 7 + i[3], i[1]))
    text = text_of(s)
    body = [line.strip() for line in text.splitlines() if line.strip().startswith("y_w")][-1]
    assert "//" not in body and "%" not in body
    assert len(s.loops("conv")) == 3
    assert_same_meaning(before, s.function, sizes=(1, 3))


def test_a_tuple_is_reduced_in_a_temporary() -> None:
    text = """
        def f(x0: f32[n, 8], best1: f32[n], where2: i32[n], *, n: dim[1, 64]):
            @combiner(f32("-inf"), i32(0))
            def first(a3: f32, b4: i32, c5: f32, d6: i32):
                return select(a3 < c5, c5, a3), select(a3 < c5, d6, b4)
            for i7 in range(n):
                for k8 in range(8):
                    with block("top"):
                        v9 = spatial(n, i7)
                        u10 = reduce(8, k8)
                        with init():
                            best1[v9] = f32("-inf")
                            where2[v9] = i32(0)
                        best1[v9], where2[v9] = first(best1[v9], where2[v9], x0[v9, u10], \
cast(u10, i32))
    """
    before = parse_function(dedent(text).strip())
    s = Schedule(before)
    s.cache_write("top", "local", "where2")
    s.reindex_cache_write("top", "local", None, "best1")
    assert_same_meaning(before, s.function)
    assert re.search(r"(best_w\d+)\[.*, (where_c\d+)\[.* = first\(\1\[.*, \2\[", text_of(s))


def test_tails_are_copied_with_their_predicate() -> None:
    before = matmul()
    s = Schedule(before)
    i, _, k = s.loops("dot")
    s.split(i, 4)
    s.split(k, 5)
    s.cache_write("dot", "local")
    assert_same_meaning(before, s.function)
    assert "where(i6*4 + i7 < n and k9*5 + k10 < 12)" in text_of(s)
    assert text_of(s).count("*4 + i") == 4


def test_padding_of_a_result_is_stored() -> None:
    s = Schedule(matmul())
    s.transform_layout("y3", lambda i: (i[1] // 6, i[0] // 4, i[0] % 4, i[1] % 6), -1.0)
    for size in (1, 4, 7):
        before, after = arguments(matmul(), {"n": size}), arguments(s.function, {"n": size})
        after[:3] = before[:3]
        interpret(matmul(), {"n": size}, before)
        interpret(s.function, {"n": size}, after)
        tiles = after[3].transpose(1, 2, 0, 3).reshape(-1, 18)
        np.testing.assert_allclose(tiles[:size, :16], before[3], rtol=1e-5)
        assert (tiles[size:] == -1).all() and (tiles[:, 16:] == -1).all()


def test_padding_of_what_is_only_read_is_the_callers() -> None:
    s = Schedule(matmul())
    s.transform_layout("w1", lambda i: (i[1] // 6, i[0], i[1] % 6), 0.0)
    assert "w_pad" not in text_of(s)
    size = {"n": 3}
    before, after = arguments(matmul(), size), arguments(s.function, size)
    w = np.full((12, 18), 7, np.float32)
    w[:, :16] = before[1]
    after[0], after[2] = before[0], before[2]
    after[1] = np.ascontiguousarray(w.reshape(12, 3, 6).transpose(1, 0, 2))
    interpret(matmul(), size, before)
    interpret(s.function, size, after)
    np.testing.assert_allclose(after[3], before[3], rtol=1e-5)


def test_parts_of_a_parallel_loop() -> None:
    s = Schedule(matmul())
    i, _ = s.loops("out")
    s.parallel(i)
    s.split(i, (None, 2, 3))
    s.bind(s.loops("dot")[0], "block.x")
    s.split(s.loops("dot")[0], s.expr("n//2 + 1"))
    text = text_of(s)
    assert text.count("in parallel(") == text.count("in block.x(") == 1
    assert_same_meaning(matmul(), s.function)


def test_a_private_copy_is_made_inside_the_parallel_loop() -> None:
    s = Schedule(matmul())
    i, *_ = s.loops("dot")
    s.parallel(i)
    copy = s.cache_read("dot", "x0", "local")
    assert s.loops(copy)[0] is i
    shared = s.cache_read("dot", "w1", "global")
    assert i not in s.loops(shared)
    assert_same_meaning(matmul(), s.function)


def test_a_block_of_threads_shares_a_tile() -> None:
    before = matmul(columns=64, inner=32)
    s = Schedule(before)
    i, j, k = s.loops("dot")
    panel, lane = s.split(j, 16)
    s.reorder(panel, i, lane, k)
    s.bind(panel, "block.x")
    s.bind(lane, "thread.x")
    copy = s.cache_read("dot", "w1", "shared")
    assert s.loops(copy)[0] is panel
    s.bind(s.loops(copy)[-1], "thread.x")
    assert_same_meaning(before, s.function)


def test_iterators_change_places() -> None:
    s = Schedule(matmul())
    k_first: list[Var] = list(s.transform_block_layout("dot", lambda i: (i[2], i[0], i[1])))
    assert [v.name for v in k_first] == ["k", "i", "j"]
    assert_same_meaning(matmul(), s.function)


def test_a_cache_is_copied_where_it_was_started() -> None:
    """Sums of the elements before each one: the first is a sum of none, and stays as it is."""
    function = program(where(SUM, "k < i"))
    s = Schedule(function)
    s.cache_write("sum", "local")
    assert "where(0 < i" in text_of(s)
    assert_same_meaning(function, s.function)
