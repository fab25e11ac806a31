"""Perfect nests around blocks written by hand, where `map` and `reduce` do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from passes.ir.expr import Expr, IntLike, Var
from passes.ir.loop.builder import LoopBuilder


@contextmanager
def nested_block(
    b: LoopBuilder,
    label: str,
    spatial: Sequence[tuple[str, IntLike]],
    reduce: Sequence[tuple[str, IntLike]] = (),
    around: Sequence[tuple[IntLike, Var]] = (),
    ordered: Sequence[tuple[IntLike, Var]] = (),
    where: Callable[..., Expr] | None = None,
) -> Iterator[tuple[Var, ...]]:
    """A block in new loops of its own, one per (name, extent) of `spatial` and `reduce`.

    `around` and `ordered` are (extent, loop variable) of loops already open, which the block
    iterates over too; `where` makes the predicate of the new loops. Yields the iterators:
    `around`, `spatial`, `reduce`, `ordered`.
    """
    with ExitStack() as stack:
        loops = [stack.enter_context(b.loop(name, e)) for name, e in (*spatial, *reduce)]
        own = [(e, var) for (_, e), var in zip((*spatial, *reduce), loops, strict=True)]
        kept = len(spatial)
        predicate = where(*loops) if where else None
        with b.block(
            label, [*around, *own[:kept]], own[kept:], ordered=ordered, where=predicate
        ) as iters:
            yield iters
