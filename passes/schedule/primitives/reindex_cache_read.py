"""reindex_cache_read: a factor of a reduction is staged in a buffer of the block's own shape."""

from __future__ import annotations

from passes.ir.arith import free_vars, prove, substitute
from passes.ir.expr import Call, Cast, Expr, Mul, Var
from passes.ir.expr_text import name_of, print_expr
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
from passes.ir.node import postorder, rewrite
from passes.schedule.combiner import combiner_of
from passes.schedule.legality import checked
from passes.schedule.reductions import only_bounded
from passes.schedule.tree import (
    Refusal,
    fresh_label,
    fresh_ordinal,
    loops_in,
    own_nest,
    path_to_block,
    replace,
    spell,
    written,
)


def reindex_cache_read(
    function: Function, label: str, factor: int, scope: Scope
) -> tuple[Function, str]:
    """Computes one factor of the reduced product beforehand; gives the new block's label.

        block c: y[i] = y[i] + f32(q[j, k // 2] >> k % 2 * 4) * x[i, k]      factor 0
        → for j: for k: block c_read: r[j, k] = q[j, k // 2] >> k % 2 * 4
          block c: y[i] = y[i] + f32(r[j, k]) * x[i, k]

    The buffer has one axis for each block iterator the factor depends on, in the block's order,
    so a gather or a decoding becomes contiguous. An outer cast of the factor stays in the block.
    The factor is computed over whole axes: what it reads is there before the block's loops start.
    """
    found = path_to_block(function, label, "reindex_cache_read")
    block = found[-1]
    assert isinstance(block, Block)
    refuse = Refusal("reindex_cache_read", f"block '{label}'", function, label)
    combiner = combiner_of(block)
    factors = [] if combiner is None else _factors(combiner.value)
    if combiner is None or not 0 <= factor < len(factors):
        raise refuse(f"it reduces a product of {len(factors)} factors; there is no factor {factor}")
    part = factors[factor]
    while isinstance(part, Cast):
        part = part.value
    axes = [it for it in block.iters if it.var in free_vars(part)]
    nest = own_nest(found)[0]
    _check(refuse, function, block, part, axes)
    first = fresh_ordinal(function)
    shape = tuple([it.extent for it in axes])
    stage = Buffer(f"{combiner.target.name}_r", first, shape, part.dtype, scope)
    name = fresh_label(function, f"{label}_read")
    staging = _staging(name, stage, part, axes, first + 1)
    read = Load(stage, tuple([it.var for it in axes]))
    new = rewrite(block, lambda n: read if n is part else None)
    if new is block:
        raise refuse(f"factor {factor} is a sum of terms, which the block has not in one piece")
    swapped = rewrite(nest, lambda n: new if n is block else None)
    function = replace(function, nest, seq(staging, swapped))
    return checked(function.replace(allocs=(*function.allocs, stage)), refuse), name


def _check(
    refuse: Refusal, function: Function, block: Block, part: Expr, axes: list[BlockIter]
) -> None:
    found = path_to_block(function, block.label, refuse.primitive)
    reads = {n.buffer for n in postorder(part) if isinstance(n, Load)}
    if not reads:
        raise refuse(f"the factor {print_expr(part)} reads no memory")
    if not only_bounded(block):
        raise refuse("its predicate excludes more than what is outside its axes")
    loops = {s.var: s for s in loops_in(found)}
    bindings = dict(zip(block.iters, block.bindings, strict=True))
    for it in axes:
        if free_vars(it.extent) or any(isinstance(n, Load) for n in postorder(it.extent)):
            raise refuse(f"the extent of iterator {spell(it.var)} is not known outside its loops")
        loop = loops.get(bindings[it])  # type: ignore[call-overload]
        whole = loop is not None and prove(loop.extent.equal(it.extent))
        if reads & set(function.allocs) and not whole:
            name = sorted(name_of(b) for b in reads & set(function.allocs))[0]
            raise refuse(f"its loops may not run over all of {spell(it.var)}, along which"
                         f" '{name}' may not be all computed")  # fmt: skip
    for loop in (s for s in loops_in(found) if s not in own_nest(found)):
        growing = sorted(name_of(b) for b in written(loop) & reads)
        if growing:
            raise refuse(f"loop {spell(loop.var)} around it stores to '{growing[0]}'")


def _staging(label: str, stage: Buffer, part: Expr, axes: list[BlockIter], first: int) -> Stmt:
    """Loops over whole axes with a block that computes the factor."""
    loops = [Var(it.var.name, first + k) for k, it in enumerate(axes)]
    first += len(axes)
    own = {it.var: Var(it.var.name, first + k) for k, it in enumerate(axes)}
    iters = tuple([BlockIter(own[it.var], it.extent) for it in axes])
    store = Store(stage, tuple(own.values()), substitute(part, own))
    body: Stmt = Block(label, iters, tuple(loops), store)
    for var, it in zip(reversed(loops), reversed(axes), strict=True):
        body = For(var, it.extent, body)
    return body


def _factors(value: Expr) -> list[Expr]:
    if isinstance(value, Mul):
        return _factors(value.a) + _factors(value.b)
    if isinstance(value, Call) and value.name == "fma":
        return [value.args[0], value.args[1]]
    return [value]
