"""Products with weights that lie in panels: any number of rows, tiled as all products are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from passes.codegen.lower import lower
from passes.fuse.fuse import FuseCalls
from passes.fuse.panel import FORMATS, dense_storage, panel_storage
from passes.ir.dtypes import F16, F32, I8, DType
from passes.ir.expr import Dim, Expr, IntLike, cast, index
from passes.ir.expr_text import print_expr
from passes.ir.graph.nodes import CallLoops, GraphFunction, Input, TensorType, Value, Weight
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import For, Function, Seq
from passes.ir.module import Module
from passes.ir.node import postorder
from passes.ir.weights import WeightEntry
from passes.ops import apply
from passes.schedule.tree import blocks_in
from passes.search.defaults import default_schedule
from passes.search.defaults.target import Target
from tests.unit.codegen.running import Arrays, compiled, interpreted, random_arrays
from tests.unit.codegen.test_emit_quality import needs_vnni
from tests.unit.search.test_contraction import AVX2, AVX512, VNNI

N = Dim("n", 1, 64)
COLUMNS, STEPS = 32, 64
DENSE: dict[str, DType] = {"f32": F32, "f16": F16}


def weight(kind: str, name: str = "w") -> Weight:
    if kind in DENSE:
        storage = dense_storage(kind, DENSE[kind], COLUMNS, STEPS)
    else:
        storage = panel_storage(kind, FORMATS[kind], COLUMNS, STEPS)
    return Weight(name, TensorType((index(COLUMNS), index(STEPS)), F32, storage))


def plain(rows: IntLike = N) -> list[Input]:
    return [Input("x", TensorType((index(rows), index(STEPS)), F32))]


def quantised(kind: str, rows: IntLike = N) -> list[Input]:
    """Codes, scales and sums of the left factor, these over the blocks of the weight's format."""
    sums = min(32, FORMATS[kind].block)
    types = {"codes": (STEPS, I8), "scale": (STEPS // 32, F32), "sums": (STEPS // sums, F32)}
    return [
        Input(name, TensorType((index(rows), index(size)), dtype))
        for name, (size, dtype) in types.items()
    ]


def kernel(y: Value, inputs: Sequence[Input]) -> Function:
    """The one kernel that computes it."""
    dims = tuple([e for e in inputs[0].type.shape if isinstance(e, Dim)])
    graph = GraphFunction("main", dims, tuple(inputs), (("y", y),))
    weights = {
        n.name: WeightEntry(n.type, (n.name,)) for n in postorder(y) if isinstance(n, Weight)
    }
    fused = FuseCalls().run(Module({"main": graph}, weights)).graphs["main"]
    (call,) = [n for n in postorder(fused) if isinstance(n, CallLoops)]
    return call.function


def floats(kind: str, rows: IntLike = N) -> Function:
    x = plain(rows)
    return kernel(apply("matmul", *x, weight(kind)), x)


def integers(kind: str, rows: IntLike = N) -> Function:
    x = quantised(kind, rows)
    return kernel(apply("matmul_q", *x, weight(kind)), x)


def gated(kinds: tuple[str, str], rows: IntLike = N) -> Function:
    """Two products that meet in one map."""
    integer = not {*kinds} & {*DENSE}
    x = quantised(kinds[0], rows) if integer else plain(rows)
    up, gate = [
        apply("matmul_q" if integer else "matmul", *x, weight(kind, f"w{number}"))
        for number, kind in enumerate(kinds)
    ]
    return kernel(apply("mul", apply("sigmoid", gate), up), x)


def assert_near(found: Arrays, wanted: Arrays, what: str) -> None:
    """Sums in another order: as near as the largest of them allows."""
    for mine, theirs in zip(found, wanted, strict=True):
        scale = float(np.abs(theirs).max(initial=0))
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6 * scale, err_msg=what)


def check(function: Function, target: Target, rows: Sequence[int] = (13,)) -> Function:
    """The scheduled program, after comparing it with the plain one."""
    made = default_schedule(function, target)
    assert not made.trace.notes, made.trace.notes
    for n in rows:
        dims = {"n": n} if function.dims else {}
        given = random_arrays(function, dims)
        wanted = interpreted(function, dims, given)
        assert_near(interpreted(made.function, dims, given), wanted, f"{n} rows")
    return made.function


def check_native(function: Function, target: Target) -> None:
    made = default_schedule(function, target)
    assert not made.trace.notes, made.trace.notes
    lowered = lower(made.function)
    for n in range(1, 21):
        given = random_arrays(function, {"n": n})
        wanted = interpreted(function, {"n": n}, given)
        assert_near(compiled(lowered, {"n": n}, given), wanted, f"{n} rows")


KINDS = ["Q4_1", "Q8_0", "Q6_K"]


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_rows_of_integers(kind: str) -> None:
    check_native(integers(kind), AVX2)


@needs_vnni
@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_rows_of_integers_in_wide_tiles(kind: str) -> None:
    check_native(integers(kind), VNNI)


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0", "f32", "f16"])
def test_any_number_of_rows_of_floats(kind: str) -> None:
    check(floats(kind), AVX512, range(1, 21))


@pytest.mark.parametrize("rows", [1, 3])
def test_a_known_number_of_rows(rows: int) -> None:
    check(integers("Q4_0", rows), VNNI)
    check(floats("Q4_K", rows), AVX2)


@pytest.mark.parametrize("kinds", [("Q8_0", "Q4_1"), ("f32", "Q8_0")], ids=str)
def test_products_that_end_in_one_map(kinds: tuple[str, str]) -> None:
    made = check(gated(kinds), AVX512, (1,))
    assert len(loops(made, "parallel")) == 1


def packed(width: int, columns: int = 20) -> Function:
    """Bytes in panels of `width` columns, scaled by step, times floats."""
    b = LoopBuilder("packed", dims=(N,))
    x = b.param("x", (N, STEPS), F32)
    w = b.param("w", (-(-columns // width), STEPS, width), I8)
    scale = b.param("scale", (STEPS,), F32)
    y = b.param("y", (N, columns), F32)

    def term(i: Expr, j: Expr, k: Expr) -> Expr:
        return load(x, i, k) * (cast(load(w, j // width, k, j % width), F32) * load(scale, k) + 1.0)

    b.reduce(y, (STEPS,), term)
    return b.function()


@pytest.mark.parametrize("width", [16, 12, 48])
def test_other_panels(width: int) -> None:
    """Those of 48 columns are panels of 16, too; those of 12 are none, and are copied."""
    made = check(packed(width), AVX512, (1, 9))
    scopes = {b.scope for b in made.allocs}
    assert ("global" in scopes) == (width == 12)


# What the schedules look like


def loops(function: Function, kind: str) -> list[For]:
    return [n for n in postorder(function.body) if isinstance(n, For) and n.kind == kind]


def tiles(panel: For) -> list[tuple[str, int]]:
    """How many tiles of rows, of how many rows each, are done at a panel, one after the other."""
    assert isinstance(panel.body, Seq)
    found = []
    for tile in panel.body.stmts:
        assert isinstance(tile, For) and isinstance(tile.body, Seq)
        rows = tile.body.stmts[-1]
        assert isinstance(rows, For)
        found.append((print_expr(tile.extent), rows))
    return [(n, int(r.extent.value) if r.kind == "unrolled" else 1) for n, r in found]  # type: ignore[attr-defined]


TILES = {
    "vnni": (VNNI, [("n//8", 8), ("n//4%2", 4), ("n//2%2", 2), ("n%2", 1)]),
    "avx2": (AVX2, [("n//3", 3), ("n%3//2", 2), ("n%3%2", 1)]),
}


@pytest.mark.parametrize("name", TILES)
def test_rows_left_over_share_the_loop_over_panels(name: str) -> None:
    target, wanted = TILES[name]
    (panels,) = loops(default_schedule(integers("Q4_1"), target).function, "parallel")
    assert panels.extent is index(COLUMNS // 16)
    assert tiles(panels) == wanted


def test_floats_are_decoded_once_a_panel_where_rows_share_them() -> None:
    for rows, decoding in ((N, 1), (1, 0)):
        made = default_schedule(floats("Q4_1", rows), AVX512).function
        (panels,) = loops(made, "parallel")
        assert [b.scope for b in made.allocs].count("local") == decoding
        assert len([b for b in blocks_in(panels) if b.label.endswith("_read")]) == decoding


@pytest.mark.parametrize("kind", DENSE)
def test_dense_panels_are_read_in_place(kind: str) -> None:
    made = default_schedule(floats(kind), AVX512).function
    assert {b.scope for b in made.allocs} == {"register"}


STREAMED = replace(AVX512, l2_bytes=256)
"""What it keeps near is less than the weights take."""


@pytest.mark.parametrize("kind", DENSE)
@pytest.mark.parametrize("rows", [9, 16, N, Dim("n", 1, 300)], ids=str)
def test_panels_from_memory_are_fetched_ahead_for_several_tiles(kind: str, rows: IntLike) -> None:
    made = check(floats(kind, rows), STREAMED, (3, 8, 21))
    ahead = [loop for loop in postorder(made) if isinstance(loop, For) and loop.annotations]
    assert [loop.annotations for loop in ahead] == [(("prefetch", 1),)]


@pytest.mark.parametrize("rows", [1, 8, 300])
def test_panels_from_memory_that_few_or_many_tiles_read_are_not(rows: int) -> None:
    made = default_schedule(floats("f32", rows), STREAMED).function
    assert not [loop for loop in postorder(made) if isinstance(loop, For) and loop.annotations]


@pytest.mark.slow
def test_native_panels_from_memory() -> None:
    check_native(floats("f32"), STREAMED)
    function = floats("f16", Dim("n", 1, 600))
    lowered = lower(default_schedule(function, STREAMED).function)
    for n in (255, 256, 263, 520):
        given = random_arrays(function, {"n": n})
        wanted = interpreted(function, {"n": n}, given)
        assert_near(compiled(lowered, {"n": n}, given), wanted, f"{n} rows")
