"""Whether what a step is given is what its signature says, before the step looks at it.

split(function, loop: Var, …)      of "dot", 4      →      a loop is needed, not 'dot'
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from passes.ir.expr import Expr, Var
from passes.ir.expr_text import print_expr
from passes.ir.loop.nodes import Function
from passes.schedule.tree import ScheduleError

Fits = Callable[[Any], bool]

_WORDS: dict[Any, str] = {
    Var: "a loop",
    Expr: "an expression",
    str: "a string",
    int: "an integer",
    float: "a float",
    bool: "a bool",
    NoneType: "None",
}


def check_arguments(
    name: str,
    step: Callable[..., Any],
    function: Function,
    args: Sequence[Any],
    options: Mapping[str, Any],
) -> None:
    """Raises ScheduleError if `step(function, *args, **options)` is no such call as its signature
    asks for, in number or in kind."""
    asked = asked_of(step)
    kinds = asked.kinds
    if asked.repeats:
        kinds += kinds[-1:] * (len(args) - len(kinds))
    if options or not asked.least <= len(args) <= len(kinds):
        try:
            given = asked.signature.bind(function, *args, **options)
        except TypeError as error:
            raise ScheduleError(name, "its arguments", str(error), function) from None
        given.apply_defaults()
        args = given.args[1:]
    for value, (parameter, hint, fits) in zip(args, kinds, strict=False):
        if not fits(value):
            reason = f"{_listed(_alternatives(hint))} is needed, not {_spelled(value)}"
            raise ScheduleError(name, f"argument '{parameter}'", reason, function)


@dataclass(frozen=True)
class Asked:
    """What a step asks for after the function: at `least` so many arguments, each with its name,
    its type, and whether a value is of it; the last kind `repeats` if it takes any number."""

    signature: inspect.Signature
    least: int
    kinds: tuple[tuple[str, Any, Fits], ...]
    repeats: bool


@lru_cache(maxsize=1 << 7)
def asked_of(step: Callable[..., Any]) -> Asked:
    """Read once a step: that takes as long as a small step itself."""
    signature, hints = inspect.signature(step), get_type_hints(step)
    parameters = list(signature.parameters.values())[1:]
    repeats = [one.kind is one.VAR_POSITIONAL for one in parameters]
    least = sum(one.default is one.empty for one in parameters) - sum(repeats)
    kinds = [(one.name, hints[one.name], _fits(hints[one.name])) for one in parameters]
    return Asked(signature, least, tuple(kinds), any(repeats))


def _fits(hint: Any) -> Fits:
    """Whether a value is of a type as signatures of steps have them; sequences are tuples here."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        several = [_fits(part) for part in parts]
        return lambda value: any(fits(value) for fits in several)
    if origin is Literal:
        return lambda value: isinstance(value, str) and value in parts
    if origin in (tuple, Sequence):
        item = _fits(parts[0])
        return lambda value: isinstance(value, tuple) and all(map(item, value))
    if origin is Callable:
        return callable
    if hint is float:
        return lambda value: type(value) is float  # those of other packages have another text
    if hint is int:
        return lambda value: isinstance(value, int) and not isinstance(value, bool)
    return lambda value: isinstance(value, hint)


def _alternatives(hint: Any) -> list[str]:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return list(dict.fromkeys([text for part in parts for text in _alternatives(part)]))
    if origin is Literal:
        return [repr(part) for part in parts]
    if origin in (tuple, Sequence):
        return [f"a sequence of these: {_listed(_alternatives(parts[0]))}"]
    return ["a function"] if origin is Callable else [_WORDS[hint]]


def _listed(texts: Sequence[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} or {last}" if first else last


def _spelled(value: Any) -> str:
    if isinstance(value, Expr):
        return print_expr(value)
    if isinstance(value, tuple):
        items = ", ".join([_spelled(item) for item in value])
        return f"({items},)" if len(value) == 1 else f"({items})"
    plain = type(value) in (bool, int, float, str, bytes, list, dict, NoneType)
    return repr(value) if plain else f"a value of type {type(value).__name__}"
