"""reindex_cache_read: a factor of a reduction is staged in a buffer of the block's own shape."""

from __future__ import annotations

from passes.ir.arith import free_vars, substitute
from passes.ir.expr import Call, Cast, Expr, Mul, Var
from passes.ir.loop.nodes import Block, BlockIter, Buffer, For, Function, Scope, Stmt, Store, seq
from passes.ir.loop.nodes import Load as LoadNode
from passes.ir.node import rewrite
from passes.schedule.combiner import combiner_of
from passes.schedule.tree import ScheduleError, fresh_ordinal, own_nest, path_to_block, replace


def reindex_cache_read(
    function: Function, label: str, factor: int, scope: Scope
) -> tuple[Function, str]:
    """Computes one factor of the reduced product beforehand; gives the new block's label.

        block c: y[i] = y[i] + f32(q[j, k // 2] >> k % 2 * 4) * x[i, k]      factor 0
        → for j: for k: block c_read: r[j, k] = q[j, k // 2] >> k % 2 * 4
          block c: y[i] = y[i] + f32(r[j, k]) * x[i, k]

    The buffer has one axis for each block iterator the factor depends on, in the block's order,
    so a gather or a decoding becomes contiguous. An outer cast of the factor stays in the block.
    """
    found = path_to_block(function, label, "reindex_cache_read")
    block = found[-1]
    assert isinstance(block, Block)
    place = f"block '{label}'"
    combiner = combiner_of(block)
    factors = [] if combiner is None else _factors(combiner.value)
    if combiner is None or not 0 <= factor < len(factors):
        reason = f"it reduces a product of {len(factors)} factors; factor {factor} is not there"
        raise ScheduleError("reindex_cache_read", place, reason, function)
    part = factors[factor]
    while isinstance(part, Cast):
        part = part.value
    used = free_vars(part)
    axes = [it for it in block.iters if it.var in used]
    first = fresh_ordinal(function)
    shape = tuple([it.extent for it in axes])
    stage = Buffer(f"{combiner.target.name}_r", first, shape, part.dtype, scope)
    loops = [Var(it.var.name, first + 1 + k) for k, it in enumerate(axes)]
    first += 1 + len(axes)
    own: dict[Var, Expr] = {it.var: Var(it.var.name, first + k) for k, it in enumerate(axes)}
    inner = tuple(own.values())
    iters = tuple([BlockIter(v, it.extent) for v, it in zip(inner, axes, strict=True) if isinstance(v, Var)])
    body: Stmt = Block(
        f"{label}_read", iters, tuple(loops), Store(stage, inner, substitute(part, own))
    )
    for var, it in zip(reversed(loops), reversed(axes), strict=True):
        body = For(var, it.extent, body)
    read = LoadNode(stage, tuple([it.var for it in axes]))
    new = rewrite(block, lambda n: read if n is part else None)
    nest = own_nest(found)[0]
    swapped = rewrite(nest, lambda n: new if n is block else None)
    function = replace(function, nest, seq(body, swapped))
    return function.replace(allocs=(*function.allocs, stage)), f"{label}_read"


def _factors(value: Expr) -> list[Expr]:
    if isinstance(value, Mul):
        return _factors(value.a) + _factors(value.b)
    if isinstance(value, Call) and value.name == "fma":
        return [value.args[0], value.args[1]]
    return [value]
