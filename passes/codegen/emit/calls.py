"""Calls of named functions: LLVM intrinsics, lane reductions, hardware instructions."""

from __future__ import annotations

from passes.codegen.emit.arithmetic import binary
from passes.codegen.emit.ssa import Ssa, Value, depth_of
from passes.codegen.emit.types import register_type
from passes.ir.dtypes import DType
from passes.ir.expr import Add, Binary, Call, Max, Min
from passes.ir.node import IRError

_INTRINSICS = {
    "sqrt": "sqrt", "floor": "floor", "round": "roundeven", "fma": "fma", "abs": "fabs",
}  # fmt: skip
_REDUCTIONS: dict[str, type[Binary]] = {"reduce_add": Add, "reduce_max": Max, "reduce_min": Min}
# name and lanes of the result → LLVM's name
_HARDWARE = {
    ("x86.vpdpbusd", 16): "llvm.x86.avx512.vpdpbusd.512",
    ("x86.vpdpbusd", 8): "llvm.x86.avx512.vpdpbusd.256",
    ("x86.vpdpbusd", 4): "llvm.x86.avx512.vpdpbusd.128",
    ("x86.pmaddubsw", 32): "llvm.x86.avx512.pmaddubs.w.512",
    ("x86.pmaddubsw", 16): "llvm.x86.avx2.pmadd.ub.sw",
    ("x86.pmaddubsw", 8): "llvm.x86.ssse3.pmadd.ub.sw.128",
    ("x86.pmaddwd", 16): "llvm.x86.avx512.pmaddw.d.512",
    ("x86.pmaddwd", 8): "llvm.x86.avx2.pmadd.wd",
    ("x86.pmaddwd", 4): "llvm.x86.sse2.pmadd.wd",
    ("x86.vdpbf16ps", 16): "llvm.x86.avx512bf16.dpbf16ps.512",
    ("x86.vdpbf16ps", 8): "llvm.x86.avx512bf16.dpbf16ps.256",
    ("x86.vdpbf16ps", 4): "llvm.x86.avx512bf16.dpbf16ps.128",
    ("arm.sdot", 4): "llvm.aarch64.neon.sdot.v4i32.v16i8",
    ("arm.sdot", 2): "llvm.aarch64.neon.sdot.v2i32.v8i8",
}


def call(ssa: Ssa, node: Call, arguments: list[Value]) -> Value:
    """The value of a call. Raises `IRError` for a function that no target of ours has."""
    dtype = node.dtype
    if node.name in ("thread_id", "num_threads"):
        return Value("%tid" if node.name == "thread_id" else "%nt", 0)
    if node.name in _REDUCTIONS:
        return _reduce(ssa, _REDUCTIONS[node.name], node.args[0].dtype, arguments[0])
    if (node.name, dtype.lanes) in _HARDWARE:
        return _direct(ssa, _HARDWARE[node.name, dtype.lanes], node, arguments)
    if node.name == "abs" and dtype.is_int:
        spelled = register_type(dtype)
        name = ssa.declare(spelled, f"llvm.abs.{_suffix(dtype)}", [spelled, "i1"])
        value = arguments[0]
        return ssa.op(f"call {spelled} {name}({spelled} {value.text}, i1 false)", value.depth)
    if node.name in _INTRINSICS and dtype.is_float:
        return _direct(ssa, f"llvm.{_INTRINSICS[node.name]}.{_suffix(dtype)}", node, arguments)
    raise IRError(
        f"no instruction for '{node.name}' giving {dtype}; "
        "functions like exp are expanded to arithmetic by the lowering pass 'math'"
    )


def _direct(ssa: Ssa, name: str, node: Call, arguments: list[Value]) -> Value:
    types = [register_type(argument.dtype) for argument in node.args]
    result = register_type(node.dtype)
    symbol = ssa.declare(result, name, types)
    operands = ", ".join(f"{t} {v.text}" for t, v in zip(types, arguments, strict=True))
    return ssa.op(f"call {result} {symbol}({operands})", depth_of(*arguments))


def _reduce(ssa: Ssa, kind: type[Binary], dtype: DType, value: Value) -> Value:
    """Upper half onto lower half until one lane is left; odd lanes are taken in at the end."""
    left_over: list[Value] = []
    while dtype.lanes > 1:
        spelled, half = register_type(dtype), dtype.lanes // 2
        if dtype.lanes % 2:
            text = f"extractelement {spelled} {value.text}, i64 {dtype.lanes - 1}"
            left_over.append(ssa.op(text, value.depth))
        low = _part(ssa, value, spelled, 0, half)
        high = _part(ssa, value, spelled, half, half)
        dtype = dtype.with_lanes(half)
        value = binary(ssa, kind, dtype, low, high)
    for one in reversed(left_over):
        value = binary(ssa, kind, dtype, value, one)
    return value


def _part(ssa: Ssa, value: Value, spelled: str, start: int, lanes: int) -> Value:
    if lanes == 1:
        return ssa.op(f"extractelement {spelled} {value.text}, i64 {start}", value.depth)
    mask = ", ".join(f"i32 {number}" for number in range(start, start + lanes))
    text = f"shufflevector {spelled} {value.text}, {spelled} poison, <{lanes} x i32> <{mask}>"
    return ssa.op(text, value.depth)


def _suffix(dtype: DType) -> str:
    scalar = f"f{dtype.bits}" if dtype.is_float else f"i{dtype.bits}"
    if dtype.name == "bf16":
        scalar = "bf16"
    return scalar if dtype.lanes == 1 else f"v{dtype.lanes}{scalar}"
