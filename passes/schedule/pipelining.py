"""Which software pipelines of a loop are legal, and how many versions of a buffer they need.

The statements of the body run in stages: at time t, a statement of stage s does its work of
iteration t - s, and within one time the statements come in the order given.

    stages 0, 1          time 0: a(0)      time 1: a(1), b(0)      time 2: a(2), b(1)      …

A loop carries its pipeline as annotations, which the lowering carries out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from passes.ir.expr import Const
from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import (
    BLOCK_AXES,
    IN_REGISTERS,
    AsyncGroup,
    AsyncWait,
    Attr,
    Barrier,
    Buffer,
    For,
    Function,
    Seq,
    Stmt,
    While,
)
from passes.ir.node import IRError
from passes.schedule.accesses import Access, accesses, ranges
from passes.schedule.dependence import disjoint, inner_loops, steady
from passes.schedule.filling import iteration_private
from passes.schedule.tree import Refusal, loaded, loops_in, path_to_loop, statements, written

NOTES = STAGES, ORDER, ASYNC = "pipeline_stages", "pipeline_order", "pipeline_async"
Asked = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
Fail = Callable[[str], IRError]


@dataclass(frozen=True)
class Pipeline:
    """A legal one: stage and place in the order of each statement of the loop's body, the stages
    whose statements copy asynchronously, and the buffers that need several versions."""

    loop: For
    stages: tuple[int, ...]
    order: tuple[int, ...]
    asynchronous: tuple[int, ...]
    versions: Mapping[Buffer, int]

    @property
    def depth(self) -> int:
        """The last stage."""
        return max(self.stages)

    @property
    def statements(self) -> tuple[Stmt, ...]:
        assert isinstance(self.loop.body, Seq)
        return self.loop.body.stmts


def notes(
    stages: Sequence[int], order: Sequence[int], asynchronous: Sequence[int]
) -> tuple[tuple[str, Attr], ...]:
    """A pipeline as annotations of its loop."""
    noted = [(STAGES, stages), (ORDER, order), (ASYNC, asynchronous)]
    return tuple([(key, " ".join(map(str, numbers))) for key, numbers in noted if numbers])


def noted(loop: For) -> Asked | None:
    """Stages, order and asynchronous stages that the loop's annotations ask for, if they do."""
    found = dict(loop.annotations)
    if STAGES not in found and ORDER not in found:
        return None
    texts = [str(found.get(key, "")).split() for key in (STAGES, ORDER, ASYNC)]
    if any(not word.isdecimal() for words in texts for word in words):
        return (), (), ()
    stages, order, asynchronous = [tuple([int(word) for word in words]) for words in texts]
    return stages, order, asynchronous


def planned(
    function: Function,
    loop: For,
    stages: Sequence[int],
    order: Sequence[int],
    asynchronous: Sequence[int],
    fail: Fail,
) -> Pipeline:
    """The pipeline of the loop. Raises what `fail` makes of the reason why there is none."""
    body = loop.body
    count = len(body.stmts) if isinstance(body, Seq) else 1
    if count < 2:
        raise fail("its body is one statement, with nothing to overlap")
    if len(stages) != count or sorted(order) != list(range(count)):
        raise fail(f"its body has {count} statements, each with one stage and place in the order")
    if min(stages) != 0:
        raise fail("stages are numbered from 0")
    if loop.kind not in ("serial", "unrolled"):
        raise fail(f"it is {loop.kind}; a pipeline needs a serial or an unrolled loop")
    if any(isinstance(s, Barrier | AsyncGroup | AsyncWait) for s in statements(loop.body)):
        raise fail("it holds barriers or asynchronous copies already")
    if not steady(loop.extent, written(loop.body)):
        raise fail("its extent reads memory that it stores to")
    times = list(zip(stages, order, strict=True))
    versions = _Conflicts(function, loop, times, fail).versions()
    plan = Pipeline(loop, tuple(stages), tuple(order), tuple(sorted(asynchronous)), versions)
    _check_copies(function, plan, fail)
    return plan


def kept_pipelines(function: Function, refuse: Refusal) -> Function:
    """The function, if the pipelines that its loops carry can be carried out.

    Every primitive that touches loops or buffers ends with it. Raises ScheduleError.
    """
    for loop in (s for s in statements(function) if isinstance(s, For) and s.annotations):
        asked = noted(loop)
        if asked is not None:
            planned(function, loop, *asked, _broken(loop, refuse))
    return function


def _broken(loop: For, refuse: Refusal) -> Fail:
    start = f"the pipeline of loop {name_of(loop.var)} could not be carried out: "
    return lambda reason: refuse(start + reason)


