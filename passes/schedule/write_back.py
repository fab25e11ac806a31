"""A block that computes into a buffer of its own, and another one that copies it out.

for i: block c: y[i] = y[i] + x[i]
→ for i: block c: y_c[i] = y_c[i] + x[i]
  for i: block c_write: y[i] = y_c[i]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from passes.ir.arith import free_vars, prove, simplify, substitute
from passes.ir.expr import TRUE, Const, Expr, Var, both
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import (
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    Load,
    Seq,
    Stmt,
    Store,
    Update,
    seq,
)
from passes.ir.node import Node, postorder, rewrite
from passes.schedule.accesses import Ranges, accesses, ranges
from passes.schedule.dependence import steady
from passes.schedule.legality import checked
from passes.schedule.reductions import (
    conjuncts,
    driving,
    ends_for_good,
    restarting_loop,
    starts_first,
)
from passes.schedule.tree import (
    Refusal,
    check_unviewed,
    fresh_label,
    fresh_ordinal,
    get_buffer,
    loaded,
    loops_in,
    own_nest,
    replace,
    spell,
    written,
)


@dataclass(frozen=True)
class Output:
    """The one element of `buffer` that each instance of a block stores."""

    buffer: Buffer
    indices: tuple[Expr, ...]

    def iters(self, block: Block) -> list[BlockIter]:
        """The iterators that say which one, in the order in which the indices speak of them."""
        own = {it.var: it for it in block.iters}
        found: dict[Var, BlockIter] = {}
        for i in self.indices:
            for node in postorder(i):
                if node in own and isinstance(node, Var):
                    found[node] = own[node]
        return list(found.values())


def output_of(
    refuse: Refusal, function: Function, found: Sequence[Stmt], name: str | None
) -> Output:
    """What the block at the end of a path stores to the buffer of that name, or to its only one.

    Raises ScheduleError unless it does so in every instance, at one place, and reads no other
    element of it.
    """
    check_unviewed(refuse, found)
    block = found[-1]
    assert isinstance(block, Block)
    stores = _straight(block.body)
    starts = [] if block.init is None else _straight(block.init)
    if stores is None or starts is None:
        raise refuse("its body is not made of unconditional stores")
    if name is None:
        targets = list(dict.fromkeys(buffer for buffer, _ in stores))
        if len(targets) != 1:
            texts = ", ".join([f"'{name_of(b)}'" for b in targets])
            raise refuse(f"it stores to {texts or 'nothing'}; name the buffer meant")
        target = targets[0]
    else:
        target = get_buffer(function, name, refuse.primitive)
    places = {place for buffer, place in stores if buffer is target}
    if len(places) != 1:
        what = "at several places of" if places else "nothing to"
        raise refuse(f"it stores {what} '{name_of(target)}'")
    (place,) = places
    if block.init is not None and {(b, p) for b, p in starts if b is target} != {(target, place)}:
        raise refuse("its init does not store to the same place")
    if any(load.indices != place for load in _loads(block.body, target)):
        raise refuse("it reads elements of its output other than the one it stores")
    if block.init is not None and any(load.indices != place for load in _loads(block.init, target)):
        raise refuse("its init reads elements of its output other than the one it stores")
    if any(load.dtype.lanes > 1 or loaded(i) for load in [Load(target, place)] for i in place):
        raise refuse("it stores vectors, or where memory says")
    return Output(target, place)


def written_back(
    refuse: Refusal,
    function: Function,
    found: Sequence[Stmt],
    output: Output,
    cache: Buffer,
    place: tuple[Expr, ...],
) -> tuple[Function, str]:
    """The function whose block at the end of `found` computes its output at `place` of `cache`,
    and the label of the block that copies it to where it was.

    An init that reads the old content of what it stores still does, and a sum without init, which
    continues one, begins by reading it.
    """
    block = found[-1]
    assert isinstance(block, Block)
    nest = own_nest(tuple(found))
    loops = loops_in(nest)
    kept = _Kept(refuse, block, output.iters(block), loops, ranges(function))
    conditions = kept.checked(function, output)
    swapped = _swapped(block, output, Load(cache, place))
    label = fresh_label(function, f"{block.label}_write")
    first = max(fresh_ordinal(function), cache.ordinal + 1)
    copy = kept.copy(label, output, Load(cache, place), conditions, first)
    inner = rewrite(nest[0], lambda n: swapped if n is block else None)
    function = replace(function, nest[0], seq(inner, copy))
    return checked(function.replace(allocs=(*function.allocs, cache)), refuse), label


def _straight(stmt: Stmt) -> list[tuple[Buffer, tuple[Expr, ...]]] | None:
    """The elements stored to by statements without loops and conditions; None for others."""
    if isinstance(stmt, Seq):
        parts = [_straight(inner) for inner in stmt.stmts]
        return None if None in parts else [item for part in parts for item in part or ()]
    if isinstance(stmt, Update):
        return [(target.buffer, target.indices) for target in stmt.targets]
    return [(stmt.buffer, stmt.indices)] if isinstance(stmt, Store) else None


def _continues(block: Block, buffer: Buffer) -> bool:
    """Whether an instance reads what was in the buffer before it."""
    body = block.body
    for stmt in body.stmts if isinstance(body, Seq) else (body,):
        if _loads(stmt, buffer):
            return True
        if buffer in written(stmt):
            return False
    return False


def _loads(stmt: Stmt, buffer: Buffer) -> list[Load]:
    return [n for n in postorder(stmt) if isinstance(n, Load) and n.buffer is buffer]


def _swapped(block: Block, output: Output, element: Load) -> Block:
    """The block computing into the cache's `element`."""
    old = Load(output.buffer, output.indices)

    def reads(node: Node) -> Node | None:
        return element if node is old else stores(node)

    def stores(node: Node) -> Node | None:
        if isinstance(node, Store) and node.buffer is output.buffer:
            return Store(element.buffer, element.indices, node.value)
        if isinstance(node, Update) and old in node.targets:
            return node.replace(targets=tuple([element if t is old else t for t in node.targets]))
        return None

    init: Stmt | None = None
    if block.init is not None:
        starts = block.init.stmts if isinstance(block.init, Seq) else (block.init,)
        first = next(k for k, stmt in enumerate(starts) if output.buffer in written(stmt))
        begun = Store(element.buffer, element.indices, old)
        early = [*starts[:first], begun] if isinstance(starts[first], Update) else starts[:first]
        late = [rewrite(stmt, reads) for stmt in starts[first + 1 :]]
        init = seq(*early, rewrite(starts[first], stores), *late)
    elif _continues(block, output.buffer):
        init = Store(element.buffer, element.indices, old)
    return block.replace(body=rewrite(block.body, reads), init=init)


