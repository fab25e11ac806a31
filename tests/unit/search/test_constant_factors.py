"""Products with constant weights: these lie in panels in the package, if one kernel reads them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from passes.fuse.pack import PackedSource
from passes.ir.dtypes import BF16, F16, F32, I8, U8, DType
from passes.ir.evaluate import evaluate
from passes.ir.expr import Dim, IntLike, index
from passes.ir.graph.interpret import interpret
from passes.ir.graph.nodes import CallLoops, GraphFunction, Input, TensorType, Value, Weight
from passes.ir.loop.nodes import Function
from passes.ir.module import Module
from passes.ir.node import postorder
from passes.ir.weights import WeightEntry, Weights, write_weights
from passes.ops import OPERATORS, apply
from passes.ops.define import define
from passes.search import stage
from passes.search.defaults.target import Target
from passes.search.fold import agreed, constants_of
from tests.unit.search.test_contraction import AVX2, AVX512, VNNI, product

N = Dim("n", 1, 64)


def packaged(
    function: Function, given: dict[str, TensorType], weight: TensorType, calls: int = 1
) -> Module:
    """A graph that calls a kernel with the weight `w` as its second parameter."""
    inputs = [Input(name, type_) for name, type_ in given.items()]
    w = Weight("w", weight)
    result = function.params[-1]
    out = TensorType(result.shape, result.dtype)
    names = [function.name, *[f"{function.name}_{k}" for k in range(1, calls)]]
    results: list[tuple[str, Value]] = [
        (name, CallLoops(function.replace(name=name), (inputs[0], w, *inputs[1:]), (out,)))
        for name in names
    ]
    graph = GraphFunction("main", function.dims, tuple(inputs), tuple(results))
    return Module({"main": graph}, {"w": WeightEntry(weight, ("w",))})


def products(
    rows: IntLike, columns: int, steps: int, types: tuple[DType, DType] = (F32, F32),
    *, turned: bool = False, calls: int = 1,
) -> Module:  # fmt: skip
    a = TensorType((index(rows), index(steps)), types[0])
    shape = (columns, steps) if turned else (steps, columns)
    b = TensorType(tuple(map(index, shape)), types[1])
    function = product(rows, columns, steps, turned=turned, types=types)
    return packaged(function, {"a": a}, b, calls)


def values(type_: TensorType, rows: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    shape = [int(evaluate(e, {N: rows})) for e in type_.shape]
    if type_.dtype.is_float:
        return (rng.integers(-8, 9, shape) / 4).astype(type_.dtype.numpy)
    return rng.integers(0 if type_.dtype == U8 else -128, 128, shape).astype(type_.dtype.numpy)


def check(made: Module, target: Target, folder: Path, rows: tuple[int, ...] = (3,)) -> Module:
    """The scheduled module, after comparing its results with those of the plain one."""
    weight = made.weights["w"].type
    write_weights(folder, [("w", weight, [values(weight, 0)])])
    after = stage.scheduled(made, target)
    after.verify(OPERATORS)
    for n in rows:
        found = []
        for module in (made, after):
            given = {v.name: values(v.type, n) for v in module.graphs["main"].params}
            results, _ = interpret(
                module.graphs["main"], given, dims={"n": n} if made.graphs["main"].dims else {},
                operators=OPERATORS, weights=PackedSource(Weights(folder), module.weights),
                state={},
            )  # fmt: skip
            found.append(results)
        for name in found[0]:
            np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-5)
    return after


def copies(made: Module) -> list[str]:
    """The buffers that the kernels have besides registers."""
    calls = [n for n in postorder(*made.graphs.values()) if isinstance(n, CallLoops)]
    return [b.name for call in calls for b in call.function.allocs if b.scope == "global"]


def panels(made: Module) -> tuple[int, ...] | None:
    storage = made.weights["w"].type.storage
    return (
        None if storage is None else tuple([int(evaluate(e, {})) for e in storage.fields[0].shape])
    )


@pytest.mark.parametrize("rows", [1, 5, 13, N], ids=str)
@pytest.mark.parametrize("turned", [False, True], ids=["plain", "turned"])
def test_weights_lie_in_panels(rows: IntLike, turned: bool, tmp_path: Path) -> None:
    numbers = (1, 7, 8, 21) if rows is N else (3,)
    made = check(products(rows, 40, 12, turned=turned), AVX512, tmp_path, numbers)
    assert panels(made) == (3, 12, 16) and not copies(made)


@pytest.mark.parametrize(
    ("types", "shape"),
    [((U8, I8), (3, 6, 16, 4)), ((I8, I8), (3, 6, 16, 4)), ((BF16, BF16), (3, 12, 16, 2))],
    ids=lambda value: str(value[0]),
)
def test_numbers_of_a_word_lie_side_by_side(
    types: tuple[DType, DType], shape: tuple[int, ...], tmp_path: Path
) -> None:
    made = check(products(N, 40, 24, types), VNNI, tmp_path, (1, 9))
    assert panels(made) == shape and not copies(made)


def test_half_precision_weights(tmp_path: Path) -> None:
    made = check(products(3, 40, 24, (F32, F16)), AVX2, tmp_path)
    assert panels(made) == (3, 24, 16)


@pytest.mark.parametrize("layout", ["last", "first"])
def test_convolutions(layout: str, tmp_path: Path) -> None:
    x, w = ((1, 6, 7, 5), (3, 3, 5, 20)) if layout == "last" else ((1, 5, 6, 7), (20, 5, 3, 3))
    types = [TensorType(tuple(map(index, shape)), F32) for shape in (x, w)]
    operands = [Input(name, type_) for name, type_ in zip("xw", types, strict=True)]
    conv = apply("conv", *operands, stride=(1, 1), padding=(1, 1), layout=layout)
    function = define(conv, OPERATORS)
    made = check(packaged(function, {"x": types[0]}, types[1]), AVX512, tmp_path)
    if layout == "last":
        assert panels(made) == (2, 3, 3, 5, 16)


def test_a_weight_of_two_kernels_stays_as_it_is(tmp_path: Path) -> None:
    before = products(3, 40, 12, calls=2)
    assert set(constants_of(before).values()) == {frozenset()}
    assert panels(check(before, AVX512, tmp_path)) is None


def by_default(*targets: Target) -> list[stage.Choose]:
    return [partial(stage.by_default, target) for target in targets]


@pytest.mark.parametrize("types", [(F32, F32), (U8, I8), (I8, I8), (BF16, BF16)], ids=str)
def test_targets_agree_on_panels(types: tuple[DType, DType]) -> None:
    before = products(N, 40, 24, types)
    made = stage.schedules_of(before, by_default(AVX2, AVX512, VNNI))
    assert list(agreed(before, made)) == ["w"]


def test_a_weight_that_targets_want_in_several_layouts_stays_as_it_is() -> None:
    without = replace(AVX2, features=())
    before = products(N, 40, 24, (U8, I8))
    assert agreed(before, stage.schedules_of(before, by_default(without)))
    assert not agreed(before, stage.schedules_of(before, by_default(AVX2, without)))