def _check_copies(function: Function, plan: Pipeline, fail: Fail) -> None:
    """Asynchronous stages copy what the loop does not change, for later stages."""
    if not plan.asynchronous:
        return
    around = loops_in(path_to_loop(function, plan.loop.var, "software_pipeline"))
    for one in around:
        if one.kind not in ("serial", "unrolled", "parallel", *BLOCK_AXES):
            raise fail(
                f"asynchronous copies cannot be issued in {one.kind} loop {name_of(one.var)};"
                " iterations of parallel loops issue them, and thread blocks"
            )
    for stage in plan.asynchronous:
        mine = [k for k, s in enumerate(plan.stages) if s == stage]
        places = sorted(plan.order[k] for k in mine)
        if not mine:
            raise fail(f"no statement is of the asynchronous stage {stage}")
        if places != list(range(places[0], places[0] + len(places))):
            raise fail(f"the statements of asynchronous stage {stage} do not follow one another")
        for k in mine:
            stmt = plan.statements[k]
            changing = sorted(name_of(b) for b in loaded(stmt) & written(plan.loop))
            if changing:
                raise fail(f"an asynchronous copy reads '{changing[0]}', which the loop stores to")
            for buffer in sorted(written(stmt), key=name_of):
                others = [j for j, other in enumerate(plan.statements) if buffer in loaded(other)]
                if not others or any(plan.stages[j] <= stage for j in others):
                    raise fail(f"no later stage alone waits for the copy to '{name_of(buffer)}'")
                if any(
                    buffer in written(other) for j, other in enumerate(plan.statements) if j != k
                ):
                    raise fail(f"'{name_of(buffer)}' is copied asynchronously and stored to")


class _Conflicts:
    """What the new order changes: accesses to one element that would change places.

    `times` has the stage and the place of each statement: work of iteration i is done at time
    (i + stage, place).
    """

    def __init__(
        self, function: Function, loop: For, times: Sequence[tuple[int, int]], fail: Fail
    ) -> None:
        self.function, self.loop, self.times, self.fail = function, loop, times, fail
        self.known = ranges(function)
        self.found = accesses(loop.body)
        self.stored = written(loop)

    def versions(self) -> dict[Buffer, int]:
        """How many versions each buffer needs that needs more than one."""
        needed: dict[Buffer, int] = {}
        for buffer in sorted(self.stored, key=lambda b: b.ordinal):
            distances = [d for a, b, d in self._changed(buffer) if not self._apart(a, b, d)]
            if 0 in distances:
                raise self.fail(f"a statement would use '{name_of(buffer)}' before it is computed,"
                                " or change it before it is used")  # fmt: skip
            if distances:
                self._check_private(buffer)
                needed[buffer] = self._count(buffer)
                self._check_registers(buffer, needed[buffer])
        return needed

    def _pairs(self, buffer: Buffer) -> Iterator[tuple[int, Access, int, Access]]:
        """Accesses of different statements of which one is a store."""
        mine = [(a.path[0][1], a) for a in self.found if a.buffer is buffer]
        for k, a in mine:
            for j, b in mine:
                if k != j and (a.is_store or b.is_store):
                    yield k, a, j, b

    def _changed(self, buffer: Buffer) -> Iterator[tuple[Access, Access, int]]:
        """(a, b, d): `a` came before `b` of d iterations later, and would come after it."""
        seen = set()
        for k, a, j, b in self._pairs(buffer):
            lead = self.times[k][0] - self.times[j][0]
            last = lead if self.times[k][1] > self.times[j][1] else lead - 1
            key = a.indices, b.indices, k, j
            if key not in seen:
                seen.add(key)
                yield from ((a, b, d) for d in range(0 if k < j else 1, last + 1))

    def _apart(self, a: Access, b: Access, distance: int) -> bool:
        """Whether `a` and, `distance` iterations later, `b` never touch the same element."""
        var = self.loop.var
        low, high = self.known[var]
        known = {**self.known, var: (low, high - distance)}
        moved = {var: var + distance}
        return disjoint(a, b, inner_loops(self.loop), known, self.stored, moved)

    def _check_private(self, buffer: Buffer) -> None:
        """Each iteration may have the buffer for itself."""
        name = name_of(buffer)
        if buffer not in self.function.allocs:
            raise self.fail(f"parameter '{name}' would be used in another order")
        whole = accesses(self.function.body)
        inside = sum(a.buffer is buffer for a in self.found)
        if sum(a.buffer is buffer for a in whole) != inside:
            raise self.fail(f"'{name}' is used outside the loop too, and in another order inside")
        around = path_to_loop(self.function, self.loop.var, "software_pipeline")[:-1]
        outer = [
            s.var if isinstance(s, For) else None for s in around if isinstance(s, For | While)
        ]
        if not iteration_private(self.loop, buffer, self.found, self.known, tuple(outer)):
            raise self.fail(f"an iteration may read what another one left in '{name}'")
        if buffer.strides is not None or buffer.distribution is not None:
            raise self.fail(f"'{name}' has a layout of its own; it cannot have versions")

    def _check_registers(self, buffer: Buffer, count: int) -> None:
        """Which of several registers is meant is known when the program is lowered."""
        written_out = self.loop.kind == "unrolled" and isinstance(self.loop.extent, Const)
        if buffer.scope in IN_REGISTERS and not written_out:
            raise self.fail(
                f"'{name_of(buffer)}' is in registers and needs {count} versions, of which each"
                " iteration takes another; split the loop and unroll the part that is pipelined,"
                " or set_scope the buffer to memory"
            )

    def _count(self, buffer: Buffer) -> int:
        """The least number of versions with which no later iteration comes too early."""
        least = 1
        for k, _, j, _ in self._pairs(buffer):
            lead = self.times[k][0] - self.times[j][0]
            least = max(least, lead + (self.times[k][1] > self.times[j][1]))
        return least
