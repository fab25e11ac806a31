"""When statements may touch the same element: the questions legality checks ask.

Answers are conservative: "may" unless disjointness is proved from the indices.

    two iterations t < u of a loop, everything inside it free, never meet in y[t*4 + j], j < 4,
    because  (u*4 + j') - (t*4 + j) >= 1  holds for all of them
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement

from passes.ir.arith import (
    Env,
    Narrowed,
    dims_of,
    free_vars,
    narrowed,
    prove,
    simplify,
    substitute,
)
from passes.ir.arith.terms import build, terms
from passes.ir.expr import Const, Expr, FloorDiv, FloorMod, Var
from passes.ir.loop.nodes import Block, Buffer, For
from passes.ir.node import Node, postorder
from passes.schedule.accesses import Access, Ranges, accesses
from passes.schedule.combiner import reduction_of
from passes.schedule.strides import distinct
from passes.schedule.tree import loaded, statements, written

_SPLITS = 6  # how many fused loops one variable may be taken apart into
Facts = tuple[tuple[Var, Expr, Expr], ...]
"""Loops with their first and last values, as the key of a memo."""
_NONE: Mapping[Var, Expr] = {}


def carried(
    loop: For,
    known: Ranges,
    *,
    reductions: Container[Block | None] = (),
    private: Iterable[Buffer] = (),
) -> Access | None:
    """An access of one iteration that may meet another iteration's store; None if none does.

    `known` are the ranges of all loops of the function. Instances of the blocks `reductions` may
    meet in the target of their own reduction: they combine in any order. Buffers of which each
    iteration has its own are `private`.
    """
    apart = set(private)
    inside = [a for a in accesses(loop.body) if a.buffer not in apart]
    free = inner_loops(loop)
    stored = written(loop.body)
    for a, b in _pairs(inside):
        if a.block in reductions and combining(a, b):
            continue
        if not never_meet(a, b, loop.var, free, known, stored):
            return a if a.is_store else b
    return None


def conflict_between(first: For, second: For, known: Ranges) -> Buffer | None:
    """A buffer through which a later iteration of `first` may meet an earlier one of `second`.

    Both loops have the same extent. None means they may share one loop.
    """
    one, two = accesses(first.body), accesses(second.body)
    free = inner_loops(first) | inner_loops(second)
    stored = written(first) | written(second)
    shared: dict[Var, Expr] = {second.var: first.var}
    known = {
        v: (substitute(lo, shared), substitute(hi, shared))
        for v, (lo, hi) in known.items()
        if v is not second.var
    }
    seen = set()
    for b in two:
        there = tuple([substitute(i, shared) for i in b.indices])
        for a in one:
            key = a.buffer, a.indices, there, a.is_store or b.is_store
            if a.buffer is not b.buffer or not key[-1] or key in seen:
                continue
            seen.add(key)
            if not _apart(there, a.indices, first.var, free, known, stored):
                return a.buffer
    return None


def never_meet(
    a: Access,
    b: Access,
    var: Var,
    free: Iterable[Var],
    known: Ranges,
    stored: frozenset[Buffer],
) -> bool:
    """Whether `a` at one iteration of `var` and `b` at another never touch the same element.

    The loops `free` run independently for both; all others are at the same iteration.
    """
    inside = frozenset(free)
    return _apart(a.indices, b.indices, var, inside, known, stored) and (
        a.indices == b.indices or _apart(b.indices, a.indices, var, inside, known, stored)
    )


def never_meets_later(
    a: Access,
    b: Access,
    var: Var,
    free: Iterable[Var],
    known: Ranges,
    stored: frozenset[Buffer],
) -> bool:
    """Whether `b` at a later iteration of `var` never touches what `a` does; as `never_meet`."""
    return _apart(a.indices, b.indices, var, frozenset(free), known, stored)


def disjoint(
    a: Access,
    b: Access,
    free: Iterable[Var],
    known: Ranges,
    stored: frozenset[Buffer],
    moved: Mapping[Var, Expr] = _NONE,
) -> bool:
    """Whether `a` and `b` never touch the same element, the loops `free` running independently for
    both; all others are at the same iteration, but for those that `b` has `moved` elsewhere."""
    if not all(steady(i, stored) for i in (*a.indices, *b.indices)):
        return False
    apart = _named_apart(free)
    names = {**apart, **moved}
    return _differ(a.indices, b.indices, names, {**known, **_ends_of(apart, names, known)})


def differ(
    indices: tuple[Expr, ...],
    axes: Sequence[Var],
    known: Ranges,
    free: frozenset[Var] = frozenset(),
) -> bool:
    """Whether no two different values of `axes` give the same indices, whatever `free` loops are.

    (j // 16, i, j % 16)  for  (i, j)
    """
    left = {v for v in axes if not _follows(v, indices, _SPLITS)}
    while left:
        apart = {v for v in left if _apart(indices, indices, v, free | (left - {v}), known)}
        if not apart:
            return False
        left -= apart
    return True


def _follows(e: Expr, indices: tuple[Expr, ...], splits: int) -> bool:
    """Whether the indices have `e`, or its quotient and remainder by some number."""
    if e in indices:
        return True
    widths = [i.b for i in indices if isinstance(i, FloorMod) and i.a is e] if splits else []
    return any(
        isinstance(w, Const) and w.value and _follows(e // w, indices, splits - 1) for w in widths
    )


def combining(a: Access, b: Access) -> bool:
    """Whether both are part of one block's reduction: they commute."""
    block = a.block
    if block is None or b.block is not block or not reduces(block):
        return False
    reduction = reduction_of(block)
    return reduction is not None and a.buffer is b.buffer and a.buffer in reduction.buffers


def reduces(block: Block) -> bool:
    return any(it.kind == "reduce" for it in block.iters)


@lru_cache(maxsize=1 << 11)
def inner_loops(loop: For) -> frozenset[Var]:
    """The variables of the loops inside a loop."""
    return frozenset(s.var for s in statements(loop.body) if isinstance(s, For))


def steady(e: Expr, stored: Iterable[Buffer]) -> bool:
    """Whether the expression reads nothing that is stored to."""
    read = loaded(e)
    return not read or read.isdisjoint(stored)


def _pairs(found: Iterable[Access]) -> Iterator[tuple[Access, Access]]:
    """Pairs (an access with itself too) of the same buffer of which one is a store; of those
    with equal indices and of the same block only one."""
    seen = set()
    kept = []
    for access in found:
        key = access.buffer, access.indices, access.is_store, access.block
        if key not in seen:
            seen.add(key)
            kept.append(access)
    for a, b in combinations_with_replacement(kept, 2):
        if a.buffer is b.buffer and (a.is_store or b.is_store):
            yield a, b


def _apart(
    first: tuple[Expr, ...],
    second: tuple[Expr, ...],
    var: Var,
    free: frozenset[Var],
    known: Ranges,
    stored: frozenset[Buffer] = frozenset(),
) -> bool:
    """Whether `first` at some iteration of `var` and `second` at a later one differ."""
    for i in (*first, *second):
        if not steady(i, stored):
            return False
    found = distinct(first, second, var, free, known)
    if found is not None:
        return found
    needed = reachable([*first, *second, var], known)
    facts = tuple([(v, *known[v]) for v in known if v in needed])
    return _proved_apart(first, second, var, free & needed, facts, _SPLITS)


def reachable(roots: Sequence[Node], known: Ranges) -> frozenset[Var]:
    """The free variables of the nodes, those of their ranges, and so on."""
    found: set[Var] = set()
    pending = [v for root in roots for v in free_vars(root)]
    while pending:
        var = pending.pop()
        if var not in found:
            found.add(var)
            for e in known.get(var, ()):
                if not isinstance(e, Const):
                    pending.extend(free_vars(e))
    return frozenset(found)


@lru_cache(maxsize=1 << 14)
def _proved_apart(
    first: tuple[Expr, ...],
    second: tuple[Expr, ...],
    var: Var,
    free: frozenset[Var],
    facts: Facts,
    splits: int,
) -> bool:
    env = _running(var, facts)
    if env is None:
        return True
    ends = {v: (lo, hi) for v, lo, hi in facts}
    mine, theirs = ([simplify(i, env) for i in indices] for indices in (first, second))
    width = width_of((*mine, *theirs), var)
    if width is not None and splits and var in ends:
        return _apart_in_parts(tuple(mine), tuple(theirs), var, width, free, facts, splits)
    later = Var("later", -1, var.dtype)
    apart = _named_apart(free)
    names = {**apart, var: var + 1 + later}
    more = _ends_of(apart, names, ends)
    if var in ends:  # the second one's own end: its free loops may say where that is
        more[later] = (Const(0, var.dtype), substitute(ends[var][1], apart) - 1 - var)
    env.update(more)
    if _differ(mine, theirs, names, env):
        return True
    # Narrowed ranges know more, but not any more how they depend on each other.
    return _differ(first, second, names, {**ends, **more})


def _named_apart(free: Iterable[Var]) -> dict[Var, Expr]:
    """Other names for loops, as the second of two accesses has them."""
    return {v: Var(v.name, -2 - v.ordinal, v.dtype) for v in free}


def _ends_of(
    apart: Mapping[Var, Expr], names: Mapping[Var, Expr], known: Ranges
) -> dict[Var, tuple[Expr, Expr]]:
    """The ranges of the other names, in terms of what the second access calls loops."""
    made: dict[Var, tuple[Expr, Expr]] = {}
    for v, renamed in apart.items():
        if v in known:
            assert isinstance(renamed, Var)
            made[renamed] = substitute(known[v][0], names), substitute(known[v][1], names)
    return made


def _differ(
    first: Sequence[Expr], second: Sequence[Expr], names: Mapping[Var, Expr], env: Env
) -> bool:
    """Whether two places, loops called by `names` in the second, differ along an axis."""
    return any(
        _is_not_zero(substitute(b, names) - a, env)
        for a, b in zip(first, second, strict=True)
        if a.dtype == b.dtype  # a vector and a scalar may meet
    )


def _is_not_zero(step: Expr, env: Env) -> bool:
    """Also for  a*2 + b  with  1 <= b <= 1:  what is left of a multiple cannot reach the next."""
    if prove(step >= 1, env) or prove(step <= -1, env):
        return True
    parts = terms(simplify(step, env))
    for width in sorted({abs(c) for c in parts.values() if abs(c) > 1}):
        rest = build({m: c for m, c in parts.items() if c % width})
        for small in (rest, 0 - rest):
            if prove(small >= 1, env) and prove(small <= width - 1, env):
                return True
    return False


def _running(var: Var, facts: Facts) -> Narrowed | None:
    """The ranges where all those loops run, and that of `var` more than once; None if never."""
    least = [hi - lo >= (1 if v is var else 0) for v, lo, hi in facts]
    env = {v: (lo, hi) for v, lo, hi in facts}
    return narrowed(env, [e for e in least if dims_of(e) and not free_vars(e)])


def width_of(indices: Sequence[Expr], var: Var) -> Expr | None:
    """The least `w` of the quotients `var // w` and remainders `var % w` in the indices."""
    found = {
        n.b
        for n in postorder(*indices)
        if isinstance(n, FloorDiv | FloorMod) and n.a is var and not free_vars(n.b)
    }
    numbers = [w for w in found if isinstance(w, Const) and int(w.value) > 1]
    if numbers:
        return min(numbers, key=lambda w: w.value)
    symbols = [w for w in found if not isinstance(w, Const)]
    return min(symbols, key=lambda w: w.digest) if symbols else None


def _apart_in_parts(
    first: tuple[Expr, ...],
    second: tuple[Expr, ...],
    var: Var,
    width: Expr,
    free: frozenset[Var],
    facts: Facts,
    splits: int,
) -> bool:
    """With `var = q*width + r`: apart if q differs, and if only r does."""
    env = {v: (lo, hi) for v, lo, hi in facts}
    running = _running(var, facts)
    if running is not None and not prove(width >= 1, running):
        return False
    zero = Const(0, var.dtype)
    q = Var("q", -10_000_000 - splits, var.dtype)
    r = Var("r", -10_000_000 - splits, var.dtype)
    parts: dict[Var, Expr] = {var: q * width + r}
    top = env[var][1]
    split = {v: (substitute(lo, parts), substitute(hi, parts)) for v, (lo, hi) in env.items()}
    del split[var]
    split[q], split[r] = (zero, top // width), (zero, width - 1)
    facts = tuple([(v, lo, hi) for v, (lo, hi) in split.items()])
    one = tuple([simplify(substitute(i, parts), split) for i in first])
    two = tuple([simplify(substitute(i, parts), split) for i in second])
    outer = _proved_apart(one, two, q, free | {r}, facts, splits - 1)
    return outer and _proved_apart(one, two, r, free, facts, splits - 1)
