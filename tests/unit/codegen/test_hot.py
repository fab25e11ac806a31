"""Hot loops in assembly."""

from __future__ import annotations

import pytest

from passes.codegen.emit import emit_module
from passes.codegen.hot import hot_loop, kernel_assembly
from passes.codegen.lower import lower
from passes.codegen.native import CodegenError, Machine, assembly
from passes.ir.loop.parse import parse_function

AVX2 = Machine("x86_64-unknown-linux-gnu", "x86-64-v3")
NEON = Machine("aarch64-unknown-linux-gnu", "generic")
PROGRAM = """
def f(x: f32[n, 16], y: f32[n], z: f32[16], *, n: dim[1, 64]):
    for i in range(n):
        y[i] = x[i, 3] + y[i]
    for i in range(n):
        for j in vectorized(16):
            z[j] = z[j] + x[i, j]
        for k in range(n):
            y[k] = y[k]*f32(2.0)
        for k in range(n):
            for j in vectorized(16):
                z[j] = fma(x[k, j], x[i, j], z[j])
"""


@pytest.mark.parametrize(("machine", "fused"), [(AVX2, "vfmadd"), (NEON, "fmla")])
def test_the_innermost_loop_with_the_most_vectors(machine: Machine, fused: str) -> None:
    text = emit_module([lower(parse_function(PROGRAM))])
    found = hot_loop(assembly(text, machine))
    assert found is not None
    assert found.lines[0].endswith(":") and found.lines[0].split(":")[0] in found.lines[-1]
    assert sum(fused in line for line in found.lines) == 128 // (32 if machine is NEON else 64)
    assert len(found.lines) == found.instructions + 1
    assert 0 < found.on_vectors < found.instructions


def test_a_function_without_loops_has_none() -> None:
    text = emit_module([lower(parse_function("def f(y: f32[1]):\n    y[0] = f32(1.0)\n"))])
    assert hot_loop(assembly(text, AVX2)) is None


def test_one_kernel_of_a_library() -> None:
    kernels = [
        parse_function(f"def {name}(x: f32[8], y: f32[8]):\n    y[0] = {name}(x[1])\n")
        for name in ("floor", "sqrt")
    ]
    library = emit_module([lower(kernel) for kernel in kernels])
    text = kernel_assembly(library, "sqrt", AVX2)
    assert "vsqrtss" in text and "vroundss" not in text
    waiting = parse_function("""
def wait(x: f32[8]):
    x[0] = f32(1.0)
    for i in parallel(8):
        x[i] = x[i] + f32(1.0)
""")
    text = emit_module([lower(waiting)]).replace("declare void @tk_barrier", "; ")
    assert "tk_barrier" in kernel_assembly(text, "wait", AVX2), "the library defines it elsewhere"
    with pytest.raises(CodegenError, match="the text defines no function 'sqr'"):
        kernel_assembly(library, "sqr", AVX2)
