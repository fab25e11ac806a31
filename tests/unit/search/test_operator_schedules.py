"""Default schedules of single operators: each means what its loop definition means."""

from __future__ import annotations

import numpy as np
import pytest

from passes.codegen.lower import lower
from passes.ir.dtypes import F16, F32
from passes.ir.expr import Dim, Expr, index, maximum, minimum
from passes.ir.graph.nodes import Apply, Input, TensorType
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Barrier, For, Function
from passes.ir.node import Node, postorder
from passes.ir.quantised import QuantisedArray
from passes.ops import OPERATORS, apply
from passes.ops.define import define
from passes.schedule.replay import replay
from passes.search.defaults import chunks, default_schedule, rows
from passes.search.defaults.shape import top_nests
from passes.search.defaults.target import Target
from tests.property.operator_cases import CASES
from tests.unit.codegen.running import (
    Arrays,
    assert_same,
    compiled,
    interpreted,
    random_arrays,
    shape_of,
)

AVX2 = Target(256, 16, 32768, 262144, ("avx2", "fma"))
VNNI = Target(
    512, 32, 32768, 1048576, ("avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512vnni")
)
# What the rules for rows, columns and maps are about; the others are tested with their own rules.
NATIVE = (
    "softmax", "layer_norm", "group_norm", "max_pool", "avg_pool", "argmax", "scatter_add",
    "reduce_max keep=False", "transpose", "gather F32",
)  # fmt: skip


def memory(name: str) -> tuple[Function, dict[str, int], Arrays]:
    case = CASES[name](np.random.default_rng(3))
    function = define(case.call, OPERATORS)
    dims = {dim.name: case.dims[dim.name] for dim in function.dims}
    given: Arrays = []
    for value in case.values:
        given += list(value.fields) if isinstance(value, QuantisedArray) else [value]
    rest = function.params[len(given) :]
    given += [np.zeros(shape_of(b, dims, function), b.dtype.numpy) for b in rest]
    return function, dims, given


# Attention is kept by the models' tests.
@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("attention")])
def test_meaning_is_kept(name: str) -> None:
    function, dims, given = memory(name)
    target = (AVX2, VNNI)[sorted(CASES).index(name) % 2]
    scheduled = default_schedule(function, target).function
    wanted = interpreted(function, dims, given)
    assert_same(wanted, interpreted(scheduled, dims, given), name)
    if name in NATIVE:
        lowered = lower(scheduled)
        assert_same(wanted, interpreted(lowered, dims, given, threads=3), f"{name} lowered")
        assert_same(wanted, compiled(lowered, dims, given), f"{name} native")


def call(name: str, *shape: Expr | int, **attrs: object) -> Apply:
    x = Input("x", TensorType(tuple(map(index, shape)), F32))
    return apply(name, x, **attrs)  # type: ignore[arg-type]


N, M = Dim("n", 1, 300), Dim("m", 1, 300)
SYMBOLIC = {
    "softmax of rows": call("softmax", N, M),
    "softmax of three axes": call("softmax", 2, N, M),
    "sums of rows": call("reduce_sum", N, M, axis=1),
    "sums of columns": call("reduce_sum", N, M, axis=0),
    "largest of planes": call("reduce_max", 3, N, M, axis=1),
    "argmax of rows": call("argmax", N, M, axis=1),
    "argmax of columns": call("argmax", N, M, axis=0),
    "pool": call("max_pool", 2, N, 5, M, window=(2, 2), padding=(1, 1)),
    "norms": call("l2_norm", N, M),
    "line": call("exp", N),
    "rows": call("exp", N, M),
    "turned": call("transpose", N, M, axes=(1, 0)),
}


@pytest.mark.parametrize("name", SYMBOLIC)
def test_any_extent(name: str) -> None:
    function = define(SYMBOLIC[name], OPERATORS)
    lowered = {t: lower(default_schedule(function, t).function) for t in (AVX2, VNNI)}
    for n, m in ((1, 1), (3, 15), (2, 16), (5, 37), (1, 270)):
        dims = {dim.name: {"n": n, "m": m}[dim.name] for dim in function.dims}
        given = random_arrays(function, dims)
        wanted = interpreted(function, dims, given)
        for one in lowered.values():
            assert_same(wanted, interpreted(one, dims, given, threads=2), f"{name} {dims}")


