"""cache_index: where a block reads or stores is worked out once."""

from __future__ import annotations

from collections.abc import Iterator

from passes.ir.arith import bounds, free_vars
from passes.ir.dtypes import I32, I64, INDEX, DType
from passes.ir.expr import Add, Cast, Expr, FloorDiv, FloorMod, Mul, Sub, cast
from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import Block, Buffer, Function, Load, Scope, Store
from passes.ir.node import Node, postorder
from passes.schedule.accesses import iterator_ranges
from passes.schedule.staging import Staging, block_axes, staged, with_body
from passes.schedule.tree import Refusal, fresh_ordinal, get_buffer, loaded, path_to_block


def cache_index(
    function: Function, label: str, buffer: str, scope: Scope
) -> tuple[Function, tuple[str, ...]]:
    """Index expressions that look up memory or divide go through buffers of integers.

        block c: y[i, j] = x[cast(ids[i // 3], index), j]            indices of x
        → for i: block c_index: x_i[i] = ids[i // 3]
          block c: y[i, j] = x[cast(x_i[i], index), j]

    Gives the function and the labels of the new blocks, one for each such part of the indices by
    which the block reads or stores to the buffer. A part has one axis for each iterator that it
    speaks of; it is computed before the outermost statement around the block in which what it reads
    does not change. Raises ScheduleError if there is no such part, or it may fail where the block
    does not need it.
    """
    refuse = Refusal("cache_index", f"block '{label}', buffer '{buffer}'", function, label)
    target = get_buffer(function, buffer, "cache_index")
    labels: list[str] = []
    cached: set[Expr] = set()
    while True:
        found = path_to_block(function, label, "cache_index")
        block = found[-1]
        assert isinstance(block, Block)
        part = next((p for p in _parts(block, target) if p not in cached), None)
        if part is None:
            break
        axes = block_axes(refuse, block, part)
        value = part.value if isinstance(part, Cast) else cast(part, _width(block, part))
        shape = tuple([axis.extent for axis in axes])
        cache = Buffer(f"{target.name}_i", fresh_ordinal(function), shape, value.dtype, scope)
        place = tuple([axis.var for axis in axes])
        read = cast(Load(cache, place), INDEX)
        cached.add(read)
        exchanged: dict[Node, Node] = {part: read}
        reader = with_body(block, exchanged.get)
        wanted = Staging(axes, cache, place, value, reader)
        function, made = staged(refuse, function, found, wanted, f"{label}_index")
        labels.append(made)
    if not labels:
        raise refuse(f"no index of '{name_of(target)}' in it looks up memory or divides")
    return function, tuple(labels)


def _parts(block: Block, target: Buffer) -> Iterator[Expr]:
    """The costly parts of the indices by which a block touches a buffer."""
    iters = {it.var for it in block.iters}
    bodies = [block.body] if block.init is None else [block.init, block.body]
    for node in postorder(*bodies):
        if isinstance(node, Load | Store) and node.buffer is target:
            for i in node.indices:
                yield from (p for p in _costly(i) if free_vars(p) <= iters and p.dtype == INDEX)


def _costly(e: Expr) -> Iterator[Expr]:
    """The largest parts of an index that look up memory or divide, but for sums and products."""
    if isinstance(e, Add | Sub | Mul):
        yield from _costly(e.a)
        yield from _costly(e.b)
    elif loaded(e) or any(isinstance(n, FloorDiv | FloorMod) for n in postorder(e)):
        yield e


def _width(block: Block, part: Expr) -> DType:
    """The narrowest of i32 and i64 that takes all values of an index."""
    limits = iterator_ranges(block.iters)
    low, high = bounds(part, limits)
    narrow = low is not None and high is not None and low >= -(1 << 31) and high < 1 << 31
    return I32 if narrow else I64
