"""Runs kernels on random data: interpreted, lowered and interpreted, compiled."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passes.codegen import native
from passes.codegen.emit import BARRIER, emit_module
from passes.codegen.lower import lowering
from passes.codegen.lower.facts import CPU, Facts
from passes.codegen.lower.flatten import flatten
from passes.codegen.lower.walk import NOTHING
from passes.ir.arith import simplify, substitute
from passes.ir.dtypes import BF16
from passes.ir.expr import Const, Expr, const
from passes.ir.loop.interpret import interpret
from passes.ir.loop.nodes import Buffer, Function
from passes.ir.loop.verify import verify

Arrays = list[NDArray[Any]]
Pass = Callable[[Function], Function]
_ALONE = f"define internal void @{BARRIER}(ptr %p, i64 %t, i64 %n) nounwind {{\n  ret void\n}}\n"


def shape_of(buffer: Buffer, dims: Mapping[str, int], function: Function) -> tuple[int, ...]:
    values: dict[Any, Expr] = {dim: const(dims[dim.name]) for dim in function.dims}
    extents = [simplify(substitute(extent, values)) for extent in buffer.shape]
    return tuple([int(e.value) for e in extents if isinstance(e, Const)])


def random_arrays(function: Function, dims: Mapping[str, int], seed: int = 0) -> Arrays:
    """The memory of each parameter; small values, so that casts between types stay in range."""
    rng = np.random.default_rng(seed)
    made: Arrays = []
    for buffer in flatten(function.replace(body=NOTHING)).params:
        shape, kind = shape_of(buffer, dims, function), buffer.dtype.numpy
        if buffer.dtype.is_float:
            made.append(rng.standard_normal(shape).astype(kind))
        elif buffer.dtype.name == "bool":
            made.append(rng.integers(0, 2, shape).astype(kind))
        else:
            low = -20 if buffer.dtype.is_signed else 0
            made.append(rng.integers(low, 21, shape).astype(kind))
    return made


def interpreted(
    function: Function, dims: Mapping[str, int], memory: Arrays, threads: int = 1
) -> Arrays:
    """What the interpreter makes of the memory, seen as the parameters are declared."""
    copies = [array.copy() for array in memory]
    values: dict[Any, Expr] = {dim: const(dims[dim.name]) for dim in function.dims}
    views: Arrays = []
    for buffer, flat in zip(function.params, copies, strict=True):
        shape = shape_of(buffer, dims, function)
        if buffer.strides is None:
            views.append(flat.reshape(shape))
        else:
            strides = [simplify(substitute(stride, values)) for stride in buffer.strides]
            steps = [int(s.value) * flat.itemsize for s in strides if isinstance(s, Const)]
            views.append(np.lib.stride_tricks.as_strided(flat, shape, steps))
    interpret(function, dims, views, threads=threads)
    return copies


@lru_cache(maxsize=4)
def _library(function: Function, teams: int) -> native.Library:
    text = emit_module([function])
    declared = f"declare void @{BARRIER}(ptr, i64, i64)\n"
    assert declared not in text or teams == 1
    return native.jit(text.replace(declared, _ALONE))


def compiled(function: Function, dims: Mapping[str, int], arrays: Arrays, teams: int = 1) -> Arrays:
    """The lowered function's native results; `teams` shares run one after the other."""
    library = _library(function, teams)
    copies = [array.copy() for array in arrays]
    spaces = [
        np.zeros(shape_of(b, dims, function), b.dtype.numpy)
        for b in function.allocs
        if b.scope == "global"
    ]
    pointers = [array.ctypes.data for array in (*copies, *spaces)]
    types = [ctypes.c_int64] * len(dims) + [ctypes.c_void_p] * len(pointers)
    call = library.function(function.name, *types, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
    for thread in range(teams):
        call(*[dims[dim.name] for dim in function.dims], *pointers, thread, teams, None)
    return copies


def assert_same(left: Sequence[NDArray[Any]], right: Sequence[NDArray[Any]], what: str) -> None:
    for number, (a, b) in enumerate(zip(left, right, strict=True)):
        if a.dtype.kind == "f":
            np.testing.assert_allclose(
                b, a, rtol=2e-5, atol=2e-5, err_msg=f"{what}: parameter {number}"
            )
        elif a.dtype == BF16.numpy:
            # A product contracted with a sum is rounded once less: that may be the last bit.
            wide = [x.astype(np.float32) for x in (b, a)]
            np.testing.assert_allclose(*wide, rtol=2**-7, err_msg=f"{what}: parameter {number}")
        else:
            np.testing.assert_array_equal(b, a, err_msg=f"{what}: parameter {number}")


def check_lowering(
    function: Function,
    dims: Mapping[str, int] | None = None,
    memory: Arrays | None = None,
    *,
    teams: int = 1,
    facts: Facts = CPU,
) -> Function:
    """interpret(before) ≈ interpret(after) for every pass, and ≈ native; gives the last form."""
    dims = dims or {}
    memory = random_arrays(function, dims) if memory is None else memory
    wanted = interpreted(function, dims, memory)
    for name, step in lowering(facts):
        function = step(function)
        verify(function)
        assert_same(wanted, interpreted(function, dims, memory), f"after {name}")
    assert_same(wanted, interpreted(function, dims, memory, threads=3), "by three threads")
    assert_same(wanted, compiled(function, dims, memory, teams), "native")
    return function
