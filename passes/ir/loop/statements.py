"""What one thread does: statements as closures over its frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from passes.ir.dtypes import INDEX
from passes.ir.loop.closures import BLOCK, THREAD, THREADS, TRACKED, Evaluator, Frame, Run
from passes.ir.loop.copies import land
from passes.ir.loop.memory import Races
from passes.ir.loop.nests import Let, Nest, Range, legal
from passes.ir.loop.nodes import (
    BLOCK_AXES,
    CONCURRENT,
    THREAD_AXES,
    AsyncGroup,
    AsyncWait,
    Barrier,
    Block,
    For,
    If,
    Launch,
    Seq,
    Stmt,
    Store,
    Update,
    While,
)
from passes.ir.loop.stores import Stores
from passes.ir.node import IRError, postorder


class Statements(Stores):
    """Compiles the statements of one function.

    `launch` gives the closure of a kernel call; `renew` forgets what is private to a thread.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        launch: Callable[[Launch], Run],
        renew: Callable[[Frame], None],
    ) -> None:
        super().__init__(evaluator)
        self.launch, self.renew = launch, renew
        self.parallel = False  # while compiling: inside a concurrent loop
        self.whole = True  # while compiling: whole-array operations may be tried
        self._queues: dict[str, int] = {}  # their slots: groups on their way, or None
        self._done: dict[tuple[Stmt, bool, int | None], Run] = {}

    def stmt(self, stmt: Stmt) -> Run:
        """What one thread does for a statement."""
        key = stmt, self.whole, self.group
        if key not in self._done:
            self._done[key] = self._compile(stmt)
        return self._done[key]

    def _compile(self, stmt: Stmt) -> Run:
        if isinstance(stmt, For):
            return (self._nest(stmt) if self.whole else None) or self._loop(stmt)
        if isinstance(stmt, Store):
            return self.store(stmt)
        if isinstance(stmt, Block):
            return self._block(stmt)
        if isinstance(stmt, Seq):
            return sequence([self.stmt(inner) for inner in stmt.stmts])
        if isinstance(stmt, If):
            return self._if(stmt)
        if isinstance(stmt, While):
            return self._while(stmt)
        if isinstance(stmt, Update):
            return self.update(stmt)
        if isinstance(stmt, AsyncGroup):
            return self._async_group(stmt)
        if isinstance(stmt, AsyncWait):
            return self._async_wait(stmt)
        if isinstance(stmt, Launch):
            return self.launch(stmt)
        if isinstance(stmt, Barrier):  # of a thread block, whose loops run one after the other
            return sequence([])
        raise IRError(
            f"function '{self.evaluator.function}': no meaning for a"
            f" {type(stmt).__name__} statement"
        )

    def _nest(self, stmt: For) -> Run | None:
        """The loop and those directly inside it as whole-array operations, where possible."""
        loops: list[For] = []
        inside: list[Block | If] = []
        inner: Stmt | None = stmt
        while not isinstance(inner, Store):
            if isinstance(inner, For) and not (inner.kind in CONCURRENT and self.evaluator.races):
                loops.append(inner)
                inner = inner.body
            elif (
                isinstance(inner, Block)
                and not inner.views
                and (inner.init is None or isinstance(inner.body, Store))
            ):
                inside.append(inner)
                inner = inner.body
            elif isinstance(inner, If) and inner.other is None:
                inside.append(inner)
                inner = inner.then
            else:
                return None
        if not legal(loops, inside, inner):
            return None
        was = self.parallel
        spans: list[tuple[int, Range]] = []
        for loop in loops:
            spans.append((self.evaluator.slot(loop.var), self._span(loop)))
            self.parallel = self.parallel or loop.kind in CONCURRENT
        self.parallel = was
        lets = [self._let(item) for item in inside]
        last = inside[-1] if inside else None
        init = last.init if isinstance(last, Block) and isinstance(last.init, Store) else None
        nest = Nest(self.evaluator, spans, lets, inner, init)
        self.whole, was = False, self.whole
        bodies = [self.stmt(part) for part in (stmt, *[loop.body for loop in loops])]
        self.whole = was
        return lambda frame: nest.run(frame, bodies)

    def _span(self, stmt: For) -> Range:
        """The part of a loop that a thread runs: [low, high)."""
        extent = self.evaluator.compile(stmt.extent)
        if stmt.kind not in CONCURRENT or self.parallel:
            return lambda frame: (0, int(extent(frame)))

        def chunk(frame: Frame) -> tuple[int, int]:
            whole, thread, count = int(extent(frame)), frame[THREAD], frame[THREADS]
            return thread * whole // count, (thread + 1) * whole // count

        return chunk

    def _loop(self, stmt: For) -> Run:
        slot, span = self.evaluator.slot(stmt.var), self._span(stmt)
        kind = stmt.var.dtype
        outermost = stmt.kind in CONCURRENT and not self.parallel
        self.parallel = self.parallel or outermost
        body = self.stmt(stmt.body)
        if outermost:
            self.parallel = False
        if stmt.kind == "parallel" or stmt.kind in BLOCK_AXES:
            body = self._with_queues(stmt, body)
        if self.evaluator.races is not None and (
            outermost or stmt.kind in BLOCK_AXES or stmt.kind in THREAD_AXES
        ):
            return self._watched(stmt, span, body, self.evaluator.races)
        if kind != INDEX:
            typed = kind.numpy.type

            def run_typed(frame: Frame) -> None:
                for value in range(*span(frame)):
                    frame[slot] = typed(value)
                    body(frame)

            return run_typed

        def run(frame: Frame) -> None:
            for frame[slot] in range(*span(frame)):  # noqa: B020
                body(frame)

        return run

    def _watched(self, stmt: For, span: Range, body: Run, races: Races) -> Run:
        """A concurrent loop whose iterations are checked against each other."""
        slot = self.evaluator.slot(stmt.var)
        threads = stmt.kind in THREAD_AXES
        scopes = TRACKED if threads else frozenset(["global"])

        def run(frame: Frame) -> None:
            alone, outside = frame[THREADS] == 1, list(frame)
            if alone:
                races.begin(scopes)
            for value in range(*span(frame)):
                if alone:
                    races.turn(value)
                    if not threads:
                        self.renew(frame)
                frame[slot] = value
                body(frame)
            if alone:
                races.end()
                frame[:] = outside

        return run

    def _with_queues(self, stmt: For, body: Run) -> Run:
        """An iteration with queues of its own for the copies in it."""
        groups = [node for node in postorder(stmt.body) if isinstance(node, AsyncGroup)]
        slots = sorted({self._queue(group.queue) for group in groups})
        if not slots:
            return body

        def run(frame: Frame) -> None:
            outside = [frame[slot] for slot in slots]
            for slot in slots:
                frame[slot] = None
            body(frame)
            for slot, queue in zip(slots, outside, strict=True):
                frame[slot] = queue

        return run

    def _while(self, stmt: While) -> Run:
        cond, body = self.evaluator.compile(stmt.cond), self.stmt(stmt.body)

        def run(frame: Frame) -> None:
            while cond(frame):
                body(frame)

        return run

    def _if(self, stmt: If) -> Run:
        cond, then = self.evaluator.compile(stmt.cond), self.stmt(stmt.then)
        other = self.stmt(stmt.other) if stmt.other is not None else None

        def run(frame: Frame) -> None:
            if cond(frame):
                then(frame)
            elif other is not None:
                other(frame)

        return run

    def _block(self, stmt: Block) -> Run:
        init = self.stmt(stmt.init) if stmt.init is not None else None
        body = self.stmt(stmt.body)
        label, ev = stmt.label, self.evaluator
        predicate = ev.compile(stmt.predicate) if stmt.predicate is not None else None
        iters = [
            (ev.slot(it.var), ev.compile(binding), ev.compile(it.extent))
            for it, binding in zip(stmt.iters, stmt.bindings, strict=True)
        ]
        reduce = [ev.slot(it.var) for it in stmt.iters if it.kind == "reduce"]
        views = [self.view(view) for view in stmt.views]

        def run(frame: Frame) -> None:
            outer, frame[BLOCK] = frame[BLOCK], label
            if predicate is None or predicate(frame):
                for slot, binding, extent in iters:
                    frame[slot] = value = binding(frame)
                    if not 0 <= value < extent(frame):
                        self._misplaced(stmt, frame)
                for view in views:
                    view(frame)
                if init is not None and all(frame[slot] == 0 for slot in reduce):
                    init(frame)
                body(frame)
            frame[BLOCK] = outer

        return run

    def _let(self, stmt: Block | If) -> Let:
        ev = self.evaluator
        none = ev.roots([])
        if isinstance(stmt, If):
            return Let(None, ev.compile(stmt.cond, wide=True), [], none, none, [])
        predicate = ev.compile(stmt.predicate, wide=True) if stmt.predicate is not None else None
        slots = [ev.slot(it.var) for it in stmt.iters]
        reduce = [ev.slot(it.var) for it in stmt.iters if it.kind == "reduce"]
        values = ev.roots(stmt.bindings, wide=True)
        extents = ev.roots([it.extent for it in stmt.iters], wide=True)
        return Let(stmt.label, predicate, slots, values, extents, reduce)

    def _misplaced(self, stmt: Block, frame: Frame) -> None:
        for it, binding in zip(stmt.iters, stmt.bindings, strict=True):
            value, extent = frame[self.evaluator.slots[it.var]], self.evaluator.compile(it.extent)
            if not 0 <= value < extent(frame):
                self.evaluator.fail(
                    binding, frame, f"gives iterator {it.var.name}{it.var.ordinal} the value"
                    f" {value}, outside 0..{extent(frame) - 1}; guard the block by a predicate",
                )  # fmt: skip

    def _queue(self, name: str) -> int:
        if name not in self._queues:
            self._queues[name] = self.evaluator.reserve()
        return self._queues[name]

    def _async_group(self, stmt: AsyncGroup) -> Run:
        slot = self._queue(stmt.queue)
        was, self.whole, self.group = self.whole, False, slot
        body = self.stmt(stmt.body)
        self.whole, self.group = was, None

        def run(frame: Frame) -> None:
            frame[slot] = [*(frame[slot] or []), []]
            body(frame)

        return run

    def _async_wait(self, stmt: AsyncWait) -> Run:
        slot, pending = self._queue(stmt.queue), self.evaluator.compile(stmt.pending)

        def run(frame: Frame) -> None:
            land(frame[slot] or [], pending(frame))

        return run


def sequence(runs: Sequence[Run]) -> Run:
    """One after the other."""

    def run(frame: Frame) -> None:
        for each in runs:
            each(frame)

    return run
