"""reindex_cache_read: what a block reads is staged in a buffer of the block's own shape."""

from __future__ import annotations

from passes.ir.expr import Cast, Expr, Mul
from passes.ir.expr_text import print_expr
from passes.ir.loop.nodes import Block, Function, Load, Scope
from passes.ir.node import postorder
from passes.schedule.combiner import combiner_of
from passes.schedule.layouts import IndexMap
from passes.schedule.reindexing import read_part, stage_part
from passes.schedule.tree import Refusal, path_to_block


def reindex_cache_read(
    function: Function,
    label: str,
    what: int | str,
    scope: Scope,
    layout: IndexMap | None = None,
) -> tuple[Function, str]:
    """Computes what the block reads of a buffer, or one factor of the product that it reduces,
    beforehand; gives the new block's label.

        block c: y[i] = y[i] + f32(q[j, k // 2] >> k % 2 * 4) * x[i, k]      factor 0
        → for j: for k: block c_read: r[j, k] = q[j, k // 2] >> k % 2 * 4
          block c: y[i] = y[i] + f32(r[j, k]) * x[i, k]

    The buffer has one axis for each block iterator the part depends on, in the block's order, so a
    gather or a decoding becomes contiguous; a `layout` of those axes says otherwise where its
    elements lie. An outer cast of a factor stays in the block. The part is computed before the
    outermost statement around the block in which what it reads does not change. Raises
    ScheduleError if there is no such part, or it may fail where the block does not need it.
    """
    found = path_to_block(function, label, "reindex_cache_read")
    block = found[-1]
    assert isinstance(block, Block)
    refuse = Refusal("reindex_cache_read", f"block '{label}'", function, label)
    part: Expr
    if isinstance(what, str):
        part, name = read_part(refuse, function, block, what)
    else:
        part, name = _factor(refuse, block, what)
    return stage_part(refuse, function, found, part, name, scope, layout)


def _factor(refuse: Refusal, block: Block, number: int) -> tuple[Expr, str]:
    """The factor of that number, and what to call its buffer."""
    combiner = combiner_of(block)
    factors = [] if combiner is None else factors_of(combiner.value)
    if combiner is None or not 0 <= number < len(factors):
        raise refuse(f"it reduces a product of {len(factors)} factors; there is no factor {number}")
    part = uncast(factors[number])
    if not any(isinstance(n, Load) for n in postorder(part)):
        raise refuse(f"the factor {print_expr(part)} reads no memory")
    if part not in postorder(block.body):
        raise refuse(f"factor {number} is a sum of terms, which the block has not in one piece")
    return part, f"{combiner.target.name}_r"


def factors_of(value: Expr) -> list[Expr]:
    """The factors of a product, in order; those of what is cast stay together."""
    return factors_of(value.a) + factors_of(value.b) if isinstance(value, Mul) else [value]


def uncast(factor: Expr) -> Expr:
    """What a factor is cast from."""
    while isinstance(factor, Cast):
        factor = factor.value
    return factor
