"""What a plain (unquoted) YAML scalar means in a recipe.

The meaning is that of YAML 1.2's core schema. PyYAML, and many other tools that may read the
same file, speak YAML 1.1. So one law: where YAML 1.1 reads something other than text, 1.2 must
read the same value, or the scalar is an error that asks for quotes or another spelling:

    no, on, y            a boolean in 1.1, text in 1.2      error
    010                  8 in 1.1, 10 in 1.2                error
    1_000, 0b11, 1:30    numbers in 1.1, text in 1.2        error
    2026-01-31           a date in 1.1, text in 1.2         error
    1e-3, 0o17           text in 1.1, a number in 1.2       the number: nobody means the text
    null, ~, true, 0x1F  the same in both                   that value

Infinities, NaN and integers beyond 64 bits are errors too: nothing in a recipe can use them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import yaml

PlainValue = str | int | float | bool | None

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# YAML 1.1 lists y and n as booleans; PyYAML leaves them text, other readers do not.
_OLD_TRUE = frozenset({"y", "yes", "on"})
_OLD_FALSE = frozenset({"n", "no", "off"})
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_OLD_KIND = {
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:timestamp": "a date",
    "tag:yaml.org,2002:merge": "a merge key",
    "tag:yaml.org,2002:value": "a default value key",
}
_resolve_1_1: Callable[[type[yaml.Node], str, tuple[bool, bool]], str] = (
    yaml.resolver.Resolver().resolve
)


class ScalarError(Exception):
    """A plain scalar without one clear meaning."""

    def __init__(self, reason: str, cure: str):
        super().__init__(reason)
        self.reason = reason
        self.cure = cure


def plain_value(text: str) -> PlainValue:
    """The value of a plain scalar; raises ScalarError where its meaning is not certain."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if text.lower() in _OLD_TRUE | _OLD_FALSE:
        meant = "true" if text.lower() in _OLD_TRUE else "false"
        raise ScalarError(
            f"`{text}` is `{meant}` to YAML 1.1 and text to YAML 1.2",
            f'write `{meant}`, or "{text}" if the text is meant',
        )
    if _NOT_FINITE.fullmatch(text):
        raise ScalarError(f"`{text}` is not a finite number", "write a number")
    if _DECIMAL.fullmatch(text):
        return _decimal(text)
    if _OCTAL.fullmatch(text):
        return _in_64_bits(text, int(text[2:], 8))
    if _HEX.fullmatch(text):
        return _in_64_bits(text, int(text[2:], 16))
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ScalarError(f"`{_short(text)}` is too large", "write a smaller number")
        return number
    old = _OLD_KIND.get(_resolve_1_1(yaml.ScalarNode, text, (True, False)))
    if old is not None:
        raise ScalarError(
            f"`{_short(text)}` is {old} to YAML 1.1 and text to YAML 1.2",
            "put it in quotes if the text is meant, or write a plain decimal number",
        )
    return text


def _decimal(text: str) -> int:
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0":
        plain = text[: len(text) - len(digits)] + (digits.lstrip("0") or "0")
        raise ScalarError(
            f"`{_short(text)}` has a leading zero: octal to YAML 1.1, decimal to YAML 1.2",
            f'write `{_short(plain)}`, or "{_short(text)}" if the text is meant',
        )
    # Python refuses to convert thousands of digits; 64 bits never need more than 20.
    return _in_64_bits(text, int(text) if len(digits) <= 20 else 1 << 64)


def _in_64_bits(text: str, number: int) -> int:
    if not -(1 << 63) <= number < 1 << 63:
        raise ScalarError(f"`{_short(text)}` does not fit in 64 bits", "write a smaller number")
    return number


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
