"""Traces as Python: one call of a schedule's method a line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from keyword import iskeyword
from typing import Any

from passes.ir.arith import free_vars, substitute
from passes.ir.expr import Expr, Var
from passes.ir.expr_text import name_of, print_expr
from passes.schedule.instruction import Instruction, Layout, Number, handles_in


def print_trace(steps: Sequence[Instruction]) -> str:
    """Lines that repeat the steps where `s` is a schedule of the function."""
    names = _Names()
    return "".join([f"{line}\n" for step in steps for line in names.lines(step)])


def print_step(step: Instruction) -> str:
    """One step alone, its handles by their own names."""
    return _Names().call(step)


class _Names:
    """What Python calls the handles given so far."""

    def __init__(self) -> None:
        self.known: dict[Var | str, str] = {}

    def lines(self, step: Instruction) -> Iterator[str]:
        call = self.call(step)
        given = handles_in(step.result)
        fresh = [handle for handle in given if handle not in self.known]
        for handle in fresh:
            self._name(handle)
        yield f"{self._target(step.result, fresh)} = {call}" if fresh else call

    def call(self, step: Instruction) -> str:
        args = [self.spelled(arg) for arg in step.args]
        args += [f"{name}={self.spelled(value)}" for name, value in step.options]
        if step.sampling is not None:
            args.append(f"choice={step.choice!r}")
        return f"s.{step.name}({', '.join(args)})"

    def _name(self, handle: Var | str) -> None:
        text = name_of(handle) if isinstance(handle, Var) else re.sub(r"\W", "_", handle)
        if not text.isidentifier() or iskeyword(text):
            text = f"_{text}"
        while text in ("s", "i", "_") or text in self.known.values():
            text += "_"
        self.known[handle] = text

    def _target(self, result: Any, fresh: Sequence[Var | str]) -> str:
        """What the call's value is assigned to; `_` for what has a name already."""
        if not isinstance(result, tuple):
            return self.known[result] if result in fresh else "_"
        parts = []
        for item in result:
            inner = self._target(item, fresh)
            parts.append(f"({inner})" if isinstance(item, tuple) else inner)
        return ", ".join(parts) + ("," if len(parts) == 1 else "")

    def spelled(self, value: Any) -> str:
        if isinstance(value, Var):
            return self.known.get(value, name_of(value))
        if isinstance(value, str):
            return self.known.get(value, json.dumps(value))
        if isinstance(value, tuple):
            inner = ", ".join([self.spelled(item) for item in value])
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        if isinstance(value, Number):
            own = {name_of(v): self.spelled(v) for v in free_vars(value.expr)}
            return re.sub(r"[A-Za-z_]\w*", lambda m: own.get(m[0], m[0]), print_expr(value.expr))
        if isinstance(value, Expr):
            used = sorted([f"{name_of(v)}={self.spelled(v)}" for v in free_vars(value)])
            return f"s.expr({', '.join([json.dumps(print_expr(value)), *used])})"
        if isinstance(value, Layout):
            axes: dict[Var, Expr] = {v: Var("i", k) for k, v in enumerate(value.axes)}
            texts = [print_expr(substitute(e, axes)) for e in value.image]
            places = [re.sub(r"\bi(\d+)\b", r"i[\1]", text) for text in texts]
            return f"lambda i: ({', '.join(places)},)" if places else "lambda i: ()"
        if isinstance(value, float) and not math.isfinite(value):
            return f'float("{value}")'
        return repr(value)
