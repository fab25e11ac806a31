"""Runs loop functions on numpy arrays, strictly: the meaning of the loop IR.

Out-of-bounds accesses, reads of temporaries never stored to, iterators outside their extents and
(on request) races are errors. Arithmetic has the IR's types: f32 in f32, fixed-width integers
wrap, `index` does not. Statements are compiled to closures; nests around one store run as
whole-array operations with the same results bit for bit (`nests`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from passes.ir.evaluate import integer
from passes.ir.expr import Dim, Var
from passes.ir.loop.closures import THREAD, THREADS, TRACKED, Evaluator, Frame, Run
from passes.ir.loop.lanes import in_step
from passes.ir.loop.memory import Array, ExecutionError, Races, allocate, bind
from passes.ir.loop.multiples import spelled_out
from passes.ir.loop.nodes import (
    BLOCK_AXES,
    PLACES,
    Barrier,
    Buffer,
    For,
    Function,
    If,
    Kernel,
    Launch,
    Seq,
    Stmt,
    While,
)
from passes.ir.loop.statements import Statements, sequence
from passes.ir.loop.traverse import stored_in
from passes.ir.node import IRError, Node, rewrite

TeamRun: TypeAlias = Callable[[list[Frame]], None]


def interpret(
    function: Function,
    dims: Mapping[str, int],
    arrays: Sequence[NDArray[Any]],
    kernels: Mapping[str, Function] | None = None,
    *,
    threads: int = 1,
    check_races: bool = False,
) -> None:
    """Runs `function`; `arrays` are its parameters in order and are changed in place.

    `kernels` are those that a host program launches beside its own.

    A parameter of one axis may be given an array of more: its memory is taken flat. With several
    `threads`, every thread runs the whole body but only its chunk of each parallel loop, one
    thread after the other between barriers, as a lowered kernel does. `check_races` finds
    parallel iterations (threads, if several) that touch what another one stores to.
    A kernel on a device runs block by block, the threads of a block in step from barrier to
    barrier; so one that is missing is found, as a race or as a read of what nobody has stored yet.
    Raises `ExecutionError` for anything the IR forbids.
    """
    races = Races() if check_races else None
    program = _Program(function, dict(kernels or {}), races, {})
    missing = [d.name for d in function.dims if d.name not in dims]
    if missing or len(dims) != len(function.dims):
        wanted = ", ".join(d.name for d in function.dims)
        raise ExecutionError(f"function '{function.name}' takes dims ({wanted}), not {dict(dims)}")
    given = [(np.asanyarray(a), None) for a in arrays]
    with np.errstate(all="ignore"):
        program.launch([dims[d.name] for d in function.dims], given, threads)


def _of_a_team(kernel: Function) -> Function:
    """The function of a thread as one of a team: what a block shares, the team shares."""

    def rule(node: Node) -> Node | None:
        if isinstance(node, Buffer) and node.scope == "shared":
            return node.replace(scope="global")
        return None

    return rewrite(kernel, rule)


class _Program:
    """A compiled function."""

    def __init__(
        self,
        function: Function,
        kernels: dict[str, Function],
        races: Races | None,
        compiled: dict[Function, _Program],
    ) -> None:
        self.function, self.kernels, self.races = function, kernels, races
        self.compiled = compiled
        self.evaluator = Evaluator(function.name, races)
        for node in (*function.dims, *function.params, *function.allocs):
            self.evaluator.slot(node)
        buffers = (*function.params, *function.allocs)
        self.shapes = {b: self.evaluator.roots(b.shape) for b in buffers}
        body = in_step(spelled_out(function.body))
        self.stored = stored_in(body)
        self.private = [b for b in function.allocs if b.scope != "global"]
        self.statements = Statements(self.evaluator, self._launch, self._renew)
        self.team = self._team(body)

    def launch(self, dims: list[int], arrays: Sequence[Array], threads: int) -> None:
        """Runs it with a team of threads."""
        self.team(self.frames(dims, arrays, [(t, threads) for t in range(threads)]))

    def frames(
        self, dims: list[int], arrays: Sequence[Array], team: list[tuple[int, int]]
    ) -> list[Frame]:
        """The frames of the team's threads; what is not private to a thread is shared."""
        function, slots = self.function, self.evaluator.slots
        shared: Frame = [None] * self.evaluator.size
        for dim, value in zip(function.dims, dims, strict=True):
            if not dim.lo <= value <= dim.hi:
                raise ExecutionError(
                    f"function '{function.name}': dim {dim.name} = {value} is outside its declared"
                    f" bounds {dim.lo}..{dim.hi}"
                )
            shared[slots[dim]] = int(value)
        if len(arrays) != len(function.params):
            raise ExecutionError(
                f"function '{function.name}' takes {len(function.params)} arrays, not {len(arrays)}"
            )
        for buffer, array in zip(function.params, arrays, strict=True):
            shape = tuple(self.shapes[buffer].run(shared))
            found = bind(function.name, buffer, shape, array)
            shared[slots[buffer] : slots[buffer] + 2] = found
        self._check_aliases(shared)
        self._allocate(shared, [b for b in function.allocs if b.scope == "global"])
        frames = []
        for thread, count in team:
            frame = list(shared)
            frame[THREAD], frame[THREADS] = thread, count
            self._renew(frame)
            frames.append(frame)
        return frames

    def _renew(self, frame: Frame) -> None:
        self._allocate(frame, self.private)

    def _allocate(self, frame: Frame, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            shape = tuple(self.shapes[buffer].run(frame))
            slot = self.evaluator.slots[buffer]
            frame[slot : slot + 2] = allocate(self.function.name, buffer, shape)

    def _check_aliases(self, frame: Frame) -> None:
        slots, params = self.evaluator.slots, self.function.params
        for written in params:
            for other in params if written in self.stored else ():
                a, b = frame[slots[written]], frame[slots[other]]
                if written is not other and np.may_share_memory(a, b):
                    raise ExecutionError(
                        f"function '{self.function.name}': parameters {written.name} and"
                        f" {other.name} share memory, but {written.name} is stored to"
                    )

    # Teams: statements with barriers inside run in step, others thread by thread

    def _team(self, stmt: Stmt) -> TeamRun:
        if not self._synchronises(stmt):
            return self._each(self.statements.stmt(stmt))
        if isinstance(stmt, Barrier):
            return lambda frames: None
        if isinstance(stmt, Seq):
            return self._team_sequence(stmt)
        if isinstance(stmt, For):
            return self._team_loop(stmt)
        if isinstance(stmt, While):
            holds, body = self.evaluator.roots([stmt.cond]), self._team(stmt.body)

            def repeat(frames: list[Frame]) -> None:
                while self._agreed(frames, holds.run):
                    body(frames)

            return repeat
        if isinstance(stmt, If):
            cond, then = self.evaluator.roots([stmt.cond]), self._team(stmt.then)
            other = self._team(stmt.other) if stmt.other is not None else None

            def branch(frames: list[Frame]) -> None:
                if self._agreed(frames, cond.run):
                    then(frames)
                elif other is not None:
                    other(frames)

            return branch
        if isinstance(stmt, Launch):
            callee, give = self._callee(stmt)

            def launch(frames: list[Frame]) -> None:
                team = [(f[THREAD], f[THREADS]) for f in frames]
                callee.team(callee.frames(*give(frames[0]), team))

            return launch
        raise IRError(f"function '{self.function.name}': a barrier inside a block")

    def _team_sequence(self, stmt: Seq) -> TeamRun:
        parts: list[TeamRun] = []
        plain: list[Run] = []
        for inner in stmt.stmts:
            if not self._synchronises(inner):
                plain.append(self.statements.stmt(inner))
                continue
            if plain:
                parts.append(self._each(sequence(plain)))
            plain = []
            parts.append(self._team(inner))
        if plain:
            parts.append(self._each(sequence(plain)))

        def run(frames: list[Frame]) -> None:
            for part in parts:
                part(frames)

        return run

    def _team_loop(self, stmt: For) -> TeamRun:
        slot, extent = self.evaluator.slot(stmt.var), self.evaluator.roots([stmt.extent])
        body = self._team(stmt.body)
        if stmt.kind == "parallel":
            raise IRError(f"function '{self.function.name}': a barrier inside a parallel loop")

        def run(frames: list[Frame]) -> None:
            for value in range(self._agreed(frames, extent.run)):
                for frame in frames:
                    frame[slot] = value
                body(frames)

        return run

    def _each(self, run: Run) -> TeamRun:
        races = self.races

        def each(frames: list[Frame]) -> None:
            if races is not None and len(frames) > 1:
                races.begin(TRACKED)
            for frame in frames:
                if races is not None and len(frames) > 1:
                    races.turn(frame[THREAD])
                run(frame)
            if races is not None and len(frames) > 1:
                races.end()

        return each

    def _agreed(self, frames: list[Frame], value: Callable[[Frame], list[Any]]) -> Any:
        found = [value(frame)[0] for frame in frames]
        if any(v != found[0] for v in found):
            raise ExecutionError(
                f"function '{self.function.name}': threads disagree about a loop or condition"
                f" around a barrier ({found}), so some would wait for ever"
            )
        return found[0]

    def _synchronises(self, stmt: Stmt) -> bool:
        """Whether all threads meet inside; the threads of a thread block meet on their own."""
        if isinstance(stmt, Barrier):
            return True
        if isinstance(stmt, Launch) and self._device(stmt) is None:
            kernel = self._kernel(stmt)
            shared = any(b.scope == "global" for b in kernel.allocs)
            return shared or self._synchronises(kernel.body)
        if isinstance(stmt, For) and stmt.kind in BLOCK_AXES:
            return False
        return any(self._synchronises(s) for s in stmt.children if isinstance(s, Stmt))

    # Kernels

    def _device(self, stmt: Launch) -> Kernel | None:
        """The kernel of a launch, if it runs on a device."""
        own = [k for k in self.function.kernels if k.function.name == stmt.kernel]
        return own[0] if own else None

    def _kernel(self, stmt: Launch) -> Function:
        kernel = self.kernels.get(stmt.kernel)
        if kernel is None:
            known = ", ".join(sorted(self.kernels)) or "none"
            raise ExecutionError(
                f"function '{self.function.name}' launches '{stmt.kernel}', which is not among"
                f" the kernels given ({known})"
            )
        return kernel

    def _launch(self, stmt: Launch) -> Run:
        device = self._device(stmt)
        if device is not None:
            return self._grid(stmt, device)
        callee, give = self._callee(stmt)

        def launch(frame: Frame) -> None:
            callee.team(callee.frames(*give(frame), [(frame[THREAD], frame[THREADS])]))

        return launch

    def _grid(self, stmt: Launch, kernel: Kernel) -> Run:
        """A launch on a device: block by block, each run by a team of threads."""
        program = _Program(_of_a_team(kernel.function), {}, self.races, self.compiled)
        dims = self.evaluator.roots(stmt.dims)
        slots = [self.evaluator.slot(buffer) for buffer in stmt.buffers]
        named = kernel.function.dims[: len(stmt.dims)]
        bound = [list(PLACES.values()).index(dim.name) for dim in kernel.place]

        def launch(frame: Frame) -> None:
            given = dims.run(frame)
            values: dict[Dim | Var, int] = dict(zip(named, given, strict=True))
            threads = math.prod([integer(e, values) for e in kernel.threads])
            spans = [range(integer(e, values)) for e in kernel.grid]
            arrays = [(frame[slot], frame[slot + 1]) for slot in slots]
            for place in itertools.product(*spans):
                program.launch([*given, *[place[axis] for axis in bound]], arrays, threads)

        return launch

    def _callee(
        self, stmt: Launch
    ) -> tuple[_Program, Callable[[Frame], tuple[list[int], list[Array]]]]:
        kernel = self._kernel(stmt)
        if kernel not in self.compiled:
            self.compiled[kernel] = _Program(kernel, self.kernels, self.races, self.compiled)
        if len(stmt.dims) != len(kernel.dims):
            raise ExecutionError(
                f"function '{self.function.name}' launches '{kernel.name}' with {len(stmt.dims)}"
                f" dims; it takes {len(kernel.dims)}"
            )
        dims = self.evaluator.roots(stmt.dims)
        slots = [self.evaluator.slot(buffer) for buffer in stmt.buffers]

        def give(frame: Frame) -> tuple[list[int], list[Array]]:
            return dims.run(frame), [(frame[s], frame[s + 1]) for s in slots]

        return self.compiled[kernel], give
