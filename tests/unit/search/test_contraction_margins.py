"""Windows that reach into margins: the taps that meet nothing but zeros are left out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from passes.ir.dtypes import F32, I8, U8, DType
from passes.ir.expr import Const, Dim, IntLike, index
from passes.ir.graph.nodes import Input, TensorType
from passes.ir.loop.nodes import For, Function
from passes.ir.node import postorder
from passes.ops import OPERATORS, apply
from passes.ops.define import define
from passes.schedule.schedule import Schedule
from passes.search.defaults import default_schedule
from passes.search.defaults.target import Target
from tests.unit.search.test_contraction import AVX512, TINY, VNNI, check

N = Dim("n", 1, 40)


def convolution(
    x: Sequence[IntLike], w: Sequence[int], types: tuple[DType, DType] = (F32, F32), **attrs: object
) -> Function:
    parts = zip("xw", (x, w), types, strict=True)
    operands = [Input(k, TensorType(tuple(map(index, s)), t)) for k, s, t in parts]
    name = "conv_transposed" if attrs.pop("transposed", False) else "conv"
    return define(apply(name, *operands, **attrs), OPERATORS)  # type: ignore[arg-type]


VOLUME = convolution((1, 4, 5, 9, 8), (5, 3, 3, 8, 16), padding=(2, 1, 1), stride=(1, 2, 1))
CASES = {
    "plane": convolution((1, 5, 9, 16), (3, 3, 16, 16), padding=(1, 1)),
    "volume": VOLUME,
    "far apart": convolution((1, 7, 9, 8), (3, 3, 8, 16), padding=(4, 4), dilation=(4, 4)),
    "nothing but margins": convolution((1, 1, 9, 16), (3, 3, 16, 16), padding=(3, 1)),
    "transposed": convolution(
        (1, 3, 4, 16), (4, 4, 16, 16), transposed=True, stride=(2, 2), padding=(1, 1)
    ),
    "bytes": convolution((1, 3, 2, 64), (3, 3, 64, 16), (U8, I8), padding=(1, 1)),
    "any number of rows": convolution((1, N, 9, 16), (3, 3, 16, 16), padding=(1, 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_results(name: str) -> None:
    function = CASES[name]
    made = check(function, VNNI, [{"n": n} for n in (1, 5)] if function.dims else [{}])
    assert _trimmed(made)


def test_threads_share_rows_that_cost_as_much() -> None:
    """The axis at whose ends most taps are left out is the inner one of those that are shared."""
    made = default_schedule(VOLUME, AVX512)
    shared = [n.var.name for n in postorder(made.function.body) if _is_sum(n)]
    assert shared and all(name.startswith("b_x_y") for name in shared)


@pytest.mark.parametrize("target", [AVX512, TINY], ids=["avx512", "tiny"])
def test_loops_that_are_written_out_stay_whole(target: Target) -> None:
    function = convolution((1, 6, 9, 32), (3, 3, 1, 32), padding=(1, 1), groups=32)
    assert not _trimmed(default_schedule(function, target))


def _trimmed(made: Schedule) -> list[For]:
    """The loops over taps whose extents depend on the place."""
    names = {step.args[1] for step in made.trace if step.name == "trim"}
    loops = [n for n in postorder(made.function.body) if isinstance(n, For) and n.var in names]
    assert not any(isinstance(loop.extent, Const) for loop in loops)
    return loops


def _is_sum(node: object) -> bool:
    """Whether it is a parallel loop around sums."""
    around = isinstance(node, For) and node.kind == "parallel"
    return around and any(isinstance(n, For) and n.var.name == "u" for n in postorder(node))  # type: ignore[arg-type]
