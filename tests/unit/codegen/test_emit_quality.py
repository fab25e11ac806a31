"""The machine code of hand-written tiles: nothing spilled, operands taken from memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from passes.codegen import native
from passes.codegen.emit import emit_module
from passes.codegen.lower import lower
from passes.ir.loop.nodes import Function
from passes.ir.loop.parse import parse_function
from tests.unit.codegen import lowered
from tests.unit.codegen.programs import DOT
from tests.unit.codegen.running import (
    Arrays,
    assert_same,
    check_lowering,
    compiled,
    interpreted,
    random_arrays,
)

ZEN4 = native.Machine("x86_64-unknown-linux-gnu", "znver4")
AVX2 = native.Machine("x86_64-unknown-linux-gnu", "x86-64-v3")


@cache
def assembly(make: Callable[[], Function]) -> str:
    return native.assembly(emit_module([make()]), ZEN4)


@pytest.mark.parametrize("make", [lowered.gemm, lowered.q4_gemm, lowered.q4_gemv])
def test_no_vector_is_spilled(make: Callable[[], Function]) -> None:
    text = assembly(make)
    assert not re.search(r"zmm\d+, -?\d*\(%r[sb]p\)|vmov\S+\s+-?\d*\(%rsp\), %zmm", text)


def test_scalars_are_broadcast_by_the_instruction_that_uses_them() -> None:
    assert assembly(lowered.gemm).count("vbroadcastss") == 8
    assert assembly(lowered.q4_gemv).count("{1to16}") == 10
    assert len(re.findall(r"vcvtph2ps\s+\S*\(", assembly(lowered.q4_gemv))) == 2


def test_tiles_compile_for_avx2_too() -> None:
    text = emit_module([lowered.gemm(4, 1, 64, 64)])
    assert "ymm" in native.assembly(text, AVX2)


def test_the_fp32_tile_is_right() -> None:
    function = lowered.gemm(4, 2, 24, 64)
    memory = random_arrays(function, {"m": 8})
    wanted = interpreted(function, {"m": 8}, memory)
    assert_same(wanted, compiled(function, {"m": 8}, memory, teams=2), "native")


needs_vnni = pytest.mark.skipif(
    "+avx512vnni" not in native.host_machine().features.split(","),
    reason="this processor has no AVX-512 VNNI",
)


@needs_vnni
def test_dot_products_are_one_instruction() -> None:
    function = parse_function(DOT.replace("dot4_words", "dot4"))
    check_lowering(function)
    text = native.assembly(emit_module([lower(function)]), ZEN4)
    assert len(re.findall(r"vpdpbusd\s.*\{1to16\}", text)) == 2
    assert "vpmadd" not in text


@needs_vnni
@pytest.mark.parametrize("make", [lowered.q4_gemm, lowered.q4_gemv])
def test_the_4_bit_tiles_are_right(make: Callable[..., Function]) -> None:
    rows = {"rows": 2} if make is lowered.q4_gemm else {}
    function = make(depth=64, width=32, **rows)
    dims = {"m": 4} if rows else {}
    memory = _packed(random_arrays(function, dims))
    wanted = interpreted(function, dims, memory)
    assert_same(wanted, compiled(function, dims, memory, teams=2), "native")


def _packed(memory: Arrays) -> Arrays:
    """The weights' scales are views of the bytes that hold the nibbles."""
    weights = np.random.default_rng(1).integers(0, 256, memory[0].size, dtype=np.uint8)
    blocks = weights.reshape(-1, 320)
    scales = np.random.default_rng(2).random((blocks.shape[0], 32)).astype(np.float16)
    blocks[:, 256:] = scales.view(np.uint8)
    halves = weights.view(np.float16)
    return [weights, halves[128:], halves[144:], *memory[3:]]