@pytest.mark.parametrize("name", SYMBOLIC)
def test_rows_go_to_threads_and_neighbours_to_lanes(name: str) -> None:
    scheduled = default_schedule(define(SYMBOLIC[name], OPERATORS), VNNI).function
    kinds = {node.kind for node in postorder(scheduled.body) if isinstance(node, For)}
    assert {"parallel", "vectorized"} <= kinds


LONG = {
    "sum": call("reduce_sum", 1, 3007, axis=1),
    "largest of any length": call("reduce_max", 3, Dim("n", 1, 1 << 20), axis=1),
    "narrow columns": call("reduce_sum", 521, 5, axis=0),
    "argmax": call("argmax", 1, 2003, axis=1),
    "argmax of narrow columns": call("argmax", 409, 4, axis=0),
    "softmax": call("softmax", 1, 3000),
}


@pytest.mark.parametrize("name", LONG)
def test_chunks_of_long_rows_go_to_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits, however many threads there are."""
    monkeypatch.setattr(chunks, "_CHUNK", 256)
    monkeypatch.setattr(rows, "_MUCH", 1024)
    function = define(LONG[name], OPERATORS)
    dims = {dim.name: 701 for dim in function.dims}
    given = random_arrays(function, dims)
    wanted = interpreted(function, dims, given)
    for target in (AVX2, VNNI):
        scheduled = default_schedule(function, target).function
        parallel = [any(_is_parallel(n) for n in postorder(s)) for s in top_nests(scheduled)]
        assert parallel[0]
        lowered = lower(scheduled)
        first, *others = [interpreted(lowered, dims, given, threads=k) for k in (1, 2, 5)]
        assert_same(wanted, first, name)
        for other in others:
            assert all((a == b).all() for a, b in zip(first, other, strict=True))


def _is_parallel(node: Node) -> bool:
    return isinstance(node, For) and node.kind == "parallel"


@pytest.mark.parametrize(("name", "axis"), [("reduce_sum", 1), ("argmax", 1), ("argmax", 0)])
def test_long_rows_native(name: str, axis: int) -> None:
    """Compiled code against numpy, all chunks before what they are combined in."""
    shape = (1, 1_000_003) if axis else (200_003, 6)
    function = define(call(name, *shape, axis=axis), OPERATORS)
    lowered = lower(default_schedule(function, VNNI).function)
    assert any(isinstance(node, Barrier) for node in postorder(lowered.body))
    x = np.random.default_rng(1).integers(-500, 500, shape).astype(np.float32)
    out = np.zeros(shape[1 - axis], np.float32 if name == "reduce_sum" else np.int32)
    got = compiled(lowered, {}, [x.reshape(-1), out])[1]
    want = x.sum(axis) if name == "reduce_sum" else x.argmax(axis)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ["argmax", "reduce_max"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("small", [False, True])
def test_halves(name: str, axis: int, small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elements that cannot be stored under a mask; with chunks if these are `small`."""
    if small:
        monkeypatch.setattr(chunks, "_CHUNK", 40)
        monkeypatch.setattr(chunks, "_LEAST", 1)
    x = Input("x", TensorType((index(5), M) if axis else (M, index(5)), F16))
    function = define(apply(name, x, axis=axis), OPERATORS)
    for target in (AVX2, VNNI):
        lowered = lower(default_schedule(function, target).function)
        for m in (1, 17, 299):
            given = random_arrays(function, {"m": m})
            wanted = interpreted(function, {"m": m}, given)
            assert_same(wanted, interpreted(lowered, {"m": m}, given, threads=2), name)
            assert_same(wanted, compiled(lowered, {"m": m}, given), f"{name} native")


