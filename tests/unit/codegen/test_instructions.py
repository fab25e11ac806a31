"""Instructions of the table of tensor intrinsics as native code, and in other targets' assembly."""

from __future__ import annotations

import numpy as np
import pytest

from passes.codegen import native
from passes.codegen.emit import emit_module
from passes.codegen.lower import lower
from passes.ir.dtypes import BF16
from passes.ir.expr import Const
from passes.ir.intrinsics import intrinsic
from passes.ir.loop.nodes import Function
from passes.ir.loop.parse import parse_function
from passes.ir.node import rewrite
from passes.schedule.intrinsics import INTRINSICS
from tests.unit.codegen.instructions import host_has
from tests.unit.codegen.running import check_lowering, compiled, interpreted

LANES = 16  # of the lane by lane entries


def kernel(name: str) -> Function:
    """The implementation with numbers for its dims; lanes put side by side by a vectorized loop."""
    one = INTRINSICS[name]
    function = one.implementation
    if one.entry.lanes:
        sizes = {"m": 3, "n": 2 * one.entry.lanes, "k": 3}
        values = {d: Const(sizes.get(d.name, 1), d.dtype) for d in function.dims}
        strides = {"s": 12, "t": 2 * one.entry.lanes, "w": 8 * one.entry.lanes}
        values |= {d: Const(strides[d.name], d.dtype) for d in values if d.name in strides}
        return rewrite(function, values.get).replace(dims=())
    a, b, c = (buffer.dtype for buffer in function.params)
    (count,) = [e.value for e in function.params[0].shape if isinstance(e, Const)]
    body = one.entry.implementation.replace("c[()]", "c[l]")
    for operand in "ab":
        body = body.replace(f"{operand}[ramp(0, 1, {count})]", f"{operand}[l, ramp(0, 1, {count})]")
    head = f"a: {a}[{LANES}, {count}], b: {b}[{LANES}, {count}], c: {c}[{LANES}]"
    return parse_function(f"def f({head}):\n    for l in vectorized({LANES}):\n        {body}")


@pytest.mark.parametrize("name", [n for n in INTRINSICS if INTRINSICS[n].entry.arch == "x86-64"])
def test_native_is_interpreted(name: str) -> None:
    if not host_has(name):
        pytest.skip("this CPU does not have it")
    check_lowering(kernel(name))


@pytest.mark.parametrize("name", [n for n in INTRINSICS if INTRINSICS[n].entry.lanes == 0])
def test_a_single_lane_is_taken_apart(name: str) -> None:
    """A tail of columns has no vector: it gives the same without the instruction."""
    check_lowering(INTRINSICS[name].implementation)


INSTRUCTIONS = {
    "dot4_u8_i8": "vpdpbusd", "dot4_u8_i8_words": "vpmaddwd", "dot4_u8_i8_pairs": "vpmaddubsw",
    "dot4_i8_i8": "vpdpbusd", "dot4_i8_i8_words": "vpmaddwd", "dot2_bf16": "vdpbf16ps",
    "dot2_bf16_fma": "vfmadd", "fma_f32_x16": "vfmadd", "fma_f32_x8": "vfmadd",
    "dot4_i8_i8_sdot_x4": "sdot", "fma_f32_x4": "fmla",
}  # fmt: skip
WHOLE = [n for n in INTRINSICS if INTRINSICS[n].entry.lanes or host_has(n)]


def machine(name: str) -> native.Machine:
    if INTRINSICS[name].entry.arch == "aarch64":
        return native.Machine("aarch64-unknown-linux-gnu", "generic", "+neon,+dotprod")
    if INTRINSICS[name].entry.lanes == 8:
        features = "+avx2,+fma,+avxvnni"
        if "bf16" in name and "fma" not in name:
            features += ",+avx512f,+avx512vl,+avx512bf16"
        return native.Machine("x86_64-unknown-linux-gnu", "x86-64-v3", features)
    features = "+avx512f,+avx512bw,+avx512vl,+avx512vnni,+avx512bf16"
    return native.Machine("x86_64-unknown-linux-gnu", "x86-64-v4", features)


