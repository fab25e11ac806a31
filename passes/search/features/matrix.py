"""The matrix of features: numbers of the tape, in the form and place that columns ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passes.search.features.columns import COLUMNS, FLAGS, POINTS, POSITION, intensity
from passes.search.features.curve import curve
from passes.search.features.tape import Number, Sym, Tape

_LARGEST = 2.0**62
Values = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Store:
    """Columns of a row by name, those that are 0 left out; (operations, bytes) at each level of
    its loops, inner ones first, for the curve (see `curve`): none without arithmetic."""

    label: str
    found: Mapping[str, Number]
    levels: Sequence[tuple[Number, Number]]


class Matrix:
    """Rows of stores. Numbers that several places hold are evaluated once: a table has a column
    for each constant, number of the tape (as it is, or its logarithm) and point of a curve."""

    def __init__(self, tape: Tape, stores: Sequence[Store]) -> None:
        self.tape = tape
        self.shape = len(stores), len(COLUMNS)
        self._syms: dict[Sym, int] = {}
        constants: dict[float, list[int]] = {}
        counts: dict[int, list[int]] = {}
        plain: dict[int, list[int]] = {}
        self._curves: list[_Curve] = []
        points: list[list[int]] = []
        for number, store in enumerate(stores):
            first = number * len(COLUMNS)
            for name, value in store.found.items():
                place = first + POSITION[name]
                if isinstance(value, Sym):
                    (plain if name in FLAGS else counts).setdefault(self._slot(value), []).append(
                        place
                    )
                else:
                    exact = float(value if name in FLAGS else np.log2(1.0 + value))
                    constants.setdefault(exact, []).append(place)
            if store.levels:
                levels = [tuple([self._level(n) for n in level]) for level in store.levels]
                self._curves.append(_Curve(levels))
                start = first + POSITION[intensity(0)]
                points += [[place] for place in range(start, start + POINTS)]
        self._counts, self._plain = list(counts), list(plain)
        self._constants = np.array([0.0, *constants], np.float32)[:, None]
        self._index = np.zeros(self.shape[0] * self.shape[1], np.intp)
        places = [*constants.values(), *counts.values(), *plain.values(), *points]
        for column, held in enumerate(places, 1):
            self._index[held] = column

    def _slot(self, value: Sym) -> int:
        return self._syms.setdefault(value, len(self._syms))

    def _level(self, value: Number) -> float | int:
        return self._slot(value) if isinstance(value, Sym) else float(value)

    def evaluate(self, values: Values, count: int) -> NDArray[np.float32]:
        """`[count, stores, columns]`."""
        given = np.empty((len(self._syms), count))
        for place, array in enumerate(self.tape.run(list(self._syms), values)):
            # Loops that never run leave quotients of zero
            np.fmin(np.fmax(array, 0.0), _LARGEST, out=given[place])
        sizes = [len(self._constants), len(self._counts), len(self._plain)]
        table = np.empty((sum(sizes) + POINTS * len(self._curves), count), np.float32)
        constants, counts, plain, points = np.split(table, np.cumsum(sizes))
        constants[:] = self._constants
        np.log2(1.0 + given[self._counts].astype(np.float32), out=counts)
        plain[:] = given[self._plain]
        for number, one in enumerate(self._curves):
            points[number * POINTS : (number + 1) * POINTS] = one.evaluate(given)
        found = np.take(np.ascontiguousarray(table.T), self._index, axis=1)
        return found.reshape(count, *self.shape)


class _Curve:
    """The intensity columns of a store: constants, and numbers (of the tape) that are given."""

    def __init__(self, levels: Sequence[tuple[float | int, ...]]) -> None:
        self.levels = levels
        fixed = all(isinstance(n, float) for level in levels for n in level)
        self._fixed = self._points(np.empty((0, 1))) if fixed else None

    def evaluate(self, given: NDArray[np.float64]) -> NDArray[np.float64]:
        """`[points, count]` from `[numbers, count]`."""
        return self._points(given) if self._fixed is None else self._fixed

    def _points(self, given: NDArray[np.float64]) -> NDArray[np.float64]:
        count = given.shape[1]
        operations, touched = (
            [given[n] if isinstance(n, int) else np.full(count, n) for n in part]
            for part in zip(*self.levels, strict=True)
        )
        return curve(operations, touched)
