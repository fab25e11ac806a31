"""Buffers with one axis for each block iterator that an access speaks of."""

from __future__ import annotations

from collections.abc import Sequence

from passes.ir.arith import free_vars
from passes.ir.expr import Expr, Var
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import Block, BlockIter, Buffer, Function, Load, Scope, Stmt
from passes.ir.node import postorder
from passes.schedule.accesses import iterator_ranges
from passes.schedule.dependence import differ
from passes.schedule.layouts import IndexMap, image_of
from passes.schedule.staging import Staging, block_axes, check_known, staged, with_body
from passes.schedule.tree import Refusal, fresh_ordinal, get_buffer
from passes.schedule.write_back import output_of, written_back


def read_part(refuse: Refusal, function: Function, block: Block, name: str) -> tuple[Load, str]:
    """The one element of a buffer that the block reads, and what to call its copy."""
    source = get_buffer(function, name, refuse.primitive)
    bodies = [block.body] if block.init is None else [block.init, block.body]
    loads = [n for n in postorder(*bodies) if isinstance(n, Load) and n.buffer is source]
    if len(loads) != 1:
        texts = ", ".join([print_expr(load) for load in loads])
        what = f"several elements of it, {texts}" if loads else "nothing of it"
        raise refuse(f"it reads {what}")
    return loads[0], f"{source.name}_r"


def stage_part(
    refuse: Refusal,
    function: Function,
    found: Sequence[Stmt],
    part: Expr,
    name: str,
    scope: Scope,
    layout: IndexMap | None,
) -> tuple[Function, str]:
    """The function with a part of the block's body computed beforehand into a buffer `name`, and
    the label of the block that does it."""
    block = found[-1]
    assert isinstance(block, Block)
    if part.dtype.lanes > 1:
        raise refuse(f"{print_expr(part)} is a vector")
    inner = free_vars(part) - {it.var for it in block.iters}
    if inner:
        raise refuse(f"{print_expr(part)} speaks of a loop inside the block")
    axes = block_axes(refuse, block, part)
    iters = [it for it in block.iters if it.var in {axis.var for axis in axes}]
    place, shape = _laid_out(refuse, iters, layout)
    buffer = Buffer(name, fresh_ordinal(function), shape, part.dtype, scope)
    read = Load(buffer, place)
    reader = with_body(block, lambda n: read if n is part else None)
    wanted = Staging(axes, buffer, place, part, reader)
    return staged(refuse, function, found, wanted, f"{block.label}_read")


def store_apart(
    refuse: Refusal,
    function: Function,
    found: Sequence[Stmt],
    name: str | None,
    scope: Scope,
    layout: IndexMap | None,
) -> tuple[Function, str]:
    """The function whose block stores to a buffer of its own, and the label of the block that
    copies from there."""
    block = found[-1]
    assert isinstance(block, Block)
    output = output_of(refuse, function, found, name)
    speaking = output.iters(block)
    iters = [it for it in block.iters if it in speaking]
    if not differ(output.indices, [it.var for it in iters], iterator_ranges(iters)):
        places = ", ".join([print_expr(i) for i in output.indices])
        raise refuse(f"two instances may store to {name_of(output.buffer)}[{places}]")
    place, shape = _laid_out(refuse, iters, layout)
    target = output.buffer
    cache = Buffer(f"{target.name}_w", fresh_ordinal(function), shape, target.dtype, scope)
    return written_back(refuse, function, found, output, cache, place)


def _laid_out(
    refuse: Refusal, iters: Sequence[BlockIter], layout: IndexMap | None
) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
    """Where the elements of the iterators lie, and within which shape."""
    axes: list[Var] = [it.var for it in iters]
    extents = [it.extent for it in iters]
    for it in iters:
        check_known(refuse, it)
    if layout is None:
        return tuple(axes), tuple(extents)
    image = image_of(refuse, layout, axes, extents)
    return image.simple, image.shape
