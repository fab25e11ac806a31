"""What rules ask of a program: which blocks map, which reduce, how their loops may be cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from passes.ir.arith import free_vars
from passes.ir.expr import Call, Const, Div, Expr, Var
from passes.ir.loop.nodes import Block, For, Function, Seq, Stmt, Store
from passes.ir.node import postorder
from passes.schedule.schedule import Schedule
from passes.schedule.tree import (
    ScheduleError,
    blocks_in,
    get_block,
    get_loop,
    loaded,
    own_nest,
    path_to_block,
)
from passes.search.defaults.choose import choose_whether


def blocks(s: Schedule) -> list[Block]:
    """The blocks of the program so far, in order."""
    return blocks_in(s.function.body)


def is_map(block: Block) -> bool:
    """Whether the block stores, once per instance and unconditionally, what it computes."""
    store = block.body
    plain = isinstance(store, Store) and block.init is None and block.predicate is None
    return plain and all(it.kind == "spatial" for it in block.iters)


def reduces(block: Block) -> bool:
    return any(it.kind == "reduce" for it in block.iters)


def is_row(s: Schedule, loop: Var) -> bool:
    """Whether a loop drives nothing but spatial iterators, one of each block inside."""
    for block in blocks_in(get_loop(s.function, loop, "is_row")):
        pairs = zip(block.iters, block.bindings, strict=True)
        if {it.kind for it, binding in pairs if loop in free_vars(binding)} != {"spatial"}:
            return False
    return True


def inline_maps(
    s: Schedule, is_staged: Callable[[Block, list[Block]], bool] = lambda block, readers: False
) -> None:
    """Dissolves the maps into temporaries that cost little to repeat, or have one reader.

    A map that reads a reduction's result with fewer axes than its reader, or that calls a
    function, is kept unless one block of the same rank reads it: repeating it would cost more
    than the memory it saves. So is one that `is_staged`, given it and its readers.
    """
    for block in blocks(s):
        if not is_map(block):
            continue
        store = block.body
        assert isinstance(store, Store)
        if store.buffer not in s.function.allocs or store.buffer in loaded(block):
            continue
        if set(store.indices) != {it.var for it in block.iters}:
            continue
        readers = [b for b in blocks(s) if b is not block and store.buffer in loaded(b)]
        costly = any(isinstance(n, Call | Div) for n in postorder(store.value))
        single = len(readers) == 1 and len(readers[0].iters) == len(block.iters)
        if readers and (single or not costly) and not is_staged(block, readers):
            attempt(s, partial(s.compute_inline, block.label))


def refusal(s: Schedule, steps: Callable[[], object]) -> ScheduleError | None:
    """Takes the steps if all of them can be taken, else none; gives what refused them."""
    count = len(s.trace)
    try:
        steps()
    except ScheduleError as error:
        s.undo(count)
        return error
    return None


def attempt(s: Schedule, steps: Callable[[], object]) -> bool:
    """Takes the steps if all of them can be taken, else none."""
    return refusal(s, steps) is None


def told(error: ScheduleError) -> str:
    """A refusal in one line, for the notes of a trace."""
    return " ".join(f"{error.primitive} of {error.place}: {error.reason}".split())


def extent(s: Schedule, loop: Var) -> Expr:
    return get_loop(s.function, loop, "extent").extent


def constant(e: Expr) -> int | None:
    """The value of a constant extent, None if it is symbolic."""
    return int(e.value) if isinstance(e, Const) else None


def own_loops(s: Schedule, label: str) -> list[Var]:
    """The loops that hold nothing but the block, outermost first."""
    nest = own_nest(path_to_block(s.function, label, "own_loops"))
    return [loop.var for loop in nest if isinstance(loop, For)]


def driven(s: Schedule, label: str, kind: str) -> list[Var]:
    """The block's own loops that drive iterators of a kind."""
    block = get_block(s.function, label, "driven")
    pairs = zip(block.iters, block.bindings, strict=True)
    used = frozenset[Var]().union(*[free_vars(e) for it, e in pairs if it.kind == kind])
    return [var for var in own_loops(s, label) if var in used]


def vector_factor(count: int, lanes: int) -> int:
    """The largest power of two up to `lanes` that divides `count`."""
    factor = lanes
    while count % factor:
        factor //= 2
    return factor


def vectorize_lanes(s: Schedule, loop: Var, lanes: int, unroll: bool = True) -> None:
    """Cuts a loop of constant extent into vectors (unrolled, or run in a loop) of full lanes."""
    count = constant(extent(s, loop))
    if count is None or count == 1:
        return
    factor = vector_factor(count, lanes)
    if factor == 1:
        return
    if factor == count:
        s.vectorize(loop)
        return
    outer, inner = s.split(loop, factor)
    s.vectorize(inner)
    if unroll:
        s.unroll(outer)


def parallel_outer(s: Schedule, loops: Sequence[Var]) -> Var | None:
    """The longest run of leading loops whose iterations are independent, fused and parallel, unless
    it is decided that one thread runs them all.

    None if even the first one's iterations may meet (a scatter): the nest runs on one thread.
    """
    if not loops or not choose_whether(s, f"{_label(s, loops[0])}: parallel", True):
        return None
    whole: Var | None = None
    for loop in loops:
        count = len(s.trace)
        try:
            s.parallel(loop)
            whole = loop if whole is None else s.fuse(whole, loop)
        except ScheduleError:
            s.undo(count)
            break
    return whole


def _label(s: Schedule, loop: Var) -> str:
    """The first block in a loop: what decisions about it are named by."""
    return blocks_in(get_loop(s.function, loop, "label"))[0].label


def top_nests(function: Function) -> list[Stmt]:
    """The statements at the top of a function."""
    return list(function.body.stmts) if isinstance(function.body, Seq) else [function.body]


def chain(nest: For) -> list[Var]:
    """The perfectly nested loops from the top, outermost first."""
    found = [nest.var]
    while isinstance(nest.body, For):
        nest = nest.body
        found.append(nest.var)
    return found
