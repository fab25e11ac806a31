"""A loop function under schedule: primitives as methods, every step kept in a trace."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import isfunction
from typing import Any, Literal, TypeVar

from passes.ir.expr import Expr, Var
from passes.ir.loop.nodes import Attr, BlockAxis, Scope, ThreadAxis
from passes.schedule import primitives as p
from passes.schedule.arguments import asked_of
from passes.schedule.decisions import Location
from passes.schedule.recorder import Recorder
from passes.schedule.tree import ScheduleError

C = TypeVar("C")


def _documented(cls: type[C]) -> type[C]:
    """The class, its methods with the text of the primitives of their names; what these ask for
    is read now, not when the first step of each is taken."""
    for name, method in vars(cls).items():
        if isfunction(method):
            primitive = getattr(p, name)
            method.__doc__ = method.__doc__ or primitive.__doc__
            asked_of(primitive)
    return cls


@_documented
class Schedule(Recorder):
    """The primitives as methods, which give the handles that a primitive gives with its function.

    s = Schedule(function)
    i, j = s.loops("dot")
    i_o, i_i = s.split(i, 4)
    """

    def split(
        self, loop: Var, factors: p.Factor | Sequence[p.Factor], predicate: bool = True
    ) -> tuple[Var, ...]:
        return self._with(p.split, loop, _tuple(factors), *([] if predicate else [False]))

    def add_unit_loop(self, at: Var | str) -> Var:
        return self._with(p.add_unit_loop, at)

    def fuse(self, *loops: Var) -> Var:
        """All the loops, nested in this order, as one."""
        if not loops:
            raise ScheduleError("fuse", "loops", "no loop is named", self.function)
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

    def bind(self, loop: Var, thread: BlockAxis | ThreadAxis) -> None:
        self._do(p.bind, loop, thread)

    def loop_partition(
        self, loops: Sequence[Var], point: Expr | int
    ) -> tuple[tuple[Var, ...], tuple[Var, ...]]:
        return self._with(p.loop_partition, _tuple(loops), point)

    def merge(self, first: Var, second: Var) -> None:
        self._do(p.merge, first, second)

    def cache_read(self, label: str, buffer: str, scope: Scope) -> str:
        return self._with(p.cache_read, label, buffer, scope)

    def cache_write(self, label: str, scope: Scope, buffer: str | None = None) -> str:
        return self._with(p.cache_write, label, scope, *([] if buffer is None else [buffer]))

    def cache_index(self, label: str, buffer: str, scope: Scope) -> tuple[str, ...]:
        return self._with(p.cache_index, label, buffer, scope)

    def reindex(self, label: str, buffer: str, access: p.Access) -> str:
        return self._with(p.reindex, label, buffer, access)

    def reindex_cache_read(
        self, label: str, what: int | str, scope: Scope, layout: p.IndexMap | None = None
    ) -> str:
        return self._with(p.reindex_cache_read, label, what, scope, *_given(layout))

    def reindex_cache_write(
        self,
        label: str,
        scope: Scope,
        layout: p.IndexMap | None = None,
        buffer: str | None = None,
    ) -> str:
        return self._with(p.reindex_cache_write, label, scope, *_given(layout, buffer))

    def set_scope(self, buffer: str, scope: Scope) -> None:
        self._do(p.set_scope, buffer, scope)

    def storage_align(self, buffer: str, axis: int, factor: int, offset: int) -> None:
        self._do(p.storage_align, buffer, axis, factor, offset)

    def transform_layout(
        self, buffer: str, layout: p.IndexMap, pad: bool | int | float | None = None
    ) -> None:
        self._do(p.transform_layout, buffer, layout, *_given(pad))

    def transform_block_layout(self, label: str, layout: p.IndexMap) -> tuple[Var, ...]:
        return self._with(p.transform_block_layout, label, layout)

    def annotate(self, at: Var | str, key: str, value: Attr) -> None:
        self._do(p.annotate, at, key, value)

    def unannotate(self, at: Var | str, key: str) -> None:
        self._do(p.unannotate, at, key)

    def compute_at(self, label: str, loop: Var) -> None:
        self._do(p.compute_at, label, loop)

    def reverse_compute_at(self, label: str, loop: Var) -> None:
        self._do(p.reverse_compute_at, label, loop)

    def place(self, label: str, location: Location | Var | Literal["inline", "root"]) -> None:
        given: Any = location
        self._do(p.place, label, given)

    def compute_inline(self, label: str) -> None:
        self._do(p.compute_inline, label)

    def reverse_compute_inline(self, label: str) -> None:
        self._do(p.reverse_compute_inline, label)

    def fuse_reduction_epilogue(self, reduction: str, epilogue: str) -> None:
        self._do(p.fuse_reduction_epilogue, reduction, epilogue)

    def decompose_padding(self, label: str, loop: Var) -> str:
        return self._with(p.decompose_padding, label, loop)

    def pad_einsum(self, label: str, padding: Sequence[int]) -> tuple[str, ...]:
        return self._with(p.pad_einsum, label, _tuple(padding))

    def rolling_buffer(self, label: str, axis: int) -> None:
        self._do(p.rolling_buffer, label, axis)

    def software_pipeline(
        self,
        loop: Var,
        stages: Sequence[int],
        order: Sequence[int],
        asynchronous: Sequence[int] = (),
    ) -> None:
        given = _tuple(stages), _tuple(order), _tuple(asynchronous)
        self._do(p.software_pipeline, loop, *given)

    def decompose_reduction(self, label: str, loop: Var) -> str:
        return self._with(p.decompose_reduction, label, loop)

    def trim(self, label: str, loop: Var) -> None:
        self._do(p.trim, label, loop)

    def rfactor(self, label: str, loop: Var, scope: Scope = "global") -> str:
        return self._with(p.rfactor, label, loop, scope)

    def blockize(self, loop: Var) -> str:
        return self._with(p.blockize, loop)

    def tensorize(self, target: Var | str, intrinsic: str) -> None:
        self._do(p.tensorize, target, intrinsic)


def _tuple(value: Any) -> Any:
    """A sequence as a trace keeps it."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _given(*options: Any) -> list[Any]:
    """The options up to the last one that is not None."""
    used = [k for k, option in enumerate(options) if option is not None]
    return list(options[: used[-1] + 1]) if used else []
