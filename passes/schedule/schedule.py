"""A loop function under schedule: primitives as methods, every step kept in a trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from passes.ir.expr import Expr, Var
from passes.ir.expr_text import parse_expr
from passes.ir.loop.nodes import Buffer, For, Function, Scope
from passes.schedule import primitives as p
from passes.schedule.trace import Instruction, Layout, Trace
from passes.schedule.tree import (
    ScheduleError,
    get_buffer,
    loops_in,
    path_to_block,
    spell,
    statements,
)

P = ParamSpec("P")
R = TypeVar("R")


class Schedule:
    """`function` is the program so far, `trace` the steps that led to it.

    Loops are handles (the variable), blocks are labels, buffers are names.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.trace = Trace()

    def loops(self, label: str) -> list[Var]:
        """The loops around a block, outermost first."""
        return [s.var for s in loops_in(path_to_block(self.function, label, "loops"))]

    def loop(self, name: str) -> Var:
        """The loop whose variable is spelled so. Raises ScheduleError if there is none."""
        for stmt in statements(self.function):
            if isinstance(stmt, For) and spell(stmt.var) == name:
                return stmt.var
        raise ScheduleError("loop", f"'{name}'", "there is no such loop", self.function)

    def expr(self, text: str) -> Expr:
        """An expression over the function's dims, as `n//8*8`. Raises IRError."""
        return parse_expr(text, {dim.name: dim for dim in self.function.dims})

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
        self.trace.steps.append(Instruction(primitive.__name__, args, result))
        return result

    def _do(
        self,
        primitive: Callable[Concatenate[Function, P], Function],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        self.function = primitive(self.function, *args, **kwargs)
        self.trace.steps.append(Instruction(primitive.__name__, args))

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
        old = get_buffer(self.function, buffer, "transform_layout")
        axes = tuple([Var("i", k) for k in range(len(old.shape))])
        self._do(p.transform_layout, buffer, Layout(axes, tuple(layout(axes))))

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


def replay(function: Function, trace: Trace) -> Schedule:
    """The schedule that the steps of `trace` make of `function`: the traced one, if it is the
    function traced.

    Raises ScheduleError if a step no longer applies, or gives other handles than it did.
    """
    s = Schedule(function)
    for number, step in enumerate(trace):
        primitive = getattr(p, step.name)
        made = primitive(s.function, *step.args)
        new, result = made if isinstance(made, tuple) else (made, None)
        if result != step.result:
            place = f"step {number + 1}, {step.name},"
            reason = "it gives other loops or labels; the trace is of another function"
            raise ScheduleError("replay", place, reason, s.function)
        s.function = new
        s.trace.steps.append(step)
    return s
