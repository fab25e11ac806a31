"""Vectors from and to places that are not neighbours: as few accesses and shuffles as possible."""

from __future__ import annotations

import re

import pytest

from passes.codegen import native
from passes.codegen.emit import emit_module
from passes.codegen.lower import lower
from passes.ir.loop.parse import parse_function
from tests.unit.codegen.running import check_lowering

ZEN4 = native.Machine("x86_64-unknown-linux-gnu", "znver4")
AVX2 = native.Machine("x86_64-unknown-linux-gnu", "x86-64-v3")

STRIDED = """
def f(x: {0}[999], y: {0}[4, {1}], z: {0}[4, {1}]):
    for i in range(4):
        for j in vectorized({1}):
            y[i, j] = x[i*2 + j*{2} + {3}]
        for j in vectorized({1}):
            z[i, j] = x[i + j//4*{2} + j%4 + {3}]
"""
INTERLEAVED = """
def f(x: {0}[{2}, {1}], y: {0}[3, {1}*{2}]):
    for i in range(3):
        for r in unrolled({2}):
            for j in vectorized({1}):
                y[i, j*{2} + {2} - 1 - r] = x[r, j]
"""


@pytest.mark.parametrize(
    ("dtype", "lanes", "stride"),
    [
        ("f32", 16, 2), ("f32", 16, 3), ("f32", 16, 8), ("f32", 8, 5), ("f32", 8, -3),
        ("f32", 7, 2), ("f16", 16, 4), ("bf16", 16, 2), ("i8", 32, 4), ("u16", 16, 7),
        ("bool", 16, 2), ("f64", 8, 2), ("i64", 4, 2), ("f32", 2, 9),
    ],
)  # fmt: skip
def test_loads_with_a_stride(dtype: str, lanes: int, stride: int) -> None:
    start = max(0, -stride * lanes)
    check_lowering(parse_function(STRIDED.format(dtype, lanes, stride, start)))


@pytest.mark.parametrize(
    ("dtype", "lanes", "parts"),
    [
        ("f32", 16, 16), ("f32", 16, 2), ("f32", 16, 4), ("f32", 8, 8), ("f32", 8, 4),
        ("f32", 4, 2), ("f16", 16, 8), ("bf16", 8, 8), ("i8", 16, 16), ("i8", 64, 2),
        ("i8", 4, 4), ("f64", 8, 8), ("i64", 4, 2), ("i16", 32, 4), ("bool", 8, 2),
        ("f32", 6, 2), ("f32", 16, 3),
    ],
)  # fmt: skip
def test_stores_in_turn(dtype: str, lanes: int, parts: int) -> None:
    check_lowering(parse_function(INTERLEAVED.format(dtype, lanes, parts)))


def instructions(text: str, machine: native.Machine) -> list[str]:
    code = native.assembly(emit_module([lower(parse_function(text))]), machine)
    return re.findall(r"^\t([a-z].*)$", code, re.M)


def test_every_second_element_is_two_loads() -> None:
    text = emit_module([lower(parse_function(STRIDED.format("f32", 16, 2, 0)))])
    first = text[: text.index("store")]
    assert first.count("load <16 x float>") == 2
    assert first.count("shufflevector") == 2
    assert "insertelement" not in first


def test_a_transposed_tile_is_a_network_of_shuffles() -> None:
    text = INTERLEAVED.format("f32", 16, 16)
    emitted = emit_module([lower(parse_function(text))])
    assert emitted.count("shufflevector") == 16 * 4
    assert emitted.count("store <16 x float>") == 16
    tile = [line for line in instructions(INTERLEAVED.format("f32", 8, 8), AVX2) if "ymm" in line]
    assert len(tile) <= 8 + 3 * 8 + 8
    tile = [line for line in instructions(text, ZEN4) if "zmm" in line]
    assert len(tile) <= 16 + 4 * 16 + 16 + 16


def test_stores_that_read_each_other_stay_apart() -> None:
    text = """
def f(y: f32[16], z: f32[16]):
    for j in vectorized(8):
        y[j*2] = z[j]
    for j in vectorized(8):
        y[j*2 + 1] = y[j*2] + z[j + 8]
"""
    function = parse_function(text)
    assert "store <16 x float>" not in emit_module([lower(function)])
    check_lowering(function)
