"""Steps of a schedule as data, and what their arguments are made of.

Loops are variables, blocks labels, buffers names, decisions symbols: the *handles*. What a step
gave, later steps refer to by the handles of then; so the same steps can be done to another program,
or with other decisions, where they give other ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from passes.ir.arith import simplify, substitute
from passes.ir.expr import Const, Expr, Var, index
from passes.ir.node import key_of
from passes.schedule.sampling import Choice, Sampling


@dataclass(frozen=True)
class Layout:
    """An index map as data: element `axes` goes to `image`."""

    axes: tuple[Var, ...]
    image: tuple[Expr, ...]

    def __call__(self, indices: Sequence[Expr]) -> tuple[Expr, ...]:
        values: dict[Var, Expr] = dict(zip(self.axes, indices, strict=True))
        return tuple([substitute(e, values) for e in self.image])


@dataclass
class Recorded:
    """An index map that notes itself as data when it is first used.

    `known` are the values of the decisions that it speaks of.
    """

    function: Callable[[Sequence[Expr]], Sequence[Expr]]
    known: Mapping[Var, Expr]
    data: Layout | None = None

    def __call__(self, indices: Sequence[Expr]) -> tuple[Expr, ...]:
        if self.data is None:
            axes = tuple([Var("i", k) for k in range(len(indices))])
            self.data = Layout(axes, tuple([index(e) for e in self.function(axes)]))
        return tuple([substitute(e, self.known) for e in self.data(indices)])


@dataclass(frozen=True)
class Number:
    """An int that follows from decisions, as an expression of their symbols."""

    expr: Expr


@dataclass(frozen=True, eq=False)
class Instruction:
    """One step: the primitive's name, its arguments after the function, and the handles (loops,
    labels, names of buffers, symbols of decisions) that it gave.

    A sampling step has what it chose from, and its choice. Numbers are equal if they are of one
    type and, floats, the same to the bit.
    """

    name: str
    args: tuple[Any, ...]
    result: Any = None
    options: tuple[tuple[str, Any], ...] = ()
    sampling: Sampling | None = None
    choice: Choice | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Instruction) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Any, ...]:
        parts = self.name, self.args, self.result, self.options, self.sampling, self.choice
        return key_of(parts)


def handles_in(value: Any) -> list[Var | str]:
    """The handles of a step's result, in order."""
    if isinstance(value, tuple):
        return [handle for item in value for handle in handles_in(item)]
    return [value] if isinstance(value, Var | str) else []


def renamed(value: Any, names: Mapping[Var | str, Any]) -> Any:
    """An argument with other handles."""
    if isinstance(value, Var | str):
        return names.get(value, value)
    if isinstance(value, tuple):
        return tuple([renamed(item, names) for item in value])
    if isinstance(value, Number):
        return Number(_substituted(value.expr, names))
    if isinstance(value, Expr):
        return _substituted(value, names)
    if isinstance(value, Layout):
        return Layout(value.axes, tuple([_substituted(e, names) for e in value.image]))
    return value


def _substituted(e: Expr, names: Mapping[Var | str, Any]) -> Expr:
    return substitute(e, {v: name for v, name in names.items() if isinstance(v, Var)})


def decided(value: Any, choices: Mapping[Var, Any]) -> Any:
    """An argument as a primitive takes it: decisions replaced by what was decided."""
    if isinstance(value, Var):
        return choices.get(value, value)
    if isinstance(value, tuple):
        return tuple([decided(item, choices) for item in value])
    if isinstance(value, Number):
        return value_of(value.expr, choices)
    if isinstance(value, Expr):
        return substitute(value, numbers(choices))
    if isinstance(value, Layout):
        known = numbers(choices)
        return Layout(value.axes, tuple([substitute(e, known) for e in value.image]))
    return value


def value_of(e: Expr, choices: Mapping[Var, Any]) -> int:
    """The value of an expression of decisions."""
    found = simplify(substitute(e, numbers(choices)))
    assert isinstance(found, Const)
    return int(found.value)


def numbers(choices: Mapping[Var, Any]) -> dict[Var, Expr]:
    """The decisions that are numbers, as constants."""
    return {v: index(value) for v, value in choices.items() if isinstance(value, int)}
