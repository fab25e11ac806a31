"""Default schedules of single operators: each means what its loop definition means."""

from __future__ import annotations

import numpy as np
import pytest

from passes.codegen.lower import lower
from passes.ir.dtypes import F32
from passes.ir.expr import Dim, Expr, index
from passes.ir.graph.nodes import Apply, Input, TensorType
from passes.ir.loop.nodes import For, Function
from passes.ir.node import postorder
from passes.ir.quantised import QuantisedArray
from passes.ops import OPERATORS, apply
from passes.ops.define import define
from passes.search.defaults import default_schedule
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

AVX2 = Target(256, 16, 32768, 262144, False)
VNNI = Target(512, 32, 32768, 1048576, True)
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


@pytest.mark.parametrize("name", [name for name in SYMBOLIC if not name.startswith("argmax")])
def test_rows_go_to_threads_and_neighbours_to_lanes(name: str) -> None:
    scheduled = default_schedule(define(SYMBOLIC[name], OPERATORS), VNNI).function
    kinds = {node.kind for node in postorder(scheduled.body) if isinstance(node, For)}
    assert {"parallel", "vectorized"} <= kinds
