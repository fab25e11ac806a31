"""LLVM text → machine code, by llvmlite: instruction selection and register allocation only.

No optimisation pipeline runs: what the emitter writes is what gets selected. Text that LLVM
refuses becomes a `CodegenError` that shows the offending line.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

_OPT = 2


class CodegenError(ValueError):
    """Text that LLVM refuses, or a target it does not know; the message shows the place."""


@dataclass(frozen=True)
class Machine:
    """What LLVM needs to know of a target: `triple`, `cpu` and a feature string like `+avx2`."""

    triple: str
    cpu: str
    features: str = ""


def host_machine() -> Machine:
    """The machine this process runs on (for tests and measurements, never for artifacts)."""
    llvm = _llvm()
    features = llvm.get_host_cpu_features().flatten()
    return Machine(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)


def compile_object(text: str, machine: Machine) -> bytes:
    """A relocatable, position-independent object file. Raises `CodegenError`."""
    target = _target_machine(machine, "pic", "small", jit=False)
    return bytes(target.emit_object(_parsed(text, machine, target)))


def assembly(text: str, machine: Machine) -> str:
    """The assembly that `compile_object` encodes, to look at. Raises `CodegenError`."""
    target = _target_machine(machine, "pic", "small", jit=False)
    return str(target.emit_assembly(_parsed(text, machine, target)))


class Library:
    """Code loaded into this process; it lives as long as this object and its functions."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def function(self, name: str, *arguments: Any, result: Any = None) -> Any:
        """The function `name` as a ctypes callable taking `arguments` (ctypes types)."""
        address = self._engine.get_function_address(name)
        if not address:
            raise CodegenError(f"the compiled text defines no function '{name}'")
        found: Any = ctypes.CFUNCTYPE(result, *arguments)(address)
        found.engine = self._engine  # the code must outlive whoever can call it
        return found


def jit(text: str, machine: Machine | None = None) -> Library:
    """Compiles and loads `text` for this process. Raises `CodegenError`."""
    machine = machine or host_machine()
    target = _target_machine(machine, "default", "jitdefault", jit=True)
    engine = _llvm().create_mcjit_compiler(_parsed(text, machine, target), target)
    engine.finalize_object()
    return Library(engine)


@cache
def _llvm() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm


def _target_machine(machine: Machine, reloc: str, model: str, *, jit: bool) -> Any:
    llvm = _llvm()
    try:
        target = llvm.Target.from_triple(machine.triple)
    except RuntimeError as error:
        raise CodegenError(f"LLVM has no target for triple '{machine.triple}': {error}") from None
    return target.create_target_machine(
        cpu=machine.cpu,
        features=machine.features,
        opt=_OPT,
        reloc=reloc,
        codemodel=model,
        jit=jit,
    )


def _parsed(text: str, machine: Machine, target: Any) -> Any:
    llvm = _llvm()
    try:
        module = llvm.parse_assembly(text)
    except RuntimeError as error:
        raise CodegenError(_explain(str(error), text)) from None
    try:
        module.verify()
    except RuntimeError as error:
        raise CodegenError(f"LLVM's verifier refuses the text: {str(error).strip()}") from None
    module.triple = machine.triple
    module.data_layout = str(target.target_data)
    return module


def _explain(message: str, text: str) -> str:
    found = re.search(r"<string>:(\d+):(\d+): error: (.*)", message)
    if found is None:
        return f"LLVM cannot read the text: {message.strip()}"
    line, column, reason = int(found[1]), int(found[2]), found[3]
    lines = text.splitlines()
    shown = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    return f"LLVM text line {line}, column {column}: {reason}\n    {shown}"
