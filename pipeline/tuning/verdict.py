"""Whether a kernel gives what it should.

Rounding explains differences: a result that sums n terms of unit roundoff u is off by about
u * sqrt(n) of its size, for errors are independent (Higham and Mary, 2019). Tolerated is

    |found - wanted| <= t * (|wanted| + rms(wanted))        t = 64 u sqrt(n) + 4 r + c

u     2^-24: all sums are of floats
n     the terms of a result: the iterations that blocks reduce over, multiplied in a block, added
      over blocks
r     the unit roundoff of the coarsest float type that values pass through on the way, the
      result's included; 0 for f32
c     0.03 where floats are rounded to codes of 8 bits on the way: two a hair apart may become
      neighbours

Integers are equal; codes of 8 bits that come from floats may be neighbours. Where the result is no
number, the other is none either, and infinities are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from passes.ir.arith import substitute, upper_bound
from passes.ir.expr import Cast, Expr, Var, const
from passes.ir.loop.nodes import Block, BlockIter, For, Function
from passes.ir.loop.traverse import stored_in
from passes.ir.node import postorder

_UNIT = 2.0**-24
_ROUNDOFF = {"f16": 2.0**-11, "bf16": 2.0**-8}
_CODES = 0.03
_MANY = 1 << 20  # terms where the program does not say how many


@dataclass(frozen=True)
class Tolerance:
    """`relative` to a float result's size and mean size; `codes`: integers of 8 bits come from
    floats."""

    relative: float
    codes: bool


def tolerance_of(function: Function, dims: Mapping[str, int]) -> Tolerance:
    """What rounding explains in the results of an unscheduled function."""
    casts = [n for n in postorder(function.body) if isinstance(n, Cast)]
    codes = any(
        cast.dtype.is_int and cast.dtype.bits == 8 and not cast.value.dtype.is_int for cast in casts
    )
    types = [b.dtype for b in (*function.allocs, *stored_in(function.body))]
    types += [cast.dtype for cast in casts]
    coarsest = max([_ROUNDOFF.get(t.name, 0.0) for t in types], default=0.0)
    terms = summed_terms(function, dims)
    relative = 64 * _UNIT * sqrt(terms) + 4 * coarsest + (_CODES if codes else 0.0)
    return Tolerance(relative, codes)


def summed_terms(function: Function, dims: Mapping[str, int]) -> int:
    """How many numbers a result sums up at most; at least 1."""
    sizes: dict[Any, Expr] = {dim: const(dims[dim.name]) for dim in function.dims}
    nodes = postorder(function.body)
    ranges: dict[Var, tuple[Expr | int, Expr | int]] = {
        node.var: (0, substitute(node.extent, sizes) - 1)
        for node in nodes
        if isinstance(node, For | BlockIter)
    }
    total = 0
    for block in [node for node in nodes if isinstance(node, Block)]:
        extents = [
            upper_bound(substitute(it.extent, sizes), ranges)
            for it in block.iters
            if it.kind != "spatial"
        ]
        if extents:
            total += min(prod([_MANY if e is None else max(e, 1) for e in extents]), _MANY)
    return max(total, 1)


def fault_of(found: npt.NDArray[Any], wanted: npt.NDArray[Any], tolerance: Tolerance) -> str | None:
    """In words what is wrong with a result, None if nothing is."""
    if wanted.dtype.kind in "iub":
        return _of_integers(found, wanted, tolerance)
    a, b = (x.astype(np.float64) for x in (found, wanted))
    known = np.isfinite(b)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    size = float(np.sqrt(np.mean(np.square(b[known])))) if known.any() else 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(a - b)
        bad = ~same & ~(known & (off <= tolerance.relative * (np.abs(b) + size)))
    if not bad.any():
        return None
    known &= np.isfinite(a)
    largest = float(off[known].max()) if known.any() else float("nan")
    return _told(bad, found, wanted) + (
        f"; the largest difference of numbers is {largest:.3g}, their mean size {size:.3g}, "
        f"tolerated {tolerance.relative:.2g} of it"
    )


def _of_integers(
    found: npt.NDArray[Any], wanted: npt.NDArray[Any], tolerance: Tolerance
) -> str | None:
    step = int(tolerance.codes and wanted.dtype.itemsize == 1)
    if not step:
        bad = found != wanted
    else:
        bad = np.abs(found.astype(np.int64) - wanted.astype(np.int64)) > step
    return _told(bad, found, wanted) if bad.any() else None


def _told(bad: npt.NDArray[np.bool_], found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> str:
    first = int(np.argmax(bad))
    return (
        f"{int(bad.sum())} of {bad.size} elements differ, the first at {first}: "
        f"{found[first]} instead of {wanted[first]}"
    )