@pytest.mark.parametrize("name", WHOLE)
def test_the_instruction_is_selected(name: str) -> None:
    code = native.assembly(emit_module([lower(kernel(name))]), machine(name))
    wanted = INSTRUCTIONS.get(name) or INSTRUCTIONS[name.rsplit("_x", 1)[0]]
    assert wanted in code
    assert "call" not in code and "\tbl\t" not in code  # everything is an instruction
    if INTRINSICS[name].entry.lanes == 16:
        assert "zmm" in code


def test_the_correction_is_shared_by_rows() -> None:
    """3 rows of 2 vectors take 6 instructions a step of the depth, and 2 for what is taken off."""
    code = native.assembly(
        emit_module([lower(kernel("dot4_i8_i8_x16"))]), machine("dot4_i8_i8_x16")
    )
    assert code.count("vpdpbusd") == 3 * 2 + 2


BF = """
def f(c: f32[16], a: bf16[16, 2], b: bf16[16, 2]):
    for l in vectorized(16):
        c[l] = dot2_bf16(c[l], reinterpret(a[l, ramp(0, 1, 2)], u32), \
reinterpret(b[l, ramp(0, 1, 2)], u32))
"""


@pytest.mark.skipif(not host_has("dot2_bf16"), reason="this CPU has no bf16 dot products")
def test_bf16_rounds_as_the_processor_does() -> None:
    """Bit by bit: two roundings, the odd product first, subnormal numbers flushed."""
    function = parse_function(BF)
    lowered, rng = lower(function), np.random.default_rng(0)
    for scale in (1.0, 1e-19, 3e-20, 1e-38, 1e19):
        a, b = ((rng.standard_normal((16, 2)) * scale).astype(BF16.numpy) for _ in "ab")
        c = (rng.standard_normal(16) * scale * scale).astype(np.float32)
        wanted = interpreted(function, {}, [c, a.reshape(-1), b.reshape(-1)])
        given = compiled(lowered, {}, [c, a.reshape(-1), b.reshape(-1)])
        np.testing.assert_array_equal(wanted[0].view(np.int32), given[0].view(np.int32))


def test_meanings_of_words() -> None:
    """The meanings broadcast, as whole-array interpretation asks."""
    a, b = np.uint32(0x01020304), np.arange(3, dtype=np.int32).reshape(3, 1)
    for name in ("dot4", "dot4_words", "dot4_pairs"):
        found = intrinsic(name).meaning(np.int32(5), a, b)
        assert found.tolist() == [[5], [9], [13]]


CASTS = """
def f(x: f32[n], y: bf16[n], z: f32[n], *, n: dim[1, 4096]):
    for i in range(n//16):
        for l in vectorized(16):
            y[i*16 + l] = cast(x[i*16 + l], bf16)
    for j in range(n%16):
        y[n//16*16 + j] = cast(x[n//16*16 + j], bf16)
    for k in range(n):
        z[k] = cast(y[k], f32)
"""


def test_casts_of_bf16_are_exact() -> None:
    """Ties, overflows, subnormal numbers and NaN, in vectors and alone."""
    rng = np.random.default_rng(0)
    special = [0x7F800000, 0xFF800001, 0x7FFFFFFF, 0x7F7FFFFF, 0x3F808000, 0x3F818000, 0x00000001]
    bits = np.concatenate([
        rng.integers(0, 1 << 32, 1000, np.uint32), np.array(special, np.uint32),
        rng.integers(0, 1 << 16, 100, np.uint32) << 16 | 0x8000,
    ])  # fmt: skip
    x = bits.view(np.float32)
    count = {"n": len(x)}
    memory = [x, np.zeros(len(x), BF16.numpy), np.zeros(len(x), np.float32)]
    function = parse_function(CASTS)
    with np.errstate(all="ignore"):
        wanted = interpreted(function, count, memory)
    given = compiled(lower(function), count, memory)
    finite = ~np.isnan(x)
    for a, b in zip(wanted[1:], given[1:], strict=True):
        kind = f"u{a.itemsize}"
        np.testing.assert_array_equal(a.view(kind)[finite], b.view(kind)[finite])
        assert np.isnan(b.astype(np.float32)[~finite]).all()