def running_sums() -> Function:
    """Ordered along rows: a rule that would put that into lanes is refused."""
    b = LoopBuilder("sums", dims=(N, M))
    x, y, t = b.param("x", (N, M), F32), b.param("y", (N, M + 1), F32), b.param("t", (N,), F32)
    with b.loop("i", N) as i:
        with b.loop("j", M) as j, b.block("sums", [(N, i)], ordered=[(M, j)]) as (u, v):
            b.store(y, (u, v + 1), load(y, u, v) + load(x, u, v))
        with b.loop("j", M) as j, b.block("most", [(N, i)], [(M, j)]) as (u, v):
            with b.init():
                b.store(t, (u,), 0.0)
            b.store(t, (u,), maximum(load(t, u), load(x, u, v)))
    return b.function()


def test_a_refused_rule_is_left_out_and_told() -> None:
    function = running_sums()
    made = default_schedule(function, VNNI)
    (note,) = made.trace.notes
    assert note.startswith("rule attention left out: vectorize of loop")
    assert made.trace.as_python().startswith(f"# {note}\n")
    assert replay(function, made.trace).function is made.function


def newton() -> Function:
    """Square roots, each by as many steps as it takes."""
    b = LoopBuilder("newton", dims=(N, M))
    x, y = b.param("x", (N, M), F32), b.param("y", (N, M), F32)
    with b.loop("i", N) as i, b.loop("j", M) as j, b.block("root", [(N, i), (M, j)]) as (u, v):
        b.store(y, (u, v), load(x, u, v) * load(x, u, v) + 1.0)
        step = load(y, u, v) * load(y, u, v) - load(x, u, v) * load(x, u, v) - 1.0
        with b.loop_while(step > 0.001):
            root = load(y, u, v)
            b.store(y, (u, v), 0.5 * (root + (load(x, u, v) * load(x, u, v) + 1.0) / root))
    return b.function()


def test_loops_that_run_differently_go_to_threads() -> None:
    function = newton()
    scheduled = default_schedule(function, AVX2).function
    kinds = [node.kind for node in postorder(scheduled.body) if isinstance(node, For)]
    assert kinds == ["parallel"]
    dims = {"n": 3, "m": 5}
    given = random_arrays(function, dims)
    wanted = interpreted(function, dims, given)
    np.testing.assert_allclose(wanted[1], np.sqrt(given[0] ** 2 + 1), rtol=1e-2)
    lowered = lower(scheduled)
    assert_same(wanted, interpreted(lowered, dims, given, threads=2), "lowered")
    assert_same(wanted, compiled(lowered, dims, given), "native")


def test_several_results_of_a_block_go_to_lanes() -> None:
    b = LoopBuilder("parts", dims=(N, M))
    x, low, high = (b.param(name, (N, M), F32) for name in ("x", "low", "high"))
    with b.loop("i", N) as i, b.loop("j", M) as j, b.block("parts", [(N, i), (M, j)]) as (u, v):
        b.store(low, (u, v), minimum(load(x, u, v), 0.0))
        b.store(high, (u, v), maximum(load(x, u, v), 0.0))
    function = b.function()
    scheduled = default_schedule(function, AVX2).function
    kinds = {node.kind for node in postorder(scheduled.body) if isinstance(node, For)}
    assert kinds >= {"parallel", "vectorized"}
    dims = {"n": 3, "m": 37}
    given = random_arrays(function, dims)
    wanted = interpreted(function, dims, given)
    assert_same(wanted, compiled(lower(scheduled), dims, given), "native")


@pytest.mark.parametrize("empty", range(3))
@pytest.mark.parametrize("target", [AVX2, VNNI])
def test_products_without_elements(empty: int, target: Target) -> None:
    m, n, k = [0 if number == empty else 32 for number in range(3)]
    b = LoopBuilder("product")
    x, w, y = b.param("x", (m, k), F32), b.param("w", (k, n), F32), b.param("y", (m, n), F32)
    b.reduce(y, [k], lambda i, j, d: load(x, i, d) * load(w, d, j))
    function = b.function()
    given = random_arrays(function, {})
    wanted = interpreted(function, {}, given)
    scheduled = default_schedule(function, target).function
    assert_same(wanted, compiled(lower(scheduled), {}, given), "native")
