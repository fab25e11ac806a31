"""The kernels of a library: loop functions under unique names, their workspaces as parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from passes.ir.arith import dims_of
from passes.ir.dtypes import DType
from passes.ir.expr import Expr, Var, product
from passes.ir.loop.nodes import Buffer, For, Function, Load, Store, seq


class Kernels(Mapping[str, Function]):
    """Name -> loop function, in the order of their first use."""

    def __init__(self) -> None:
        self._functions: dict[str, Function] = {}
        self._names: dict[Function, str] = {}

    def add(self, function: Function) -> str:
        """The name under which `function` is launched; a taken name gets a number.

        Allocations that all threads see become trailing parameters, so that the memory plan
        places them: f(x, y) with global t -> f(x, y, t).
        """
        found = self._names.get(function)
        if found is not None:
            return found
        name, number = function.name, 0
        while name in self._functions:
            number += 1
            name = f"{function.name}_{number}"
        shared = workspaces(function)
        private = tuple([buffer for buffer in function.allocs if buffer not in shared])
        self._names[function] = name
        self._functions[name] = function.replace(
            name=name, params=(*function.params, *shared), allocs=private
        )
        return name

    def __getitem__(self, name: str) -> Function:
        return self._functions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._functions)

    def __len__(self) -> int:
        return len(self._functions)


def workspaces(function: Function) -> tuple[Buffer, ...]:
    """The allocations of a kernel that all threads see."""
    return tuple([buffer for buffer in function.allocs if buffer.scope == "global"])


def copy_kernel(shape: tuple[Expr, ...], dtype: DType) -> Function:
    """`target[...] = source[...]`, both taken flat; already scheduled."""
    size = product(shape)
    source = Buffer("source", 0, (size,), dtype)
    target = Buffer("target", 1, (size,), dtype)
    i = Var("i", 2)
    body = For(i, size, seq(Store(target, (i,), Load(source, (i,)))), "parallel")
    dims = tuple(sorted(dims_of(size), key=lambda dim: dim.name))
    return Function(f"copy_{dtype}", dims, (source, target), (), body)
