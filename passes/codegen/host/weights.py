"""Where tensors lie in memory that is laid out once: the weights file, and a context's state."""

from __future__ import annotations

from collections.abc import Iterable

from passes.codegen.host.lower import HostProgram
from passes.ir.graph.nodes import TensorType
from passes.ir.node import IRError
from passes.ir.weights import Layout, layout, nbytes_of


def weight_layout(programs: Iterable[HostProgram]) -> Layout:
    """All weights the programs read, each once, in the order of their first use.

    A decoding step then reads the file from front to back.
    Raises IRError if one name stands for tensors of different types.
    """
    return _layout(
        "weight",
        [
            (field.weight.name, field.weight.type)
            for program in programs
            for field in program.weights
        ],
    )


def state_layout(programs: Iterable[HostProgram]) -> Layout:
    """The states of all programs, by name. Raises IRError if a state has two types or a symbolic
    shape."""
    found = [
        (name, TensorType(buffer.shape, buffer.dtype))
        for program in programs
        for name, buffer in program.states
    ]
    return _layout("state", sorted(found, key=lambda item: item[0]))


def _layout(what: str, tensors: Iterable[tuple[str, TensorType]]) -> Layout:
    types: dict[str, TensorType] = {}
    for name, type_ in tensors:
        if types.setdefault(name, type_) is not type_:
            raise IRError(f"{what} '{name}' has different types in two entry points")
    sizes: dict[str, int] = {}
    for name, type_ in types.items():
        try:
            sizes[name] = nbytes_of(type_)
        except IRError:
            raise IRError(f"{what} '{name}' needs a constant shape") from None
    return layout(sizes)
