"""The one spelling of a function: ordinals in order of appearance, unique block labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from passes.ir.dtypes import dtype
from passes.ir.expr import Expr, Var
from passes.ir.intrinsics import TABLE
from passes.ir.loop.nodes import (
    AsyncGroup,
    AsyncWait,
    Block,
    Buffer,
    For,
    Function,
    If,
    Launch,
    Load,
    Multiple,
    Seq,
    Stmt,
    Store,
    TupleCombiner,
    Update,
    View,
    While,
    seq,
)
from passes.ir.loop.traverse import combiners_in
from passes.ir.node import Node, rewrite

_WORDS = frozenset(["min", "max", "cast", "reinterpret", "select", "ramp", "broadcast", "call"])


def canonical(function: Function) -> Function:
    """The same program with variables and buffers renumbered in the order its text binds them.

    Two functions that differ only in ordinals, or in labels taken twice, have the same canonical
    form; `canonical(canonical(f)) is canonical(f)`.
    """
    return _Renaming(function).function


class _Renaming:
    def __init__(self, function: Function) -> None:
        self.reserved = {dim.name for dim in function.dims}
        self.ordinals = itertools.count()
        self.labels: set[str] = set()
        self.names: dict[Node, Var | Buffer] = {}
        self.combiners: dict[TupleCombiner, TupleCombiner] = {}
        params = tuple([self.buffer(b) for b in function.params])
        allocs = tuple([self.buffer(b) for b in function.allocs])
        for combiner in combiners_in(function.body):
            self.combiners[combiner] = self.combiner(combiner)
        kernels = [k.replace(function=canonical(k.function)) for k in function.kernels]
        self.function = function.replace(
            params=params, allocs=allocs, body=self.stmt(function.body), kernels=tuple(kernels)
        )

    def fresh(self, name: str) -> int:
        """The next ordinal with which `name` is neither a dim nor a type, as `i` with 8 is."""
        return next(n for n in self.ordinals if not self._taken(f"{name}{n}"))

    def _taken(self, text: str) -> bool:
        return text in self.reserved or _is_type(text)

    def buffer(self, buffer: Buffer) -> Buffer:
        self.names[buffer] = made = buffer.replace(ordinal=self.fresh(buffer.name))
        return made

    def var(self, var: Var) -> Var:
        self.names[var] = made = var.replace(ordinal=self.fresh(var.name))
        return made

    def expr(self, e: Expr) -> Expr:
        return rewrite(e, self._named)

    def exprs(self, items: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return tuple([self.expr(e) for e in items])

    def _named(self, node: Node) -> Node | None:
        if isinstance(node, Load):
            return node.replace(buffer=self.known(node.buffer))
        return self.names.get(node) if isinstance(node, Var) else None

    def known(self, buffer: Buffer) -> Buffer:
        found = self.names.get(buffer, buffer)
        return found if isinstance(found, Buffer) else buffer

    def label(self, label: str) -> str:
        chosen = next(c for c in _numbered(label) if c not in self.labels)
        self.labels.add(chosen)
        return chosen

    def combiner(self, combiner: TupleCombiner) -> TupleCombiner:
        taken = {done.name for done in self.combiners.values()}
        free = (c for c in _numbered(combiner.name) if c not in taken and not _is_called(c))
        left, right = (
            tuple([self.var(v) for v in part]) for part in (combiner.left, combiner.right)
        )
        results = self.exprs(combiner.results)
        return combiner.replace(left=left, right=right, results=results, name=next(free))

    def stmt(self, stmt: Stmt) -> Stmt:
        match stmt:
            case Seq(stmts):
                return seq(*[self.stmt(inner) for inner in stmts])
            case For():
                extent = self.expr(stmt.extent)
                steps = [self.expr(multiple.step) for multiple in stmt.multiples]
                var = self.var(stmt.var)
                own = [self.var(multiple.var) for multiple in stmt.multiples]
                multiples = tuple(map(Multiple, own, steps))
                body = self.stmt(stmt.body)
                return stmt.replace(var=var, extent=extent, body=body, multiples=multiples)
            case If(cond, then, other):
                condition, first = self.expr(cond), self.stmt(then)
                return If(condition, first, None if other is None else self.stmt(other))
            case Block():
                return self.block(stmt)
            case While(cond, body):
                condition = self.expr(cond)
                return While(condition, self.stmt(body))
            case Store(buffer, indices, value):
                return Store(self.known(buffer), self.exprs(indices), self.expr(value))
            case Update(targets, values, combiner):
                places = tuple([self.load(target) for target in targets])
                return Update(places, self.exprs(values), self.combiners[combiner])
            case AsyncGroup(queue, body):
                return AsyncGroup(queue, self.stmt(body))
            case AsyncWait(queue, pending, buffers):
                known = tuple([self.known(b) for b in buffers])
                return AsyncWait(queue, self.expr(pending), known)
            case Launch(kernel, dims, buffers):
                return Launch(kernel, self.exprs(dims), tuple([self.known(b) for b in buffers]))
        return stmt

    def block(self, block: Block) -> Block:
        label = self.label(block.label)
        bindings = self.exprs(block.bindings)
        predicate = None if block.predicate is None else self.expr(block.predicate)
        iters = []
        for it in block.iters:
            extent = self.expr(it.extent)
            iters.append(it.replace(var=self.var(it.var), extent=extent))
        views = tuple([self.view(view) for view in block.views])
        init = None if block.init is None else self.stmt(block.init)
        return block.replace(
            label=label, iters=tuple(iters), bindings=bindings, predicate=predicate,
            views=views, init=init, body=self.stmt(block.body),
        )  # fmt: skip

    def view(self, view: View) -> View:
        source = self.load(view.source)
        return View(self.buffer(view.buffer), source, view.extents)

    def load(self, load: Load) -> Load:
        return Load(self.known(load.buffer), self.exprs(load.indices))


def _numbered(name: str) -> Iterator[str]:
    """The name itself, and with numbers."""
    return itertools.chain([name], (f"{name}_{n}" for n in itertools.count(1)))


def _is_called(name: str) -> bool:
    """Whether text already calls something by that name: an intrinsic, a type, a conversion."""
    return name in TABLE or name in _WORDS or _is_type(name)


def _is_type(text: str) -> bool:
    try:
        dtype(text)
    except ValueError:
        return False
    return True
