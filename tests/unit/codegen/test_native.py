"""LLVM text → objects: errors show the line, bytes depend on the text alone."""

from __future__ import annotations

import ctypes

import pytest

from passes.codegen.native import CodegenError, Machine, assembly, compile_object, jit

MACHINE = Machine("x86_64-unknown-linux-gnu", "x86-64-v3")
DOUBLE = "define i64 @double(i64 %x) {\n  %y = add i64 %x, %x\n  ret i64 %y\n}\n"


def test_objects_are_elf_and_equal_each_time() -> None:
    first = compile_object(DOUBLE, MACHINE)
    assert first[:4] == b"\x7fELF"
    assert compile_object(DOUBLE, MACHINE) == first
    assert "double:" in assembly(DOUBLE, MACHINE)


def test_code_runs_in_this_process() -> None:
    double = jit(DOUBLE).function("double", ctypes.c_int64, result=ctypes.c_int64)
    assert double(21) == 42


def test_a_function_that_is_not_there() -> None:
    with pytest.raises(CodegenError, match="the compiled text defines no function 'triple'"):
        jit(DOUBLE).function("triple")


def test_text_that_does_not_parse_is_shown() -> None:
    with pytest.raises(CodegenError) as caught:
        compile_object(DOUBLE.replace("ret i64 %y", "ret i64 %z"), MACHINE)
    assert str(caught.value) == (
        "LLVM text line 3, column 11: use of undefined value '%z'\n    ret i64 %z"
    )


def test_text_that_does_not_verify_is_refused() -> None:
    text = """
define void @f() {
a:
  br label %b
b:
  %x = add i64 %y, 1
  %y = add i64 %x, 1
  ret void
}
"""
    with pytest.raises(CodegenError, match="does not dominate all uses"):
        compile_object(text, MACHINE)


def test_a_target_that_llvm_does_not_know() -> None:
    with pytest.raises(CodegenError, match="LLVM has no target for triple 'abacus-unknown'"):
        compile_object(DOUBLE, Machine("abacus-unknown", "beads"))
