"""Launches in phases: what depends on each other is separated by a barrier, nothing else is.

    a; b (reads a); c; d (reads b, c)   ->   a; c; barrier; b; barrier; d

The dependences are true ones: through memory, one of the two writing. A launch goes to the first
phase it can, so the number of barriers is the length of the longest chain, the least there is.
Launches of one phase run without waiting for each other, in the order they had.
"""

from __future__ import annotations

from collections.abc import Mapping

from passes.ir.loop.nodes import Barrier, Buffer, Function, Launch, Seq, Stmt, seq
from passes.ir.loop.traverse import loaded_in, stored_in
from passes.ir.node import IRError


def launches_of(function: Function) -> list[list[Launch]]:
    """The launches between barriers. Raises IRError if the host program has other statements."""
    phases: list[list[Launch]] = [[]]
    body: tuple[Stmt, ...] = (function.body,)
    if isinstance(function.body, Seq):
        body = function.body.stmts
    for stmt in body:
        if isinstance(stmt, Launch):
            phases[-1].append(stmt)
        elif isinstance(stmt, Barrier):
            phases.append([])
        else:
            raise IRError(f"host program '{function.name}' has a {type(stmt).__name__} statement")
    return phases


def insert_barriers(function: Function, kernels: Mapping[str, Function]) -> Function:
    """The same launches, ordered into phases with barriers between them."""
    written: dict[Buffer, int] = {}  # buffer -> the phase of its last writer
    read: dict[Buffer, int] = {}  # buffer -> the last phase that reads it
    phases: list[list[Stmt]] = []
    accessed: dict[str, tuple[frozenset[int], frozenset[int]]] = {}
    for launch in [launch for phase in launches_of(function) for launch in phase]:
        if launch.kernel not in accessed:
            accessed[launch.kernel] = _accesses(kernels[launch.kernel])
        loads, stores = [
            {launch.buffers[number] for number in numbers} for numbers in accessed[launch.kernel]
        ]
        phase = 0
        for buffer in loads | stores:
            phase = max(phase, written.get(buffer, -1) + 1)
        for buffer in stores:
            phase = max(phase, read.get(buffer, -1) + 1)
        for buffer in loads:
            read[buffer] = max(phase, read.get(buffer, -1))
        for buffer in stores:
            written[buffer] = phase
        while len(phases) <= phase:
            phases.append([])
        phases[phase].append(launch)
    body = [stmt for phase in phases for stmt in (Barrier(), *phase)]
    return function.replace(body=seq(*body[1:]))


def _accesses(kernel: Function) -> tuple[frozenset[int], frozenset[int]]:
    """The parameters that a kernel loads from, and those it stores to."""
    loaded = loaded_in(kernel.body)
    stored = stored_in(kernel.body)
    return (
        frozenset(i for i, buffer in enumerate(kernel.params) if buffer in loaded),
        frozenset(i for i, buffer in enumerate(kernel.params) if buffer in stored),
    )
