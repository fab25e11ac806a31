"""What kernels are measured on: random contents of their parameters, the same from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from passes.codegen.host.kernels import Kernels
from passes.codegen.host.lower import lower_host
from passes.codegen.host.values import value_range
from passes.ir.loop.nodes import Function
from passes.ir.node import IRError
from passes.ops import OPERATORS
from pipeline.tuning.kernel import Memory, graph_of

Kind = Literal["normal", "positive"]
Range = tuple[int, int]

_SMALL = 100  # wider integers are this large at most, unless they say where something lies
_WORDS = 16  # bits from which unsigned integers that index nothing are taken for packed ones


def ranges_of(function: Function) -> list[Range | None]:
    """The values with which a parameter of integers leads nowhere outside of other ones; None for
    what is no plain input of them."""
    graph = graph_of(function)
    kernels = Kernels()
    program = lower_host(graph, kernels, OPERATORS)
    found: list[Range | None] = [None] * len(function.params)
    for param, buffer in zip(graph.params, program.inputs, strict=True):
        if not buffer.dtype.is_int:
            continue
        try:
            held = value_range(program.function, kernels, buffer)
        except IRError:
            held = 0, 0
        found[int(param.name[1:])] = held
    return found


def random_contents(
    memory: Sequence[Memory], ranges: Sequence[Range | None], seed: int, kind: Kind
) -> list[npt.NDArray[Any]]:
    """The elements of each parameter, flat.

    Floats are normal; `positive` ones are in 0.5 .. 1.5, for functions that have no value
    elsewhere. Integers that index go all over what they index, bytes and packed words are
    anything, others small.
    """
    made = []
    for number, (one, held) in enumerate(zip(memory, ranges, strict=True)):
        rng = np.random.default_rng([seed, number])
        if one.dtype.is_float:
            floats = _floats(rng, one.count, kind)
            made.append(floats.astype(one.dtype.numpy, copy=False))
            continue
        low, high = (0, 1) if one.dtype.name == "bool" else _integers(one, held)
        values = rng.integers(low, high, one.count, np.int64, endpoint=True)
        made.append(values.astype(one.dtype.numpy))
    return made


def _floats(rng: np.random.Generator, count: int, kind: Kind) -> npt.NDArray[np.float32]:
    if kind == "normal":
        return rng.standard_normal(count, np.float32)
    return rng.random(count, np.float32) + np.float32(0.5)


def _integers(one: Memory, held: Range | None) -> Range:
    bits, signed = min(one.dtype.bits, 63), one.dtype.is_signed
    widest = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    low, high = held or widest
    indexes = (low, high) != widest
    if indexes or bits == 8 or (not signed and bits >= _WORDS):
        return low, high
    return max(low, -_SMALL), min(high, _SMALL)
