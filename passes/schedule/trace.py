"""Traces: the steps of a schedule, to be read, compared and replayed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from passes.ir.arith import free_vars, substitute
from passes.ir.expr import Expr, Var
from passes.ir.expr_text import name_of, print_expr


@dataclass(frozen=True)
class Layout:
    """An index map as data: element `axes` goes to `image`."""

    axes: tuple[Var, ...]
    image: tuple[Expr, ...]

    def __call__(self, indices: Sequence[Expr]) -> tuple[Expr, ...]:
        values: dict[Var, Expr] = dict(zip(self.axes, indices, strict=True))
        return tuple([substitute(e, values) for e in self.image])


@dataclass(frozen=True)
class Instruction:
    """One step: the primitive's name, its arguments after the function, and the handles (loops
    and labels) that it gave."""

    name: str
    args: tuple[Any, ...]
    result: Any = None


@dataclass
class Trace:
    """The steps of a schedule in order. Loops are their variables, blocks labels, buffers names."""

    steps: list[Instruction] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self.steps)

    def as_python(self) -> str:
        """The steps as calls of `Schedule`; run with `s = Schedule(function)`, they repeat it.

        i8, i9 = s.split(i2, 4)
        s.parallel(i8)
        """
        known: set[Var] = set()
        lines: list[str] = []
        for step in self.steps:
            for var in _loops_of(step.args):
                if var not in known:
                    lines.append(f'{name_of(var)} = s.loop("{name_of(var)}")')
                    known.add(var)
            call = f"s.{step.name}({', '.join([_spelled(arg) for arg in step.args])})"
            given = _loops_of(step.result)
            known.update(given)
            names = _spelled(step.result)
            if len(given) > 1 and names.count("(") == 1:
                names = names.strip("()")
            lines.append(f"{names} = {call}" if given else call)
        return "".join([f"{line}\n" for line in lines])


def _loops_of(value: Any) -> list[Var]:
    """The loop variables that an argument or a result speaks of, in order."""
    if isinstance(value, Var):
        return [value]
    if isinstance(value, tuple):
        return [var for item in value for var in _loops_of(item)]
    if isinstance(value, Expr):
        return sorted(free_vars(value), key=name_of)
    return []


def _spelled(value: Any) -> str:
    if isinstance(value, Var):
        return name_of(value)
    if isinstance(value, tuple):
        inner = ", ".join([_spelled(item) for item in value])
        nested = any(isinstance(item, tuple) for item in value)
        return inner if nested else f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, Expr):
        return f's.expr("{print_expr(value)}")'
    if isinstance(value, Layout):
        names: dict[Var, Expr] = {v: Var("i", k) for k, v in enumerate(value.axes)}
        texts = [print_expr(substitute(e, names)) for e in value.image]
        places = [re.sub(r"\bi(\d+)\b", r"i[\1]", text) for text in texts]
        return f"lambda i: ({', '.join(places)},)"
    return f'"{value}"' if isinstance(value, str) else repr(value)
