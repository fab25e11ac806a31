"""Every entry of the table: its two programs agree, and native code agrees with both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from passes.ir.dtypes import BF16
from passes.ir.expr import Const
from passes.ir.loop.interpret import interpret
from passes.ir.loop.nodes import Function
from passes.ir.node import IRError, rewrite
from passes.schedule.instructions import available
from passes.schedule.instructions.entry import Entry, need
from passes.schedule.intrinsics import INTRINSICS, TensorIntrinsic, register
from tests.unit.schedule.programs import extent_of

Arrays = list[NDArray[Any]]
SIZES = [{"m": 1, "k": 1}, {"m": 3, "k": 3}]


def sizes_of(one: TensorIntrinsic, given: dict[str, int]) -> dict[str, int]:
    """A value for each dim: strides as small as they may be."""
    free = {dim.name: max(dim.lo, 1) for dim in one.description.dims}
    columns = {"n": free["n"] * given["m"]} if "n" in free else {}
    return {**free, **columns, **{k: v for k, v in given.items() if k in free}}


def arguments(one: TensorIntrinsic, sizes: dict[str, int], seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    made: Arrays = []
    for buffer in one.description.params:
        shape = [extent_of(e, sizes) for e in buffer.shape]
        if buffer.dtype.is_float:
            made.append(rng.standard_normal(shape).astype(buffer.dtype.numpy))
        else:
            bounds = np.iinfo(buffer.dtype.numpy)
            low, high = one.within.get(buffer.name, (bounds.min, bounds.max))
            made.append(rng.integers(low, high, shape, buffer.dtype.numpy, endpoint=True))
    return made


def run(function: Function, sizes: dict[str, int], arrays: Arrays) -> Arrays:
    copies = [array.copy() for array in arrays]
    interpret(function, sizes, copies)
    return copies


def assert_same(left: Arrays, right: Arrays) -> None:
    for a, b in zip(left, right, strict=True):
        if a.dtype == BF16.numpy or a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", INTRINSICS)
def test_the_implementation_does_what_is_described(name: str) -> None:
    one = INTRINSICS[name]
    one.check()
    for given in SIZES:
        sizes = sizes_of(one, given)
        arrays = arguments(one, sizes)
        assert_same(run(one.description, sizes, arrays), run(one.implementation, sizes, arrays))


def test_maddubs_saturates_beyond_its_range() -> None:
    one = INTRINSICS["dot4_u8_i8_pairs"]
    a, b = np.full(4, 255, np.uint8), np.full(4, 127, np.int8)
    wanted = run(one.description, {}, [a, b, np.zeros((), np.int32)])[2]
    given = run(one.implementation, {}, [a, b, np.zeros((), np.int32)])[2]
    assert (wanted, given) == (4 * 255 * 127, 2 * 32767)


def specialised(function: Function, sizes: dict[str, int]) -> Function:
    """The function with numbers for its dims."""
    values = {dim: Const(sizes[dim.name], dim.dtype) for dim in function.dims}
    return rewrite(function, values.get).replace(dims=())


def test_the_entries_of_a_target() -> None:
    v3 = ["avx", "avx2", "fma", "f16c"]
    assert "dot4_u8_i8" not in available("x86-64", v3, 256)
    assert {"dot4_u8_i8_words", "fma_f32_x8"} <= set(available("x86-64", v3, 256))
    assert "fma_f32_x16" not in available("x86-64", v3, 256)
    vnni = [*v3, "avxvnni"]
    assert {"dot4_u8_i8", "dot4_u8_i8_x8", "dot4_i8_i8_x8"} <= set(available("x86-64", vnni, 256))
    v4 = [*v3, "avx512f", "avx512bw", "avx512vl", "avxvnni"]
    assert "dot4_u8_i8" not in available("x86-64", v4, 512)  # not at that width
    assert "dot2_bf16_x16" in available("x86-64", [*v4, "avx512bf16"], 512)
    assert available("aarch64", ["neon", "dotprod"], 128) == (
        "dot4_i8_i8_sdot", "dot4_i8_i8_sdot_x4", "fma_f32_x4",
    )  # fmt: skip


ADD = Entry(
    "add_one", "x: f32[4], y: f32[4]",
    "for i in range(4):\n    y[i] = x[i] + f32(1.0)",
    "y[ramp(0, 1, 4)] = x[ramp(0, 1, 4)] + broadcast(f32(1.0), 4)",
    "x86-64", (need(128, "sse"),),
)  # fmt: skip


def test_an_entry_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passes.schedule.intrinsics.INTRINSICS", dict(INTRINSICS))
    assert register(ADD).name == "add_one"
    x = np.arange(4, dtype=np.float32)
    assert run(register(ADD).implementation, {}, [x, x])[1].tolist() == [1, 2, 3, 4]


INDEXED = (
    "intrinsic 'add_one': its description indexes '{0}' by something else than an iterator an axis"
    " (or 0, where the axis is 1 long)"
)
NO_ENTRIES = {
    "taken": ({"name": "dot4_u8_i8"}, "there is a tensor intrinsic 'dot4_u8_i8' already"),
    "shifted": ({"description": "for i in range(2):\n    y[i] = x[i + 1]"}, INDEXED.format("x")),
    "one element": ({"description": "y[0] = x[0]"}, INDEXED.format("x")),
    "temporary": (
        {"description": "t = alloc(f32[4])\nfor i in range(4):\n    t[i] = x[i]\n"
         "for j in range(4):\n    y[j] = t[j]"},
        "intrinsic 'add_one': its description has temporaries",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_ENTRIES)
def test_what_is_no_entry(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passes.schedule.intrinsics.INTRINSICS", dict(INTRINSICS))
    changes, reason = NO_ENTRIES[case]
    with pytest.raises(IRError) as error:
        register(Entry(**{**ADD.__dict__, **changes}))
    assert str(error.value) == reason
