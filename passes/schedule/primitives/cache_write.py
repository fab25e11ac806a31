"""cache_write: a block computes into a temporary, a new block copies it out."""

from __future__ import annotations

from passes.ir.arith import free_vars, prove, substitute
from passes.ir.expr import Expr, Var
from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import (
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    Load,
    Scope,
    Stmt,
    Store,
    seq,
)
from passes.ir.node import Node, postorder, rewrite
from passes.schedule.accesses import accesses, ranges
from passes.schedule.legality import checked
from passes.schedule.reductions import driving, restarting_loop
from passes.schedule.tree import (
    Refusal,
    fresh_label,
    fresh_ordinal,
    loops_in,
    own_nest,
    path_to_block,
    replace,
    spell,
)


def cache_write(function: Function, label: str, scope: Scope) -> tuple[Function, str]:
    """Gives the function and the label of the copying block.

        for i: block c: y[i] = y[i] + x[i]
        → for i: block c: y_c[i] = y_c[i] + x[i]
          for i: block c_write: y[i] = y_c[i]

    The block stores at its own spatial iterators. An init that reads the old content of what it
    stores still does, and a sum without init, which continues one, begins by reading it.
    """
    found = path_to_block(function, label, "cache_write")
    block = found[-1]
    assert isinstance(block, Block)
    refuse = Refusal("cache_write", f"block '{label}'", function, label)
    store = block.body
    if not isinstance(store, Store) or block.predicate is not None:
        raise refuse("its body is not one unconditional store")
    spatial = {it.var: (it, e) for it, e in _pairs(block) if it.kind == "spatial"}
    own = [spatial[i] for i in store.indices if isinstance(i, Var) and i in spatial]
    if len(own) != len(store.indices):
        raise refuse("it does not store at its own spatial iterators")
    target = store.buffer
    old = [n for n in postorder(store.value) if isinstance(n, Load) and n.buffer is target]
    if any(load.indices != store.indices for load in old):
        raise refuse("it reads elements of its output other than the one it stores")
    if block.init is not None and not (
        isinstance(block.init, Store)
        and (block.init.buffer, block.init.indices) == (target, store.indices)
    ):
        raise refuse("its init is not one store to the same place")
    chain = own_nest(found)
    _check_nest(refuse, function, block, loops_in(chain), bool(old))
    first = fresh_ordinal(function)
    cache = Buffer(f"{target.name}_c", first, target.shape, target.dtype, scope)
    swapped = _swapped(block, store, cache, continues=bool(old))
    name = fresh_label(function, f"{label}_write")
    copy = _copy(target, cache, own, loops_in(chain), name, first + 1)
    nest = chain[0]
    inner = rewrite(nest, lambda n: swapped if n is block else None)
    function = replace(function, nest, seq(inner, copy))
    return checked(function.replace(allocs=(*function.allocs, cache)), refuse), name


def _check_nest(
    refuse: Refusal, function: Function, block: Block, loops: list[For], continues: bool
) -> None:
    """The cache is started wherever it is used, and filled wherever it is copied."""
    known = ranges(function)
    axes, reduced = driving(block, "spatial"), driving(block, "reduce")
    outside = sorted(reduced - {one.var for one in loops}, key=name_of)
    if continues and outside:
        raise refuse(f"loop {spell(outside[0])}, which it does not have alone, drives its sum")
    for one in loops:
        if one.var not in axes and not prove(one.extent >= 1, known):
            raise refuse(f"loop {spell(one.var)} may be empty, and nothing computed")
        strangers = free_vars(one.extent) & {other.var for other in loops} - axes
        if one.var in axes and strangers:
            raise refuse(f"the extent of loop {spell(one.var)} depends on the reduction")
    stores = [a for a in accesses(function.body) if a.is_store and a.block is block]
    again = restarting_loop(block, loops, stores, known) if continues else None
    if again is not None and block.init is None:
        raise refuse(f"loop {spell(again.var)} continues the same sums again")


def _pairs(block: Block) -> list[tuple[BlockIter, Expr]]:
    return list(zip(block.iters, block.bindings, strict=True))


def _swapped(block: Block, store: Store, cache: Buffer, continues: bool) -> Block:
    """The block computing into the cache."""
    target = store.buffer

    def moved(node: Node) -> Node | None:
        return Load(cache, node.indices) if _reads(node, target) else None  # type: ignore[attr-defined]

    value = rewrite(store.value, moved)
    init = block.init
    if isinstance(init, Store):
        init = Store(cache, init.indices, init.value)
    elif continues:
        init = Store(cache, store.indices, Load(target, store.indices))
    return block.replace(body=Store(cache, store.indices, value), init=init)


def _reads(node: Node, buffer: Buffer) -> bool:
    return isinstance(node, Load) and node.buffer is buffer


def _copy(
    target: Buffer,
    source: Buffer,
    axes: list[tuple[BlockIter, Expr]],
    loops: list[For],
    label: str,
    first: int,
) -> Stmt:
    """Loops like those of `loops` that drive the axes, with a block that copies `source`."""
    needed = frozenset[Var]().union(*[free_vars(e) for _, e in axes])
    copied = [loop for loop in loops if loop.var in needed]
    fresh = [Var(loop.var.name, first + k) for k, loop in enumerate(copied)]
    values: dict[Var, Expr] = {loop.var: v for loop, v in zip(copied, fresh, strict=True)}
    first += len(fresh)
    inner = tuple([Var(it.var.name, first + k) for k, (it, _) in enumerate(axes)])
    iters = tuple([BlockIter(v, it.extent) for v, (it, _) in zip(inner, axes, strict=True)])
    bindings = tuple([substitute(e, values) for _, e in axes])
    body: Stmt = Block(label, iters, bindings, Store(target, inner, Load(source, inner)))
    for var, loop in zip(reversed(fresh), reversed(copied), strict=True):
        body = For(var, substitute(loop.extent, values), body)
    return body
