"""transform_block_layout: a block gets other iterators, and loops over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from passes.ir.arith import free_vars, prove, simplify, substitute
from passes.ir.dtypes import INDEX
from passes.ir.expr import TRUE, Expr, Var, both, index
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import Block, BlockIter, For, Function, IterKind, Load, Stmt, Store
from passes.ir.node import Node, rewrite
from passes.schedule.accesses import Ranges, iterator_ranges, ranges
from passes.schedule.dependence import carried
from passes.schedule.faults import divisors, fault
from passes.schedule.layouts import IndexMap, image_of, places_of
from passes.schedule.legality import checked
from passes.schedule.primitives.reorder import check_extents
from passes.schedule.reductions import driving, starting_loops
from passes.schedule.tree import (
    Refusal,
    blocks_in,
    check_unviewed,
    fresh_ordinal,
    loaded,
    loops_in,
    own_nest,
    path_to_block,
    replace,
    spell,
)


def transform_block_layout(
    function: Function, label: str, layout: IndexMap
) -> tuple[Function, tuple[Var, ...]]:
    """Instance `i` of the block becomes `layout(i)`; gives the function and the new loops.

        for i: for j: block c: v = i of n, w = j of 64: y[v, w] = x[v, w]
                                                    layout (v, w) → (w//16, v, w%16)
        → for a in range(4): for b in range(n): for d in range(16):
              block c: p = a, q = b, r = d: y[q, p*16 + r] = x[q, p*16 + r]

    The iterators run over loops that are the block's alone, one each, serial, and over all of them;
    another one stays as it is, and the layout gives it alone. A new iterator is made of such of one
    kind; it may run backwards. No two instances may meet in an element but to reduce into it, in a
    reduction that starts once. Where the layout does not fill its shape, the block gets a
    predicate. The new loops are serial; what other loops the block has alone are around them.
    Raises ScheduleError if one of these does not hold.
    """
    found = path_to_block(function, label, "transform_block_layout")
    block = found[-1]
    assert isinstance(block, Block)
    refuse = Refusal("transform_block_layout", f"block '{label}'", function, label)
    check_unviewed(refuse, found)
    nest = own_nest(found)
    loops = loops_in(nest)
    moved = _moved(block, loops)
    places = places_of(refuse, layout, [it.var for it in block.iters])
    fixed = _fixed(refuse, block, moved, places)
    around = [one for one in loops if one not in moved.values()]
    check_extents(refuse, loops, [*around, *moved.values()], ranges(function))
    _check_order(refuse, function, block, loops)
    axes = {it.var: it.extent for it in block.iters if it.var in moved}
    parts = [e for e in places if e not in fixed]
    image = image_of(refuse, lambda _: parts, list(axes), list(axes.values()))
    first = fresh_ordinal(function)
    names = ["_".join([v.name for v in axes if v in free_vars(e)]) or "u" for e in parts]
    fresh = [Var(name, first + k) for k, name in enumerate(names)]
    own = [Var(name, first + len(names) + k) for k, name in enumerate(names)]
    back = image.back(own)
    if back is None:
        raise refuse("the layout cannot be turned round")
    values = dict(zip(axes, back[0], strict=True))
    iters = []
    for e, var, extent in zip(parts, own, image.shape, strict=True):
        iters.append(BlockIter(var, extent, _kind(refuse, block, e)))
    if block.init is not None:
        _check_start(refuse, block, iters, values, back[1])
    run = dict(zip(own, fresh, strict=True))
    driven = {loop.var: substitute(values[v], run) for v, loop in moved.items()}
    asked = None if block.predicate is None else substitute(block.predicate, driven)
    if asked is not None and back[1]:
        reach = {v: (index(0), e - 1) for v, e in zip(fresh, image.shape, strict=True)}
        trouble = fault(asked, {**ranges(function), **reach})
        if trouble is not None:
            raise refuse(f"its predicate would be asked of padding, too, and {trouble}")
    asked = both(asked, *[substitute(c, run) for c in back[1]])
    made = iter(zip(iters, fresh, strict=True))
    pairs = [fixed[e] if e in fixed else next(made) for e in places]
    new: Stmt = _spelled(block, values, iters).replace(
        iters=tuple([it for it, _ in pairs]),
        bindings=tuple([e for _, e in pairs]),
        predicate=asked,
    )
    for var, extent in reversed(list(zip(fresh, image.shape, strict=True))):
        new = For(var, extent, new)
    for loop in reversed(around):
        new = loop.replace(body=new)
    return checked(replace(function, nest[0], new), refuse), tuple(fresh)


def _moved(block: Block, loops: Sequence[For]) -> dict[Var, For]:
    """The iterators that are a serial loop of the block's own each, with that loop."""
    found: dict[Var, For] = {}
    for k, (it, e) in enumerate(zip(block.iters, block.bindings, strict=True)):
        others = [b for n, b in enumerate(block.bindings) if n != k]
        if any(it.var in free_vars(other.extent) for other in block.iters):
            continue
        others += [loop.extent for loop in loops]
        loop = next((one for one in loops if one.var is e), None)
        if loop is None or loop.kind != "serial" or any(loop.var in free_vars(o) for o in others):
            continue
        plain = it.var.dtype == INDEX and not free_vars(it.extent) and not loaded(it.extent)
        plain = plain and not divisors(it.extent, {})
        if plain and prove(loop.extent.equal(it.extent)):
            found[it.var] = loop
    return found


def _fixed(
    refuse: Refusal, block: Block, moved: Mapping[Var, For], places: Sequence[Expr]
) -> dict[Expr, tuple[BlockIter, Expr]]:
    """The iterators that stay, with their bindings."""
    found: dict[Expr, tuple[BlockIter, Expr]] = {}
    for it, e in zip(block.iters, block.bindings, strict=True):
        if it.var in moved:
            continue
        if [p for p in places if it.var in free_vars(p)] != [it.var]:
            reason = "is not a serial loop of its own over all of it; the layout must keep it alone"
            raise refuse(f"iterator {spell(it.var)} {reason}")
        before = places[: places.index(it.var)]
        for var in sorted(free_vars(it.extent).difference(before), key=name_of):
            reason = f"its extent speaks of {spell(var)}, which the layout puts after it"
            raise refuse(f"iterator {spell(it.var)} must stay behind: {reason}")
        found[it.var] = it, e
    return found


def _check_order(refuse: Refusal, function: Function, block: Block, loops: Sequence[For]) -> None:
    for it in block.iters:
        if it.kind == "opaque":
            raise refuse(f"iterator {spell(it.var)} is opaque")
    known = ranges(function)
    inside = [one for one in blocks_in(block) if one.init is None]
    for loop in loops:
        whole = [*inside, block] if _reduces_along(block, loop, known) else inside
        clash = carried(loop, known, reductions=whole)
        if clash is not None:
            name = name_of(clash.buffer)
            raise refuse(f"instances may meet in buffer '{name}', and change order")


def _reduces_along(block: Block, loop: For, known: Ranges) -> bool:
    """Whether a reduction of the block goes on in all iterations of a loop.

    One without init does. Else the loop drives reduce iterators alone, and they are all 0 in its
    first iteration only.
    """
    if block.init is None:
        return loop.var not in driving(block, "ordered")
    others = driving(block, "spatial", "ordered")
    return loop.var not in others and loop.var in starting_loops(block, known)


def _kind(refuse: Refusal, block: Block, place: Expr) -> IterKind:
    kinds = list(dict.fromkeys(it.kind for it in block.iters if it.var in free_vars(place)))
    if len(kinds) > 1:
        raise refuse(f"{print_expr(place)} is made of {' and '.join(kinds)} iterators")
    return kinds[0] if kinds else "spatial"


def _check_start(
    refuse: Refusal,
    block: Block,
    iters: Sequence[BlockIter],
    values: Mapping[Var, Expr],
    conditions: Sequence[Expr],
) -> None:
    """Where the new reduce iterators are 0 there is an instance, as there is where the old ones
    are."""
    start: dict[Var, Expr] = {it.var: index(0) for it in iters if it.kind == "reduce"}
    asked = frozenset() if block.predicate is None else free_vars(block.predicate)
    for it, e in zip(block.iters, block.bindings, strict=True):
        value = substitute(values.get(it.var, index(0)), start)
        if it.kind == "reduce" and free_vars(e) & asked and not prove(value.equal(0)):
            raise refuse(
                f"its reduction would not start where {spell(it.var)} is 0, and its predicate may"
                " leave out where it would"
            )
    for e in conditions:
        if free_vars(e) & set(start) and simplify(substitute(e, start)) is not TRUE:
            raise refuse("its reduction would not start in an instance")


def _spelled(block: Block, values: Mapping[Var, Expr], iters: Sequence[BlockIter]) -> Block:
    """The block with its init and body in terms of the new iterators."""
    limits = iterator_ranges(iters)

    def simple(node: Node) -> Node | None:
        if isinstance(node, Load | Store):
            return node.replace(indices=tuple([simplify(i, limits) for i in node.indices]))
        return None

    init = None if block.init is None else rewrite(substitute(block.init, values), simple)
    body = rewrite(substitute(block.body, values), simple)
    return block.replace(init=init, body=body)
