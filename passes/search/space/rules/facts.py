"""What rules ask of a block."""

from __future__ import annotations

from passes.ir.expr import Call, Div, Var
from passes.ir.loop.nodes import Block, For, Seq, Stmt, Store
from passes.ir.node import postorder
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_loop, loaded, loops_in, path_to_block, written
from passes.search.defaults.shape import blocks, is_map, own_loops


def readers(s: Schedule, block: Block) -> list[Block]:
    """The other blocks that read what a block stores to temporaries, in order."""
    made = written(block) & set(s.function.allocs)
    return [b for b in blocks(s) if b is not block and loaded(b) & made]


def computes(block: Block) -> bool:
    """Whether it calls a function or divides: more than memory costs."""
    return any(isinstance(n, Call | Div) for n in postorder(block.body))


def fills_temporary(s: Schedule, block: Block) -> bool:
    """Whether it computes each element of a temporary, from others."""
    store = block.body
    return (
        is_map(block)
        and isinstance(store, Store)
        and store.buffer in s.function.allocs
        and store.buffer not in loaded(block)
    )


def is_untouched(s: Schedule, label: str) -> bool:
    """Whether the block is as it was written: serial loops, one for each iterator, hold it and
    nothing else."""
    block = path_to_block(s.function, label, "rule")[-1]
    assert isinstance(block, Block)
    around = loops_in(path_to_block(s.function, label, "rule"))
    own = own_loops(s, label)
    plain = set(block.bindings) == set(own) and len(own) == len(block.iters)
    return plain and len(around) == len(own) and all(loop.kind == "serial" for loop in around)


def nest_of(s: Schedule, label: str) -> Stmt:
    """The statement at the top of the function that holds the block."""
    found = path_to_block(s.function, label, "rule")
    return found[1] if isinstance(found[0], Seq) else found[0]


def kind(s: Schedule, loop: Var) -> str:
    return get_loop(s.function, loop, "rule").kind


def is_in_lanes(s: Schedule, label: str) -> bool:
    """Whether lanes, or unrolled code, hold the block already."""
    around = loops_in(path_to_block(s.function, label, "rule"))
    return any(loop.kind in ("vectorized", "unrolled") for loop in around)


def nest_loops(nest: Stmt) -> list[For]:
    """The perfectly nested loops from the top of a nest, outermost first."""
    found: list[For] = []
    while isinstance(nest, For):
        found.append(nest)
        nest = nest.body
    return found
