"""Derives the polynomials of `vector_math` and writes them to coefficients.py.

    python -m passes.codegen.minimax

Each is a minimax fit (Remez exchange on a fixed grid) in high precision, of a function divided by
what `vector_math` multiplies it with, weighted so that the error of the final result counts.
Coefficients become f32 one after the other, the lowest power first, the rest being fitted anew
around each rounded one. Needs mpmath, which nothing else here does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath as mp  # type: ignore[import-untyped]

Real = Any
Function = Callable[[Any], Any]

_GRID = 120
_EXCHANGES = 12
_DIGITS = 25


@dataclass(frozen=True)
class Fit:
    """sum of c[k] * t**k ~ target(t) on [lo, hi], minimising max |weight * error|."""

    name: str
    degree: int
    lo: Real
    hi: Real
    target: Function
    weight: Function


def fits() -> list[Fit]:
    """The polynomials, in terms of t = r or t = r*r."""
    root, tiny = mp.sqrt, mp.mpf("1e-9")
    half_ln2 = mp.log(2) / 2 + mp.mpf("1e-4")
    widest = (mp.pi / 2 + mp.mpf("0.05")) ** 2
    return [
        Fit("EXP", 4, -half_ln2, half_ln2,
            lambda r: (mp.exp(r) - 1 - r) / r**2, lambda r: r**2 / mp.exp(r)),
        Fit("LOG", 7, root(mp.mpf("0.5")) - 1, root(mp.mpf(2)) - 1,
            lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3, lambda f: f**3 / mp.log1p(f)),
        Fit("SIN", 3, tiny, widest,
            lambda s: (mp.sin(root(s)) - root(s)) / root(s) ** 3,
            lambda s: root(s) ** 3 / mp.sin(root(s))),
        Fit("TANH", 4, tiny, mp.mpf("0.6") ** 2,
            lambda s: (mp.tanh(root(s)) - root(s)) / root(s) ** 3,
            lambda s: root(s) ** 3 / mp.tanh(root(s))),
        Fit("ERF", 5, tiny, mp.mpf("0.95") ** 2,
            lambda s: (mp.erf(root(s)) - root(s)) / root(s), lambda s: root(s) / mp.erf(root(s))),
        Fit("LOG_ERFC", 8, mp.mpf("0.95"), mp.mpf(4),
            lambda a: mp.log(mp.erfc(a)), lambda a: mp.erfc(a) / mp.erf(a)),
    ]  # fmt: skip


def f32(value: Real) -> float:
    """The nearest f32."""
    found: float = struct.unpack("f", struct.pack("f", float(value)))[0]
    return found


def f32_inside(value: Real) -> float:
    """The nearest f32 that is not beyond `value`, seen from zero."""
    found = f32(value)
    if abs(found) <= abs(value):
        return found
    bits = struct.unpack("I", struct.pack("f", found))[0]
    inside: float = struct.unpack("f", struct.pack("I", bits - 1))[0]
    return inside


def coefficients(fit: Fit) -> list[float]:
    """The f32 coefficients, lowest power first."""
    middle, reach = (fit.lo + fit.hi) / 2, (fit.hi - fit.lo) / 2
    # An even number of points, none of which is the middle: r = 0 has no quotient.
    angles = [mp.pi * (2 * k + 1) / (2 * _GRID) for k in range(_GRID)]
    grid = [middle - reach * mp.cos(angle) for angle in angles]
    weights = [fit.weight(t) for t in grid]
    rest = [fit.target(t) for t in grid]
    found: list[float] = []
    for power in range(fit.degree + 1):
        powers = range(power, fit.degree + 1)
        found.append(f32(_remez(grid, rest, weights, powers)[0]))
        rest = [g - found[-1] * t**power for g, t in zip(rest, grid, strict=True)]
    return found


def _remez(grid: list[Real], target: list[Real], weights: list[Real], powers: range) -> list[Real]:
    """The coefficients of the best approximation by these powers on the grid."""
    count = len(powers) + 1
    places = [(2 * k + 1) * len(grid) // (2 * count) for k in range(count)]
    rows = [[t**p for p in powers] for t in grid]
    solution: list[Real] = []
    for _ in range(_EXCHANGES):
        matrix = mp.matrix([[*rows[p], (-1) ** k / weights[p]] for k, p in enumerate(places)])
        solution = list(mp.lu_solve(matrix, mp.matrix([target[p] for p in places])))
        errors = [
            w * (mp.fdot(row, solution[:-1]) - g)
            for w, row, g in zip(weights, rows, target, strict=True)
        ]
        moved = _extrema(errors, count)
        if moved == places:
            break
        places = moved
    return solution[:-1]


def _extrema(errors: list[Real], count: int) -> list[int]:
    """`count` places of alternating sign with the largest errors."""
    peaks: list[int] = []
    for place, error in enumerate(errors):
        if peaks and (error > 0) == (errors[peaks[-1]] > 0):
            if abs(error) > abs(errors[peaks[-1]]):
                peaks[-1] = place
        else:
            peaks.append(place)
    while len(peaks) > count:
        peaks.pop(0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1)
    if len(peaks) < count:
        raise ArithmeticError(f"the error has {len(peaks)} extrema where {count} are needed")
    return peaks


def parts(value: Real, count: int) -> list[float]:
    """f32 numbers whose sum is `value` to `count` times the precision."""
    found: list[float] = []
    for _ in range(count):
        found.append(f32(value))
        value -= found[-1]
    return found


def source() -> str:
    """The text of coefficients.py."""
    with mp.workdps(_DIGITS):
        tables = {fit.name: coefficients(fit) for fit in fits()}
        tables["LN2"] = parts(mp.log(2), 2)
        short = 0.693359375  # few enough bits that its product with an exponent is exact
        tables["LN2_SHORT"] = [short, *parts(mp.log(2) - short, 1)]
        tables["PI"] = parts(+mp.pi, 3)
        scalars = {
            "LOG2_E": f32(1 / mp.log(2)),
            "INVERSE_PI": f32(1 / mp.pi),
            "LOG_OF_LARGEST": f32_inside(mp.log(mp.mpf(2) ** 128 * (1 - mp.mpf(2) ** -24))),
            "LOG_OF_SMALLEST": f32_inside(-126 * mp.log(2)),
        }
    lines = [
        '"""Polynomials and constants of `vector_math`, lowest power first.',
        "",
        "Written by `python -m passes.codegen.minimax`; not to be edited.",
        '"""',
        "",
    ]
    lines += [f"{name} = {value!r}" for name, value in scalars.items()]
    for name, values in tables.items():
        lines += [f"{name} = (", *[f"    {value!r}," for value in values], ")"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("coefficients.py").write_text(source(), encoding="utf-8")