@dataclass(frozen=True)
class _Kept:
    """The iterators that say where the block stores, and its own loops."""

    refuse: Refusal
    block: Block
    iters: list[BlockIter]
    loops: list[For]
    known: Ranges

    @property
    def bindings(self) -> list[Expr]:
        pairs = zip(self.block.iters, self.block.bindings, strict=True)
        given = dict(pairs)
        return [given[it] for it in self.iters]

    @property
    def copied(self) -> list[For]:
        """The loops that drive the iterators."""
        needed = frozenset[Var]().union(*[free_vars(e) for e in self.bindings])
        return [loop for loop in self.loops if loop.var in needed]

    def conditions(self) -> list[Expr]:
        """What of the predicate the copy asks, too.

        Conditions on the loops that are not copied are asked where these begin: there the element
        is started, if at all.
        """
        others = {
            loop.var: Const(0, loop.var.dtype) for loop in self.loops if loop not in self.copied
        }
        asked = []
        for condition in conjuncts(self.block.predicate):
            moving = free_vars(condition) & set(others)
            start = simplify(substitute(condition, others), self.known) if moving else condition
            if start is TRUE:
                continue
            if moving and (loaded(condition) or not ends_for_good(condition, moving, self.known)):
                raise self.refuse("its predicate may leave out all that one element is made of")
            asked.append(start)
        return asked

    def checked(self, function: Function, output: Output) -> list[Expr]:
        """The `conditions`. The cache is started wherever it is used, and filled wherever it is
        copied."""
        known = self.known
        self._check_asked_again()
        continues = _continues(self.block, output.buffer)
        outside = driving(self.block, "reduce") - {one.var for one in self.loops}
        if continues and outside:
            name = spell(min(outside, key=name_of))
            raise self.refuse(f"loop {name}, which it does not have alone, drives its sum")
        copied = {one.var for one in self.copied}
        for one in self.loops:
            if one.var not in copied and not prove(one.extent >= 1, known):
                raise self.refuse(f"loop {spell(one.var)} may be empty, and nothing computed")
            strangers = free_vars(one.extent) & {other.var for other in self.loops} - copied
            if one.var in copied and strangers:
                raise self.refuse(f"the extent of loop {spell(one.var)} depends on the reduction")
        loops = [one.var for one in self.loops]
        asked = conjuncts(self.block.predicate)
        kept = self.conditions()
        if continues and not starts_first(self.block, self.bindings, loops, asked, known):
            raise self.refuse("its sum may not start with its loops")
        init = self.block.init
        if continues if init is None else _loads(init, output.buffer):
            stores = [a for a in accesses(function.body) if a.is_store and a.block is self.block]
            again = restarting_loop(self.block, self.loops, stores, known)
            if again is not None:
                raise self.refuse(f"loop {spell(again.var)} continues the same sums again")
        return kept

    def _check_asked_again(self) -> None:
        """Nothing that says which instances there are changes as they run."""
        block = self.block
        asked = [(f"the extent of loop {spell(one.var)},", one.extent) for one in self.loops]
        for it, e in zip(block.iters, block.bindings, strict=True):
            asked.append((f"the binding of iterator {spell(it.var)},", e))
            asked.append((f"the extent of iterator {spell(it.var)},", it.extent))
        stored = written(block)
        for what, e in asked:
            if not steady(e, stored):
                raise self.refuse(f"{what} {print_expr(e)}, reads memory that it stores to")
        for e in conjuncts(block.predicate):
            if not steady(e, stored):
                text = print_expr(e)
                raise self.refuse(f"its predicate {text} reads memory that it stores to")

    def copy(
        self, label: str, output: Output, source: Load, conditions: Sequence[Expr], first: int
    ) -> Stmt:
        """Loops like the block's, as far as they drive the iterators, around a copying block."""
        fresh = {
            loop.var: loop.var.replace(ordinal=first + k) for k, loop in enumerate(self.copied)
        }
        first += len(fresh)
        inner = {it.var: it.var.replace(ordinal=first + k) for k, it in enumerate(self.iters)}
        iters = tuple([BlockIter(inner[it.var], substitute(it.extent, inner)) for it in self.iters])
        bindings = tuple([substitute(e, fresh) for e in self.bindings])
        place = _at(output.indices, inner)
        store = Store(output.buffer, place, Load(source.buffer, _at(source.indices, inner)))
        asked = both(*[substitute(c, fresh) for c in conditions])
        body: Stmt = Block(label, iters, bindings, store, None, asked)
        for loop in reversed(self.copied):
            body = For(fresh[loop.var], substitute(loop.extent, fresh), body)
        return body


def _at(indices: tuple[Expr, ...], values: Mapping[Var, Expr]) -> tuple[Expr, ...]:
    return tuple([substitute(i, values) for i in indices])
