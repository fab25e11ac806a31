"""Elementwise consumers, seen from the block that computes what they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from passes.ir.arith import free_vars, prove, simplify, substitute
from passes.ir.expr import TRUE, Expr, Var, both
from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import Block, Buffer, For, Function, If, Load, Seq, Stmt, Store
from passes.ir.node import postorder, rewrite
from passes.schedule.accesses import Ranges, accesses, iterator_ranges, ranges
from passes.schedule.bindings import bindings_of
from passes.schedule.coverage import in_iterators, runs
from passes.schedule.dataflow import stores_apart
from passes.schedule.dependence import steady
from passes.schedule.faults import fault
from passes.schedule.inverse import inverse
from passes.schedule.legality import checked
from passes.schedule.motion import (
    check_comes_earlier,
    check_fresh,
    check_no_barrier,
    comes_first,
    parting,
)
from passes.schedule.reductions import conjuncts
from passes.schedule.tree import (
    Refusal,
    blocks_in,
    loaded,
    loops_in,
    path_to_block,
    replace,
    spell,
    written,
)

_ELEMENT = "element"


@dataclass(frozen=True)
class Consumer:
    """A block whose instances each read one element of `temporary`, which nothing else reads.

    `producer` alone stores the element, at `made`. In terms of its iterators: `indices` is where
    the consumer stores. `conditions`, in terms of the loops around it, say for which elements
    there is an instance.
    """

    refuse: Refusal
    function: Function
    block: Block
    producer: Block
    made: Store
    element: Var
    indices: tuple[Expr, ...]
    value: Expr
    conditions: tuple[Expr, ...]

    @property
    def temporary(self) -> Buffer:
        return self.made.buffer

    @property
    def target(self) -> Buffer:
        """The buffer it stores to."""
        store = self.block.body
        assert isinstance(store, Store)
        return store.buffer

    def of(self, element: Expr) -> Expr:
        """What it stores for an element of that value."""
        return substitute(self.value, {self.element: element})

    def producer_loops(self) -> list[For]:
        """The loops around the producer that are not around the consumer."""
        around, _ = _apart(self.refuse, self.function, self.producer, self.block)
        return loops_in(around)

    def runs_once(self) -> bool:
        """Whether those loops run no instance of the producer twice."""
        path = path_to_block(self.function, self.producer.label, self.refuse.primitive)
        return bindings_of(path, self.producer_loops()).once

    def into(self, merged: Block) -> Function:
        """The function with `merged` in place of the producer, and without the consumer.

        Raises where what the consumer does would meet something else earlier or later than now.
        """
        merged = merged.replace(predicate=self._guard())
        if self.target in loaded(self.value) | loaded(self.producer) and not self.runs_once():
            raise self.refuse("the loops of the producer may not run each of its instances once")
        whole = accesses(self.function.body)
        reader = next(a for a in whole if a.block is self.block and a.buffer is self.temporary)
        outputs = [a for a in whole if a.buffer is self.temporary and a.is_store]
        check_fresh(self.refuse, outputs, reader, ranges(self.function))
        together = replace(self.function, self.producer, merged)
        touched = {a.buffer for a in whole if a.block is self.block} - {self.temporary}
        check_comes_earlier(
            self.refuse, together, self.block, merged, touched & written(self.function)
        )
        self._check_own(together, merged, parting(outputs[0], reader))
        function = replace(together, self.block, None)
        kept = tuple([b for b in function.allocs if b is not self.temporary])
        return checked(function.replace(allocs=kept), self.refuse)

    def _check_own(self, together: Function, merged: Block, depth: int) -> None:
        """What the producer reads of the target it reads before the consumer stores it."""
        mine = [a for a in accesses(together.body) if a.block is merged and a.buffer is self.target]
        known = ranges(together)
        for store in (a for a in mine if a.is_store):
            for load in (a for a in mine if not a.is_store and a.indices != store.indices):
                if not comes_first(load, store, depth, known):
                    name = name_of(self.target)
                    raise self.refuse(f"it would store to '{name}' before the producer reads it")

    def _guard(self) -> Expr | None:
        """The producer's predicate and the conditions, those that say something new."""
        known = ranges(self.function)
        said = {simplify(c) for c in conjuncts(self.producer.predicate)}
        asked = [e for c in self.conditions if (e := simplify(c, known)) is not TRUE]
        new = dict.fromkeys(e for e in asked if simplify(e) not in said)
        trouble = fault(both(*new) or TRUE, known)
        if trouble is not None:
            where = f"wherever block '{self.producer.label}' runs"
            raise self.refuse(
                f"what says which instances there are would be asked {where}: {trouble}"
            )
        return both(self.producer.predicate, *new)


