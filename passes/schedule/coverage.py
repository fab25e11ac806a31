"""Which instances of a block its loops run, and whether they run each of them once.

i_o*4 + i_i with i_o < ceildiv(n, 4), i_i < 4     takes 0 … ceildiv(n, 4)*4 - 1, each once
f//8 and f%8 with f < n*8                         take all pairs of 0 … n-1 and 0 … 7
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from passes.ir.arith import free_vars, linear, prove, simplify, substitute
from passes.ir.expr import Const, Expr, Var
from passes.ir.loop.nodes import Block
from passes.ir.node import Node, rewrite
from passes.schedule.accesses import Ranges
from passes.schedule.dependence import width_of
from passes.schedule.reductions import conjuncts

_SPLITS = 6  # how many fused loops are taken apart


@dataclass(frozen=True)
class Run:
    """The values first … first + count - 1, and the loops whose digits they are."""

    first: Expr
    count: Expr
    loops: frozenset[Var]

    @property
    def end(self) -> Expr:
        return simplify(self.first + self.count)


def runs(exprs: Sequence[Expr], loops: Mapping[Var, Expr], known: Ranges) -> list[Run] | None:
    """The values that each expression takes while `loops` (variable: extent) run.

    None unless together they take every combination of those values exactly once.
    """
    if any(free_vars(extent) & set(loops) for extent in loops.values()):
        return None
    apart = digits(exprs, loops, known)
    if apart.spare:
        return None
    used: set[Var] = set()
    made: list[Run] = []
    for e in apart.exprs:
        run = _run(e, apart.extents, apart.limits)
        if run is None or run.loops & used:
            return None
        used |= run.loops
        made.append(run)
    unused = [extent for v, extent in apart.extents.items() if v not in used]
    return made if all(prove(extent.equal(1), known) for extent in unused) else None


@dataclass(frozen=True)
class Digits:
    """Variables taken apart where `exprs` spoke of quotients and remainders of them.

    `extents` are those of the digits, `whole` the variables in terms of them, `spare` the
    conditions under which the digits are those of values in range.
    """

    exprs: list[Expr]
    extents: dict[Var, Expr]
    limits: Ranges
    whole: dict[Var, Expr]
    spare: list[Expr]


def digits(exprs: Sequence[Expr], extents: Mapping[Var, Expr], known: Ranges) -> Digits:
    """The expressions over digits.

    v//4, v%4  with  v < n   →   q, r  with  v = q*4 + r,  q < ceildiv(n, 4),  r < 4,  v < n
    """
    left, spare = dict(extents), []
    whole: dict[Var, Expr] = {v: v for v in extents}
    limits = {**known, **{v: (Const(0, v.dtype), e - 1) for v, e in extents.items()}}
    parts = [simplify(e, limits) for e in exprs]
    for number in range(_SPLITS):
        widths = ((v, width_of(parts, v)) for v in left)
        fused = next(((v, w) for v, w in widths if w is not None and _divides(w, left[v])), None)
        if fused is None:
            break
        var, width = fused
        extent = left.pop(var)
        del limits[var]
        q, r = (Var(name, -20_000_000 - number, var.dtype) for name in ("q", "r"))
        left[q], left[r] = simplify((extent + width - 1) // width, known), width
        limits.update({v: (Const(0, v.dtype), left[v] - 1) for v in (q, r)})
        if not prove((extent % width).equal(0), known):
            spare.append(q * width + r < extent)
        split = {var: q * width + r}
        spare = [substitute(e, split) for e in spare]
        whole = {v: substitute(e, split) for v, e in whole.items()}
        parts = [simplify(substitute(e, split), limits) for e in parts]
    return Digits(parts, left, limits, whole, spare)


def _divides(width: Expr, extent: Expr) -> bool:
    """Whether a loop that runs at all can be counted in that many at a time."""
    return isinstance(width, Const) or prove(width >= 1, assuming=[extent >= 1])


def _run(e: Expr, loops: Mapping[Var, Expr], known: Ranges) -> Run | None:
    """The run of one expression whose coefficients nest like the digits of a number."""
    form = linear(e, list(loops), known)
    if form is None:
        return None
    coefficients, rest = form
    left = dict(coefficients)
    count: Expr = Const(1, e.dtype)
    while left:
        digit = next((v for v, c in left.items() if prove(c.equal(count), known)), None)
        if digit is None:
            return None
        del left[digit]
        count = simplify(count * loops[digit], known)
    return Run(simplify(rest, known), count, frozenset(coefficients))


def in_iterators(block: Block, own: frozenset[Var]) -> list[Expr] | None:
    """The conjuncts of the block's predicate, in terms of its iterators instead of `own` loops.

        where(i_o*4 + i_i < n)  with  v = i_o*4 + i_i   →   v < n

    None if one of them says more than the iterators can.
    """
    named: dict[Node, Expr] = {}
    solved: dict[Var, Expr] = {}
    for it, e in zip(block.iters, block.bindings, strict=True):
        form = linear(e, own)
        if form is None:
            named[simplify(e)] = it.var
            continue
        unit = next((v for v, c in form[0].items() if prove(c.equal(1))), None)
        if unit is not None and unit not in solved:
            rest = simplify(e - unit)
            solved[unit] = it.var - rest
    made: list[Expr] = []
    for condition in conjuncts(block.predicate):
        e = rewrite(simplify(condition), named.get)
        for _ in solved:
            e = substitute(e, solved)
        e = simplify(e)
        if free_vars(e) & own:
            return None
        made.append(e)
    return made
