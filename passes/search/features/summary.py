"""Rows of features in words, for reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from passes.search.features import columns
from passes.search.features.columns import access, column, operations


def summary(labels: Sequence[str], features: NDArray[np.float32]) -> str:
    """Some lines for each store of one candidate, of `[stores, columns]` features."""
    pairs = zip(labels, features, strict=True)
    return "".join([f"{label}\n{_store(row)}" for label, row in pairs])


def _store(row: NDArray[np.float32]) -> str:
    def value(name: str) -> float:
        return float(column(row, name))

    kinds = [(kind, value(operations(kind))) for kind in columns.OPERATIONS]
    done = ", ".join([f"{short(count)} {kind}" for kind, count in kinds if count])
    lines = [
        f"{short(value(columns.RUNS))} runs in {short(value(columns.STEPS))} steps:"
        f" {done or 'copies'}",
        f"step: {short(value(columns.ARITHMETIC))} instructions,"
        f" {short(value(columns.LOADS))} loads, {short(value(columns.BROADCASTS))} broadcasts,"
        f" {short(value(columns.GATHERS))} gathers, {short(value(columns.STORES))} stores",
        f"tile: {short(value(columns.TILE_ROWS))} x {short(value(columns.TILE_COLUMNS))} vectors of"
        f" {short(value(columns.LANES))}, {short(value(columns.REGISTERS))} registers,"
        f" lanes {value(columns.FILLED):.0%} filled",
        f"{short(value(columns.CHUNKS))} chunks in {short(value(columns.REGIONS))} regions,"
        f" balance {value(columns.BALANCE):.0%};"
        f" {short(value(columns.ITERATIONS))} iterations of loops",
        "bytes: " + ", ".join([f"{short(value(n))} {n.split('.')[1]}" for n in columns.TRAFFIC]),
    ]
    for number in range(columns.BUFFERS):
        if value(access(number, "bytes")):
            lines.append(f"buffer {number}: {_buffer(row, number)}")
    return "".join([f"    {line}\n" for line in lines])


def _buffer(row: NDArray[np.float32], number: int) -> str:
    def value(what: str) -> float:
        return float(column(row, access(number, what)))

    words = " ".join([flag for flag in columns.ACCESS_FLAGS if value(flag)])
    return (
        f"{words}; {short(value('bytes'))} bytes of {short(value('unique'))} in"
        f" {short(value('lines'))} lines, from memory {short(value('memory'))}"
    )


def short(count: float) -> str:
    """A count with three digits: 0.5, 24, 1.05k, 2.1M."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size * 0.9995:
            return f"{count / size:.3g}{letter}"
    return f"{count:.3g}"