def consumer_of(
    refuse: Refusal, function: Function, block: Block, producer: Block | None = None
) -> Consumer:
    """The block as the consumer of `producer`, or of the last block whose output it alone reads.

    Raises what `refuse` makes if it is not one.
    """
    store = _plain_store(refuse, block)
    producer, old = _produced(refuse, function, block, producer)
    made = producer.body
    assert isinstance(made, Store)
    _, found = _apart(refuse, function, producer, block)
    paths = [path_to_block(function, b.label, refuse.primitive) for b in (producer, block)]
    check_no_barrier(refuse, *paths)
    left = loops_in(found)
    changing = written(function)
    fixed = [*block.bindings, *[one.extent for one in left], *old.indices]
    if not all(steady(e, changing) for e in (*fixed, block.predicate or TRUE)):
        raise refuse("its loops, bindings or indices read memory that the function stores to")
    known = ranges(function)
    limits = {**known, **iterator_ranges(producer.iters)}
    turned = inverse(old.indices, {it.var: it.extent for it in block.iters}, made.indices, limits)
    if turned is None:
        raise refuse(f"its iterators do not follow from the element of '{name_of(old.buffer)}'")
    conditions = [*turned.conditions, *_instances(refuse, block, left, known)]
    placed = [simplify(substitute(c, turned.values), limits) for c in conditions]
    bound: dict[Var, Expr] = {
        it.var: e for it, e in zip(producer.iters, producer.bindings, strict=True)
    }
    asked = tuple([substitute(c, bound) for c in placed if c is not TRUE])
    indices = tuple([simplify(substitute(i, turned.values), limits) for i in store.indices])
    used = frozenset[Var]().union(*[free_vars(i) for i in indices])
    for it in producer.iters:
        if it.kind == "spatial" and it.var not in used and not prove(it.extent.equal(1), known):
            raise refuse(f"its output does not depend on the producer's iterator {spell(it.var)}")
    element = Var(_ELEMENT, -1, old.dtype)
    hidden = rewrite(store.value, lambda n: element if n is old else None)
    value = substitute(hidden, turned.values)
    return Consumer(refuse, function, block, producer, made, element, indices, value, asked)


def _plain_store(refuse: Refusal, block: Block) -> Store:
    """The block's one store, of each instance to a place of its own."""
    store = block.body
    if not isinstance(store, Store) or block.init is not None or block.views:
        raise refuse("its body is not one plain store")
    if any(it.kind != "spatial" for it in block.iters):
        raise refuse("it has iterators that are not spatial")
    if not stores_apart(block):
        raise refuse("two of its instances may store to one place")
    own = [n for n in postorder(store) if isinstance(n, Load) and n.buffer is store.buffer]
    if any(n.indices != store.indices for n in own):
        raise refuse("it reads elements of its output other than the one it stores")
    return store


def _produced(
    refuse: Refusal, function: Function, block: Block, producer: Block | None
) -> tuple[Block, Load]:
    """The block that computes what `block` alone reads, and the load of it."""
    loads = [n for n in postorder(block.body) if isinstance(n, Load)]
    found = accesses(function.body)
    writers = {b: {a.block for a in found if a.buffer is b and a.is_store} for b in function.allocs}
    wanted = [n.buffer for n in loads if len(writers.get(n.buffer, ())) == 1]
    sources = {b: next(iter(writers[b])) for b in wanted}
    single = {b: w for b, w in sources.items() if w is not None and producer in (None, w)}
    if not single:
        where = "another block" if producer is None else f"block '{producer.label}'"
        raise refuse(f"it reads no temporary that {where} alone stores to")
    order = blocks_in(function.body)
    buffer = max(single, key=lambda b: order.index(single[b]))
    name, source = name_of(buffer), single[buffer]
    mine = [n for n in loads if n.buffer is buffer]
    readers = [a for a in found if a.buffer is buffer and not a.is_store]
    if any(a.block not in (block, source) for a in readers):
        raise refuse(f"'{name}' has other readers")
    if len(mine) > 1 or mine[0].dtype.lanes > 1:
        raise refuse(f"it does not read one element of '{name}'")
    if not isinstance(source.body, Store) or source.views:
        raise refuse(f"the body of block '{source.label}' is not one store")
    return source, mine[0]


def _apart(
    refuse: Refusal, function: Function, producer: Block, block: Block
) -> tuple[tuple[Stmt, ...], tuple[Stmt, ...]]:
    """What is around the producer and not around the block, and the other way round."""
    around = path_to_block(function, producer.label, refuse.primitive)
    found = path_to_block(function, block.label, refuse.primitive)
    depth = next(k for k, (a, b) in enumerate(zip(found, around, strict=False)) if a is not b)
    parent = found[depth - 1]
    if not isinstance(parent, Seq) or parent.stmts.index(found[depth]) < parent.stmts.index(
        around[depth]
    ):
        raise refuse(f"it does not come after block '{producer.label}'")
    if any(not isinstance(s, For | Seq) for s in found[depth:-1]):
        raise refuse("it is under a condition or inside a block")
    if any(not isinstance(s, For | Seq | If) for s in around[depth:-1]):
        raise refuse(f"block '{producer.label}' is inside another block")
    return around[depth:-1], found[depth:-1]


def _instances(refuse: Refusal, block: Block, loops: Sequence[For], known: Ranges) -> list[Expr]:
    """Which iterators the block's own loops and its predicate let through."""
    own = {one.var: one.extent for one in loops}
    found = runs(block.bindings, own, known)
    asked = in_iterators(block, frozenset(own))
    if found is None or asked is None:
        raise refuse("its own loops may not run each of its instances once")
    for it, run in zip(block.iters, found, strict=True):
        asked += [it.var >= run.first, it.var < run.end]
    return asked
