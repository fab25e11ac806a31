"""cache_write: a block computes into a temporary, a new block copies it out."""

from __future__ import annotations

from passes.ir.arith import free_vars, substitute
from passes.ir.expr import Expr, Var
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
from passes.ir.node import Node, rewrite
from passes.schedule.tree import (
    ScheduleError,
    fresh_ordinal,
    loaded,
    loops_in,
    own_nest,
    path_to_block,
    replace,
    written,
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
    place = f"block '{label}'"
    stores = written(block)
    store = block.body
    if len(stores) != 1 or not isinstance(store, Store) or block.predicate is not None:
        reason = "its body is not one unconditional store"
        raise ScheduleError("cache_write", place, reason, function)
    axes = {it.var: (it, e) for it, e in zip(block.iters, block.bindings, strict=True)}
    if any(i not in axes or axes[i][0].kind != "spatial" for i in store.indices):  # type: ignore[index, call-overload]
        reason = "it does not store at its own spatial iterators"
        raise ScheduleError("cache_write", place, reason, function)
    target = store.buffer
    first = fresh_ordinal(function)
    cache = Buffer(f"{target.name}_c", first, target.shape, target.dtype, scope)

    def moved(node: Node) -> Node | None:
        if isinstance(node, Load) and node.buffer is target:
            return Load(cache, node.indices)
        if isinstance(node, Store) and node.buffer is target:
            return Store(cache, node.indices, node.value)
        return None

    init = block.init
    if isinstance(init, Store):
        init = Store(cache, init.indices, init.value)
    elif init is None:
        if target in loaded(block):
            init = Store(cache, store.indices, Load(target, store.indices))
    else:
        raise ScheduleError("cache_write", place, "its init is not one store", function)
    swapped = block.replace(body=rewrite(store, moved), init=init)
    chain = own_nest(found)
    own = [(axes[i][0], axes[i][1]) for i in store.indices if isinstance(i, Var)]
    copy = _copy(target, cache, own, loops_in(chain), f"{label}_write", first + 1)
    nest = chain[0]
    inner = rewrite(nest, lambda n: swapped if n is block else None)
    function = replace(function, nest, seq(inner, copy))
    return function.replace(allocs=(*function.allocs, cache)), f"{label}_write"


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
