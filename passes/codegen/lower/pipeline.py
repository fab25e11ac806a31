"""Software pipelines that loops are annotated with are carried out.

    for i2 in range(n, pipeline_stages="0 1", …):      t1: f32[2, 16]
        load t1[…] of i2                               if 0 < n: load t1[0, …] of 0
        use t1[…]                                →     for i2 in range(max(n - 1, 0)):
                                                           load t1[(i2 + 1)%2, …] of i2 + 1
                                                           use t1[i2%2, …]
                                                       if max(n, 1) - 1 < n: use t1[…] of the last

What a stage needs of an earlier one has as many versions as iterations are under way; a block
that uses one gets an iterator for its number. Asynchronous stages issue groups of copies, one an
iteration, and later stages wait for the group of theirs. Exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from passes.ir.arith import simplify, substitute
from passes.ir.expr import FALSE, TRUE, Const, Expr, Var, const, index, maximum, minimum
from passes.ir.loop.nodes import (
    AsyncGroup,
    AsyncWait,
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    If,
    Load,
    Seq,
    Stmt,
    Store,
    Update,
    View,
    While,
    seq,
)
from passes.ir.node import IRError, Node, rewrite
from passes.schedule.accesses import ranges
from passes.schedule.pipelining import ASYNC, ORDER, STAGES, Pipeline, noted, planned
from passes.schedule.renaming import renamed
from passes.schedule.tree import (
    blocks_in,
    fresh_label,
    fresh_ordinal,
    get_loop,
    loaded,
    replace,
    spell,
    statements,
    written,
)


def pipeline(function: Function) -> Function:
    """The function without annotated pipelines. Raises `IRError` for one that is not legal."""
    plans = [_plan(function, s) for s in statements(function.body) if isinstance(s, For)]
    wanted = [plan for plan in plans if plan is not None]
    for plan in reversed(wanted):  # inner loops first: outer ones copy what has become of them
        nested = any(plan.loop in other.statements for other in wanted)
        function = _Expansion(function, plan).expanded(nested)
    return function


def _plan(function: Function, loop: For) -> Pipeline | None:
    asked = noted(loop)

    def fail(reason: str) -> IRError:
        place = f"kernel '{function.name}': the pipeline of loop {spell(loop.var)}"
        return IRError(f"{place} cannot be carried out: {reason}")

    return None if asked is None else planned(function, loop, *asked, fail)


class _Expansion:
    """One loop as a lead, a steady loop and a tail."""

    def __init__(self, function: Function, plan: Pipeline) -> None:
        self.function, self.plan = function, plan
        self.loop = get_loop(function, plan.loop.var, "pipeline")
        self.count = self.loop.extent
        self.first = fresh_ordinal(function)
        grown = {
            old: (old.replace(shape=(index(number), *old.shape)), number)
            for old, number in plan.versions.items()
        }
        versions = _Versions(grown, self.first)
        slots: dict[int, Expr] = {v: self.loop.var % v for v in plan.versions.values()}
        assert isinstance(self.loop.body, Seq)
        self.stmts = [versions.stmt(s, slots) for s in self.loop.body.stmts]
        self.first = versions.first
        self.allocs = tuple([grown[b][0] if b in grown else b for b in function.allocs])
        self.queues = {s: self._queue(f"stage_{s}") for s in plan.asynchronous}
        self.copied = {
            stage: sorted(
                {b for k in self._of(stage) for b in written(self.stmts[k])},
                key=lambda b: b.ordinal,
            )
            for stage in plan.asynchronous
        }

    def expanded(self, nested: bool) -> Function:
        """The function with the loop carried out; `nested`, as one statement."""
        depth, var = self.plan.depth, self.loop.var
        parts: list[Stmt] = []
        for t in range(depth):
            begun = {s: index(t - s) for s in range(t + 1)}
            parts.append(self._step(begun, f"_before{t}"))
        steady = simplify(maximum(self.count - depth, 0), ranges(self.function))
        body = self._step({s: var + (depth - s) for s in range(depth + 1)}, None)
        kept = [note for note in self.loop.annotations if note[0] not in (STAGES, ORDER, ASYNC)]
        parts.append(self.loop.replace(extent=steady, body=body, annotations=tuple(kept)))
        last = maximum(self.count, depth) if depth else self.count
        for e in range(depth):
            ending = {s: last + (e - s) for s in range(depth + 1)}
            parts.append(self._step(ending, f"_after{e}"))
        whole = seq(*parts)
        if nested:
            whole = For(var.replace(name="once", ordinal=self.first), Const(1, var.dtype), whole)
        function = replace(self.function, self.loop, whole)
        return function.replace(allocs=self.allocs)

    def _step(self, iterations: Mapping[int, Expr], suffix: str | None) -> Stmt:
        """What is done at one time: each stage works on its iteration, if there is such a one."""
        plan, known = self.plan, dict(ranges(self.function))
        if suffix is None:
            known[self.loop.var] = index(0), self.count - plan.depth - 1
        parts: list[Stmt] = []
        waited: set[tuple[int, int]] = set()
        group: list[Stmt] = []
        order = sorted(range(len(self.stmts)), key=lambda k: plan.order[k])
        for k, following in zip(order, [*order[1:], None], strict=True):
            stage = plan.stages[k]
            at = simplify(iterations[stage], known) if stage in iterations else None
            guard = FALSE if at is None else simplify(at < self.count, known)
            if at is None or guard is FALSE:
                continue
            stmt = self._copy(self.stmts[k], suffix)
            done = substitute(stmt, {self.loop.var: at})
            if stage in plan.asynchronous:
                group.append(done)
                if following is not None and plan.stages[following] == stage:
                    continue
                done, group = AsyncGroup(self.queues[stage], seq(*group)), []
            else:
                done = seq(*self._waits(k, at, waited, known), done)
            parts.append(done if guard is TRUE else If(guard, done))
        return seq(*parts)

    def _waits(
        self, k: int, at: Expr, waited: set[tuple[int, int]], known: Mapping[Var, tuple[Expr, Expr]]
    ) -> list[Stmt]:
        """Waits for what statement `k` reads of asynchronous stages at that iteration."""
        plan, made = self.plan, list[Stmt]()
        for stage, buffers in self.copied.items():
            key = stage, plan.stages[k]
            if key in waited or not loaded(self.stmts[k]).intersection(buffers):
                continue
            waited.add(key)
            issued = any(plan.order[j] < plan.order[k] for j in self._of(stage))
            ahead = plan.stages[k] - stage - (not issued)
            pending = simplify(minimum(index(ahead), self.count - 1 - at), known)
            made.append(AsyncWait(self.queues[stage], pending, tuple(buffers)))
        return made

    def _of(self, stage: int) -> list[int]:
        """The statements of a stage."""
        return [k for k, s in enumerate(self.plan.stages) if s == stage]

    def _copy(self, stmt: Stmt, suffix: str | None) -> Stmt:
        """The statement itself, or a copy whose labels have the suffix (or one with a number)."""
        if suffix is None:
            return stmt
        for block in blocks_in(stmt):
            suffix = fresh_label(self.function, block.label + suffix).removeprefix(block.label)
        made, self.first = renamed(stmt, self.first, suffix)
        return made

    def _queue(self, name: str) -> str:
        """The name, or the first with a number that no queue of the function has."""
        taken = {s.queue for s in statements(self.function) if isinstance(s, AsyncGroup)}
        names = (name if n == 0 else f"{name}_{n}" for n in range(len(taken) + 1))
        return next(candidate for candidate in names if candidate not in taken)


@dataclass
class _Versions:
    """Accesses of buffers that have several versions now, the first axis saying which.

    `grown` has the new buffer and the number of versions; variables get ordinals from `first` on.
    """

    grown: Mapping[Buffer, tuple[Buffer, int]]
    first: int

    def stmt(self, stmt: Stmt, slots: Mapping[int, Expr]) -> Stmt:
        """The statement where version `slots[count]` of buffers with `count` ones is at hand."""
        touched = (loaded(stmt) | written(stmt)) & set(self.grown)
        if not touched:
            return stmt
        if isinstance(stmt, Block):
            return self._block(stmt, sorted({self.grown[b][1] for b in touched}), slots)
        if isinstance(stmt, Store):
            indices = tuple([self._expr(i, slots) for i in stmt.indices])
            place = self._place(Load(stmt.buffer, indices), slots)
            return Store(place.buffer, place.indices, self._expr(stmt.value, slots))
        if isinstance(stmt, Update):
            targets = [self._expr(target, slots) for target in stmt.targets]
            operands = [self._expr(e, slots) for e in stmt.operands]
            return stmt.replace(targets=tuple(targets), operands=tuple(operands))
        match stmt:
            case Seq(stmts):
                return seq(*[self.stmt(inner, slots) for inner in stmts])
            case For(_, extent, body):
                extent = self._expr(extent, slots)
                return stmt.replace(extent=extent, body=self.stmt(body, slots))
            case While(cond, body):
                return While(self._expr(cond, slots), self.stmt(body, slots))
            case If(cond, then, other):
                last = None if other is None else self.stmt(other, slots)
                return If(self._expr(cond, slots), self.stmt(then, slots), last)
            case AsyncGroup(_, body):
                return stmt.replace(body=self.stmt(body, slots))
            case AsyncWait(_, pending, buffers):
                landing = tuple([self.grown[b][0] if b in self.grown else b for b in buffers])
                return stmt.replace(pending=self._expr(pending, slots), buffers=landing)
        raise IRError(f"kernel has a {type(stmt).__name__} statement in a software pipeline")

    def _block(self, block: Block, counts: Sequence[int], slots: Mapping[int, Expr]) -> Block:
        iters = list(block.iters)
        bindings = [self._expr(e, slots) for e in block.bindings]
        inside: dict[int, Expr] = {}
        for count in counts:
            var = Var("version", self.first)
            self.first += 1
            iters.append(BlockIter(var, const(count), "ordered"))
            bindings.append(slots[count])
            inside[count] = var
        asked = block.predicate
        return block.replace(
            iters=tuple(iters),
            bindings=tuple(bindings),
            body=self.stmt(block.body, inside),
            init=None if block.init is None else self.stmt(block.init, inside),
            predicate=None if asked is None else self._expr(asked, slots),
            views=tuple([self._view(view, inside) for view in block.views]),
        )

    def _view(self, view: View, slots: Mapping[int, Expr]) -> View:
        source = self._place(view.source, slots)
        added = len(source.indices) - len(view.source.indices)
        return view.replace(source=source, extents=(*[None] * added, *view.extents))

    def _expr(self, e: Expr, slots: Mapping[int, Expr]) -> Expr:
        def rule(node: Node) -> Node | None:
            return self._place(node, slots) if isinstance(node, Load) else None

        return rewrite(e, rule)

    def _place(self, load: Load, slots: Mapping[int, Expr]) -> Load:
        if load.buffer not in self.grown:
            return load
        new, count = self.grown[load.buffer]
        return Load(new, (slots[count], *load.indices))
