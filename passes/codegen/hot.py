"""The hot loop of a kernel, found in its assembly.

Static structure decides: of the innermost loops (a branch back to a label, no such loop inside) it
is the one with the most instructions on vectors; without vectors, the longest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from passes.codegen.emit import BARRIER
from passes.codegen.native import CodegenError, Machine, assembly

_LABEL = re.compile(r"^(\.?L\w+):")
_INSTRUCTION = re.compile(r"^\t[a-z]")
_JUMP = re.compile(r"^\t(?:j\w+|b(?:\.\w+)?|cbn?z|tbn?z)\s.*?(\.?L\w+)\s*$")
_VECTOR = re.compile(r"%[xyz]mm\d|\b[vzq]\d+\b")


@dataclass(frozen=True)
class HotLoop:
    """The lines of a loop, from its label to the branch back, without directives."""

    lines: tuple[str, ...]
    instructions: int
    on_vectors: int


def kernel_assembly(library: str, symbol: str, machine: Machine) -> str:
    """The assembly of one function of a library's LLVM text.

    Raises CodegenError if the text does not define it.
    """
    quoted = re.escape(symbol)
    found = re.search(rf"^define [^\n]*@{quoted}\(.*?^}}$", library, re.M | re.S)
    if found is None:
        raise CodegenError(f"the text defines no function '{symbol}'")
    lines = {*re.findall(r"^declare .*$", library, re.M), f"declare void @{BARRIER}(ptr, i64, i64)"}
    called = set(re.findall(r"@([\w.]+)\(", found[0]))
    needed = sorted(line for line in lines if re.findall(r"@([\w.]+)\(", line)[0] in called)
    return assembly("\n".join([*needed, found[0], ""]), machine)


def hot_loop(text: str) -> HotLoop | None:
    """The hot loop of a function's assembly; None if it has no loop."""
    lines = text.splitlines()
    labels = {
        match[1]: number for number, line in enumerate(lines) if (match := _LABEL.match(line))
    }
    loops: list[tuple[int, int]] = []
    for number, line in enumerate(lines):
        jump = _JUMP.match(line)
        start = labels.get(jump[1], number + 1) if jump else number + 1
        if start <= number:
            loops.append((start, number))
    inner = [
        one
        for one in loops
        if not any(other != one and one[0] <= other[0] and other[1] <= one[1] for other in loops)
    ]
    made = [_loop(lines[start : stop + 1]) for start, stop in inner]
    return max(made, key=lambda loop: (loop.on_vectors, loop.instructions), default=None)


def _loop(lines: list[str]) -> HotLoop:
    kept = [line for line in lines if _INSTRUCTION.match(line) or _LABEL.match(line)]
    instructions = [line for line in kept if _INSTRUCTION.match(line)]
    vectors = sum(1 for line in instructions if _VECTOR.search(line))
    return HotLoop(tuple(kept), len(instructions), vectors)
