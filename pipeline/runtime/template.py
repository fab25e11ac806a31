"""Chat templates: messages → prompt text, by the Jinja program that came with the model.

A template is untrusted code. It runs in Jinja's immutable sandbox with what is left taken away
that could take over the memory or the processor: operators, methods and filters whose result can
be far larger than their operands are bounded or absent, and statements are counted. The count is
of lines run, not of seconds, so a template is refused everywhere or nowhere.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from .errors import CallError, PackageError

MAX_TEMPLATE = 256 << 10  # characters of program
MAX_TEXT = 4 << 20  # characters of any text the program makes
MAX_STEPS = 1_000_000  # lines of Python run for one rendering: about a second
MAX_BITS = 4096  # of an integer

_FILTERS = """
abs attr capitalize count d default dictsort e escape first float groupby int items
last length list lower map max min reject rejectattr reverse round safe select selectattr sort
title trim unique upper
"""
_TEXT_METHODS = """
capitalize casefold count endswith find index isalnum isalpha isdecimal isdigit islower isnumeric
isspace isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex
rpartition rsplit rstrip split splitlines startswith strip swapcase title upper
"""


class _Refused(Exception):
    """The template called raise_exception."""


class _TooMuch(Exception):
    """The template went over a limit."""


class ChatTemplate:
    """A compiled chat template.

    Raises PackageError for a template that is too long or is not a Jinja program, and where
    jinja2 is not installed.
    """

    def __init__(self, source: str, path: Path) -> None:
        self._path = path
        if len(source) > MAX_TEMPLATE:
            raise PackageError(
                f"{path}: the chat template has {len(source)} characters, at most {MAX_TEMPLATE} "
                "are accepted; give the whole prompt as text"
            )
        with self._plain_errors():
            self._template = _environment().from_string(source)

    def render(
        self, messages: Sequence[Mapping[str, object]], special_tokens: Mapping[str, str]
    ) -> str:
        """messages → prompt, ready for the model's answer.

        Raises CallError when the template refuses the messages, PackageError when it fails or
        goes over a limit.
        """
        pieces: list[str] = []
        length = 0
        with self._plain_errors(), _counted_steps():
            for piece in self._template.generate(
                **special_tokens, messages=messages, add_generation_prompt=True
            ):
                length += len(piece)
                _check_length(length)
                pieces.append(piece)
        return "".join(pieces)

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except PackageError:
            raise
        except _Refused as error:
            raise CallError(
                f"{self._path}: the chat template refuses these messages: {error}"
            ) from None
        except _TooMuch as error:
            raise PackageError(
                f"{self._path}: the chat template was stopped: {error}; "
                "give the whole prompt as text"
            ) from None
        except (Exception, RecursionError, MemoryError) as error:
            # Whatever an untrusted program can raise, jinja2's own errors among it.
            line = getattr(error, "lineno", None)
            place = f"{self._path}:{line}" if line else f"{self._path}"
            raise PackageError(
                f"{place}: the chat template fails: {type(error).__name__}: {error}; "
                "give the whole prompt as text"
            ) from None


@contextmanager
def _counted_steps() -> Iterator[None]:
    """Runs its body with at most MAX_STEPS lines of Python; the caller's tracer comes back."""
    steps = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal steps
        steps += 1
        if steps > MAX_STEPS:
            raise _TooMuch(f"it ran more than {MAX_STEPS} steps")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def _check_length(length: int) -> None:
    if length > MAX_TEXT:
        raise _TooMuch(f"it makes more than {MAX_TEXT} characters of text")


