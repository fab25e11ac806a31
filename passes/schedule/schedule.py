"""A loop function under schedule: primitives as methods, every step kept in a trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from passes.ir.expr import Expr, Var
from passes.ir.loop.nodes import Buffer, Function, Scope
from passes.schedule import primitives as p
from passes.schedule.tree import get_buffer, loops_in, path_to_block

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Instruction:
    """One step of a schedule: the primitive's name and its arguments after the function."""

    name: str
    args: tuple[Any, ...]


class Schedule:
    """`function` is the program so far, `trace` the steps that led to it.

    Loops are handles (the variable), blocks are labels, buffers are names.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.trace: list[Instruction] = []

    def loops(self, label: str) -> list[Var]:
        """The loops around a block, outermost first."""
        return [s.var for s in loops_in(path_to_block(self.function, label, "loops"))]

    def buffer(self, name: str) -> Buffer:
        """The buffer of that name (with or without its ordinal)."""
        return get_buffer(self.function, name, "buffer")

    def _with(
        self,
        primitive: Callable[Concatenate[Function, P], tuple[Function, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        self.function, result = primitive(self.function, *args, **kwargs)
        self.trace.append(Instruction(primitive.__name__, args))
        return result

    def _do(
        self,
        primitive: Callable[Concatenate[Function, P], Function],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        self.function = primitive(self.function, *args, **kwargs)
        self.trace.append(Instruction(primitive.__name__, args))

    def split(self, loop: Var, factor: int) -> tuple[Var, Var]:
        return self._with(p.split, loop, factor)

    def fuse(self, *loops: Var) -> Var:
        """All the loops, nested in this order, as one."""
        whole = loops[0]
        for loop in loops[1:]:
            whole = self._with(p.fuse, whole, loop)
        return whole

    def reorder(self, *order: Var) -> None:
        self._do(p.reorder, *order)

    def parallel(self, loop: Var) -> None:
        self._do(p.parallel, loop)

    def vectorize(self, loop: Var) -> None:
        self._do(p.vectorize, loop)

    def unroll(self, loop: Var) -> None:
        self._do(p.unroll, loop)

    def loop_partition(
        self, loops: Sequence[Var], point: Expr
    ) -> tuple[tuple[Var, ...], tuple[Var, ...]]:
        return self._with(p.loop_partition, tuple(loops), point)

    def merge(self, first: Var, second: Var) -> None:
        self._do(p.merge, first, second)

    def cache_write(self, label: str, scope: Scope) -> str:
        return self._with(p.cache_write, label, scope)

    def reindex_cache_read(self, label: str, factor: int, scope: Scope) -> str:
        return self._with(p.reindex_cache_read, label, factor, scope)

    def set_scope(self, buffer: str, scope: Scope) -> None:
        self._do(p.set_scope, buffer, scope)

    def transform_layout(self, buffer: str, layout: p.IndexMap) -> None:
        self._do(p.transform_layout, buffer, layout)

    def compute_at(self, label: str, loop: Var) -> None:
        self._do(p.compute_at, label, loop)

    def compute_inline(self, label: str) -> None:
        self._do(p.compute_inline, label)

    def decompose_reduction(self, label: str, loop: Var) -> str:
        return self._with(p.decompose_reduction, label, loop)

    def rfactor(self, label: str, loop: Var, scope: Scope = "global") -> str:
        return self._with(p.rfactor, label, loop, scope)

    def tensorize(self, loop: Var, intrinsic: str) -> None:
        self._do(p.tensorize, loop, intrinsic)
