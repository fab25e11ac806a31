"""What an operator of the graph IR is: one object with all its facets side by side.

The operators themselves live in `passes.ops`; a new one is one subclass of `Operator`, and an
operator of a plugin is used as ours are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from passes.ir.dtypes import INDEX
from passes.ir.expr import Const, Expr, index
from passes.ir.graph.nodes import Apply, Attr, TensorType, Value
from passes.ir.graph.text import type_text
from passes.ir.loop.builder import LoopBuilder
from passes.ir.loop.nodes import Buffer
from passes.ir.node import IRError
from passes.ir.quantised import Array, BufferOperand, Operand

AttrMap: TypeAlias = "Mapping[str, Attr]"
Types: TypeAlias = "Sequence[TensorType]"
Operands: TypeAlias = "Sequence[Operand]"
Numbers: TypeAlias = "Mapping[str, Any]"
Sizes: TypeAlias = "Sequence[tuple[int, ...]]"
Inputs: TypeAlias = "Sequence[BufferOperand]"
Outputs: TypeAlias = "Sequence[Buffer]"


class Operator(ABC):
    """One operator: its name and signature, type rule, numpy meaning and loop definition.

    `operands` names the inputs (a last name ending in `*` stands for one or more), `attributes`
    gives each attribute's default, None where it must be given. `donates` pairs (result, input):
    the result overwrites the input's memory, and `loops` is given that one buffer for both.
    """

    name: ClassVar[str]
    operands: ClassVar[tuple[str, ...]]
    attributes: ClassVar[Mapping[str, Attr | None]] = {}
    donates: ClassVar[tuple[tuple[int, int], ...]] = ()

    @abstractmethod
    def infer(self, inputs: Types, attrs: AttrMap) -> tuple[TensorType, ...]:
        """The types of the results. Raises IRError if the operator does not take these inputs."""

    @abstractmethod
    def numpy(self, inputs: Operands, attrs: Numbers, shapes: Sizes) -> tuple[Array, ...]:
        """The results' values; expressions in `attrs` are numbers here, `shapes` the results'."""

    @abstractmethod
    def loops(self, b: LoopBuilder, inputs: Inputs, outputs: Outputs, call: Apply) -> None:
        """Appends blocks that compute `outputs` from `inputs` to the function being built."""

    def error(self, text: str) -> IRError:
        """An error that begins with the operator's name."""
        return IRError(f"{self.name}: {text}")

    def require(self, holds: bool, text: str, *types: TensorType) -> None:
        """Raises IRError unless `holds`, the given types shown after the text."""
        if not holds:
            shown = " and ".join(type_text(t) for t in types)
            raise self.error(f"{text}{', not ' + shown if shown else ''}")

    def integer(self, attrs: AttrMap, name: str) -> int:
        """An attribute that must be an int. Raises IRError."""
        value = attrs[name]
        if type(value) is not int:
            raise self.error(f"attribute '{name}' must be an integer, not {value!r}")
        return value

    def number(self, attrs: AttrMap, name: str) -> float:
        """An attribute that must be a float or an int. Raises IRError."""
        value = attrs[name]
        if type(value) not in (int, float):
            raise self.error(f"attribute '{name}' must be a number, not {value!r}")
        return float(value)  # type: ignore[arg-type]

    def shape(self, attrs: AttrMap, name: str = "shape") -> tuple[Expr, ...]:
        """An attribute that must be a tuple of ints and index expressions. Raises IRError."""
        value = attrs[name]
        if isinstance(value, tuple):
            extents = [index(e) if type(e) is int else e for e in value]
            found = tuple([e for e in extents if isinstance(e, Expr) and e.dtype == INDEX])
            if len(found) == len(value):
                return found
        raise self.error(f"attribute '{name}' must be a tuple of index expressions")


Operators: TypeAlias = "Mapping[str, Operator]"


def apply(operator: Operator, inputs: Sequence[Value], attrs: AttrMap) -> Apply:
    """The operator applied to values, its attributes completed and its result types deduced.

    In attributes an index constant becomes a plain int, so that there is one way to write it.
    Raises IRError if it does not take them.
    """
    known = operator.attributes
    for name in attrs:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise operator.error(f"unknown attribute '{name}'; {has}")
    complete: dict[str, Attr] = {}
    for name, default in known.items():
        value = attrs.get(name, default)
        if value is None:
            raise operator.error(f"attribute '{name}' is missing")
        complete[name] = _normal(value)
    names = operator.operands
    variadic = bool(names) and names[-1].endswith("*")
    if len(inputs) < len(names) if variadic else len(inputs) != len(names):
        raise operator.error(f"takes {', '.join(names)}; {len(inputs)} inputs are given")
    types = operator.infer([value.type for value in inputs], complete)
    return Apply(operator.name, tuple(inputs), tuple(sorted(complete.items())), types)


def _normal(attr: Attr) -> Attr:
    if isinstance(attr, Const) and attr.dtype == INDEX:
        return int(attr.value)
    return tuple([_normal(item) for item in attr]) if isinstance(attr, tuple) else attr
