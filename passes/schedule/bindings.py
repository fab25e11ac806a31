"""How the loops around a block drive its iterators.

i = i_o*4 + i_i, i_o < ceildiv(n, 4), i_i < 4, where(i < n)      each i of 0 … n-1 once
h = f//64, d = f%64, f < 512                                     each pair once
i = j*2, j < 8, of 16 values                                     some, each once
i = min(j, 7), j < 16                                            each, some more than once
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from passes.ir.arith import free_vars, linear, prove
from passes.ir.expr import Expr, Var
from passes.ir.loop.nodes import Block, For, Stmt
from passes.schedule.accesses import Ranges, ranges
from passes.schedule.coverage import digits, in_iterators, runs
from passes.schedule.dependence import Facts, differ, reachable
from passes.schedule.tree import loaded


@dataclass(frozen=True)
class Bindings:
    """What is proven of the instances that a block has in some loops around it.

    `affine`: every binding is linear in the loops, or in quotients and remainders of them.
    `once` (injective): no two iterations run the same instance. `every` (surjective): each value
    of the iterators in their extents is run. `padded`: a predicate keeps iterations from running.
    """

    affine: bool
    once: bool
    every: bool
    padded: bool

    @property
    def bijective(self) -> bool:
        """Each instance is run exactly once."""
        return self.once and self.every


def bindings_of(path: Sequence[Stmt], loops: Sequence[For] | None = None) -> Bindings:
    """The bindings of the block at the end of a path (from the root), as far as `loops` among it
    drive them, if none are given all those inside the next block around. The others stand still.
    """
    *outside, block = path
    assert isinstance(block, Block)
    around = [s for s in outside if isinstance(s, For)]
    inner = [k for k, s in enumerate(outside) if isinstance(s, Block)]
    own = [s for s in outside[inner[-1] if inner else 0 :] if isinstance(s, For)]
    moving = own if loops is None else list(loops)
    known = {v: r for loop in around for v, r in ranges(loop).items() if v is loop.var}
    needed = reachable([block, *moving], known)
    facts = tuple([(v, *known[v]) for v in known if v in needed])
    return _bindings(block, tuple([(loop.var, loop.extent) for loop in moving]), facts)


@lru_cache(maxsize=1 << 10)
def _bindings(block: Block, loops: tuple[tuple[Var, Expr], ...], facts: Facts) -> Bindings:
    known: Ranges = {v: (low, high) for v, low, high in facts}
    extents = dict(loops)
    padded = block.predicate is not None
    if any(loaded(e) for e in (*block.bindings, *extents.values())):
        return Bindings(False, False, False, padded)
    apart = digits(block.bindings, extents, known)
    affine = all(linear(e, list(apart.extents)) is not None for e in apart.exprs)
    used = frozenset[Var]().union(*[free_vars(e) for e in block.bindings])
    idle = [extent for var, extent in loops if var not in used]
    once = all(prove(extent <= 1, known) for extent in idle) and differ(
        block.bindings, [var for var, _ in loops if var in used], known
    )
    busy = {var: extent for var, extent in loops if var in used}
    runs_idle = all(prove(extent >= 1, known) for extent in idle)
    return Bindings(affine, once, runs_idle and _covers(block, busy, known), padded)


def _covers(block: Block, loops: Mapping[Var, Expr], known: Ranges) -> bool:
    """Whether the values of the iterators that are run include all of their extents."""
    found = runs(block.bindings, loops, known)
    asked = in_iterators(block, frozenset(loops))
    if found is None or asked is None:
        return False
    own: dict[Var, tuple[Expr | int, Expr | int]] = {}
    for it, run in zip(block.iters, found, strict=True):
        if not prove(run.first <= 0, known) or not prove(run.end >= it.extent, known):
            return False
        own[it.var] = 0, it.extent - 1
    limits = {**known, **own}
    return all(prove(condition, limits) for condition in asked)
