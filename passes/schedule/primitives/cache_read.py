"""cache_read: a block reads one buffer through a copy."""

from __future__ import annotations

from passes.ir.expr import Var
from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import Block, Buffer, Function, Load, Scope
from passes.ir.node import Node, postorder
from passes.schedule.staging import Axis, Staging, accesses_below, staged, with_body
from passes.schedule.tree import Refusal, fresh_ordinal, get_buffer, path_to_block


def cache_read(function: Function, label: str, buffer: str, scope: Scope) -> tuple[Function, str]:
    """Gives the function and the label of the copying block.

        for i: for k: block c: y[i] = y[i] + w[k, i]             the buffer w
        → for i: for j: block c_read: w_c[i, j] = w[i, j]
          for i: for k: block c: y[i] = y[i] + w_c[k, i]

    The copy has the shape of the buffer and holds what the block reads of it, or whole axes where
    that cannot be told; `compute_at` brings it to where a tile of it is needed. It is made before
    the outermost statement around the block that does not store to the buffer. Other blocks go on
    reading the buffer itself. Raises ScheduleError if the block does not read the buffer, or stores
    to it, or what is copied may not be there yet.
    """
    found = path_to_block(function, label, "cache_read")
    block = found[-1]
    assert isinstance(block, Block)
    refuse = Refusal("cache_read", f"block '{label}', buffer '{buffer}'", function, label)
    source = get_buffer(function, buffer, "cache_read")
    reads = [a for a in accesses_below(block) if a.buffer is source]
    if not any(not a.is_store for a in reads):
        raise refuse("it does not read the buffer")
    if any(a.is_store for a in reads):
        raise refuse(f"it stores to '{name_of(source)}'")
    first = fresh_ordinal(function)
    names = _axis_names(block, source)
    axes = []
    for k, (name, extent) in enumerate(zip(names, source.shape, strict=True)):
        used = tuple(dict.fromkeys([a.indices[k] for a in reads]))
        axes.append(Axis(Var(name, first + 1 + k), extent, used))
    copy = Buffer(f"{source.name}_c", first, source.shape, source.dtype, scope)

    def through(node: Node) -> Node | None:
        if isinstance(node, Load) and node.buffer is source:
            return Load(copy, node.indices)
        return None

    reader = with_body(block, through)
    place = tuple([axis.var for axis in axes])
    wanted = Staging(tuple(axes), copy, place, Load(source, place), reader)
    return staged(refuse, function, found, wanted, f"{label}_read")


def _axis_names(block: Block, source: Buffer) -> list[str]:
    """What to call the copy's loops: as the block's iterators, where it reads at those."""
    names = ["ijklmn"[k % 6] for k in range(len(source.shape))]
    for load in (n for n in postorder(block.body) if isinstance(n, Load) and n.buffer is source):
        for k, i in enumerate(load.indices):
            if isinstance(i, Var):
                names[k] = i.name
    return names