def _environment() -> Any:
    try:
        from jinja2 import nodes
        from jinja2.compiler import CodeGenerator, Frame
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise PackageError(
            "chat needs the distribution 'jinja2', which is not installed: "
            "pip install jinja2 (or give the whole prompt as text)"
        ) from None

    class Generator(CodeGenerator):
        def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
            self.write("environment.concatenate((")
            for part in node.nodes:
                self.visit(part, frame)
                self.write(", ")
            self.write("))")

    class Environment(ImmutableSandboxedEnvironment):
        code_generator_class = Generator
        intercepted_binops = frozenset(_OPERATORS)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _OPERATORS[operator](left, right)
            return super().call_binop(context, operator, left, right)

        def concatenate(self, parts: tuple[object, ...]) -> str:
            return _joined("", parts)

        def call(self, context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
            owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
            if isinstance(owner, str) and name == "join":
                return _joined(owner, *args, **kwargs)
            if isinstance(owner, str) and name == "replace":
                return _replaced(owner, *args, **kwargs)
            return super().call(context, function, *args, **kwargs)

        def wrap_str_format(self, value: Any) -> None:
            return None  # so that `format`, which can pad without bound, is refused like others

        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            if isinstance(obj, str):
                return attr in _TEXT_METHODS.split()
            if isinstance(obj, int | float):
                return False
            return super().is_safe_attribute(obj, attr, value)

    # The optimizer would run operators on constants while compiling, past the bounds.
    environment = Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        optimized=False,
        finalize=_text,
        extensions=["jinja2.ext.loopcontrols"],
    )
    environment.filters = {name: environment.filters[name] for name in _FILTERS.split()} | {
        "indent": _indented,
        "join": lambda value, d="": _joined(d, value),
        "replace": _replaced,
        "string": _text,
        "tojson": _json,
    }
    del environment.globals["lipsum"]
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _raise(message: object) -> NoReturn:
    raise _Refused(_text(message))


def _bound_sum(left: Any, right: Any) -> None:
    if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
        _check_length(len(left) + len(right))


def _bound_product(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())
    for many, times in ((left, right), (right, left)):
        if isinstance(many, str | list | tuple) and isinstance(times, int):
            _check_length(len(many) * times)


def _bound_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and right > 0:
        _check_bits(left.bit_length() * right)


def _bound_remainder(left: Any, right: Any) -> None:
    if isinstance(left, str):
        raise _TooMuch("it formats text with '%', which can pad without bound; use '~'")


def _check_bits(bits: int) -> None:
    if bits > MAX_BITS:
        raise _TooMuch(f"it makes an integer of more than {MAX_BITS} bits")


_OPERATORS: dict[str, Callable[[Any, Any], None]] = {
    "+": _bound_sum,
    "*": _bound_product,
    "**": _bound_power,
    "%": _bound_remainder,
}


def _text(value: object) -> str:
    """str(value); nested lists that share parts can be exponentially large, so they are counted."""
    if isinstance(value, list | tuple | dict | set):
        length, pending = 0, [value]
        while pending:
            item = pending.pop()
            length += len(item) if isinstance(item, str | list | tuple | dict | set) else 4
            _check_length(length)
            if isinstance(item, Mapping):
                pending.extend(item.keys())
                pending.extend(item.values())
            elif isinstance(item, list | tuple | set):
                pending.extend(item)
    return str(value)


def _joined(separator: str, values: Iterable[object]) -> str:
    pieces: list[str] = []
    length = 0
    for value in values:
        pieces.append(_text(value))
        length += len(pieces[-1]) + len(separator)
        _check_length(length)
    return str(separator).join(pieces)


def _replaced(value: object, old: str, new: str, count: int = -1) -> str:
    text = _text(value)
    found = text.count(old) if count is None or count < 0 else min(count, text.count(old))
    _check_length(len(text) + found * max(0, len(new) - len(old)))
    return text.replace(old, new, found)


def _indented(value: object, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    text = _text(value)
    margin = width if isinstance(width, str) else " " * min(width, MAX_TEXT)
    _check_length(len(text) + len(margin) * (text.count("\n") + 1))
    lines = text.split("\n")
    rest = [margin + line if line or blank else line for line in lines[1:]]
    return "\n".join([margin + lines[0] if first else lines[0], *rest])


def _json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without the HTML escapes of Jinja's own filter, as chat templates expect it."""
    encoder = json.JSONEncoder(
        ensure_ascii=ensure_ascii,
        indent=None if indent is None else min(indent, 16),
        separators=separators,
        sort_keys=sort_keys,
    )
    # Piece by piece, because the bound must act before the whole text exists.
    return _joined("", encoder.iterencode(value))
