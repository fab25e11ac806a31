"""Runs a split function: the host program, and each launch block by block.

The threads of a block run in step, from barrier to barrier; a barrier that not all of them reach
is an error. Between two barriers one thread runs after the other, so that what a missing barrier
would leave to chance is found (as a race, or as a read of what nobody has stored yet).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passes.codegen.lower.device import Kernel, Split
from passes.ir.evaluate import evaluate, integer
from passes.ir.expr import Dim, Expr, Var
from passes.ir.loop.interpret import interpret
from passes.ir.loop.memory import poison
from passes.ir.loop.nodes import Buffer, For, Function, If, Launch, Seq, Stmt
from passes.ir.node import Node, rewrite

Arrays = dict[Buffer, NDArray[Any]]


def run_split(
    split: Split,
    dims: Mapping[str, int],
    arrays: Sequence[NDArray[Any]],
    *,
    check_races: bool = False,
) -> None:
    """Runs the host program; `arrays` are its parameters in order and are changed in place.

    Raises ExecutionError for anything the IR forbids.
    """
    values: dict[Dim | Var, int] = {dim: dims[dim.name] for dim in split.host.dims}
    memory: Arrays = dict(zip(split.host.params, arrays, strict=True))
    for buffer in split.host.allocs:
        shape = tuple([integer(extent, values) for extent in buffer.shape])
        memory[buffer] = np.full(shape, poison(buffer.dtype), buffer.dtype.numpy)
    _Host(split, memory, check_races).run(split.host.body, values)


class _Host:
    def __init__(self, split: Split, memory: Arrays, check_races: bool) -> None:
        self.memory, self.check_races = memory, check_races
        self.kernels = {
            name: (kernel, _in_blocks(kernel.function)) for name, kernel in split.kernels.items()
        }

    def run(self, stmt: Stmt, values: Mapping[Dim | Var, int]) -> None:
        match stmt:
            case Seq(stmts):
                for inner in stmts:
                    self.run(inner, values)
            case For(var, extent, body):
                for value in range(integer(extent, values)):
                    self.run(body, {**values, var: value})
            case If(cond, then, other):
                if bool(evaluate(cond, values)):
                    self.run(then, values)
                elif other is not None:
                    self.run(other, values)
            case Launch(name, dims, buffers):
                self._launch(*self.kernels[name], dims, buffers, values)

    def _launch(
        self,
        kernel: Kernel,
        function: Function,
        dims: Sequence[Expr],
        buffers: Sequence[Buffer],
        values: Mapping[Dim | Var, int],
    ) -> None:
        given = [integer(e, values) for e in dims]
        grid = [integer(extent, values) for extent in kernel.grid]
        threads = [integer(extent, values) for extent in kernel.block]
        names = [dim.name for dim in function.dims]
        bound = {dim.name for dim in kernel.indices}
        axes = [k for k, axis in enumerate(("block_x", "block_y", "block_z")) if axis in bound]
        for place in product(*[range(extent) for extent in grid]):
            known = dict(zip(names, [*given, *[place[k] for k in axes]], strict=True))
            interpret(
                function,
                known,
                [self.memory[buffer] for buffer in buffers],
                threads=int(np.prod(threads)),
                check_races=self.check_races,
            )


def _in_blocks(function: Function) -> Function:
    """The function as a team of threads runs it: what a block shares, the team shares."""

    def rule(node: Node) -> Node | None:
        if isinstance(node, Buffer) and node.scope == "shared":
            return node.replace(scope="global")
        return None

    return rewrite(function, rule)
