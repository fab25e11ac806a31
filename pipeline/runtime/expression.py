"""Integer expressions over dims, as a manifest writes its shapes: `n`, `2 * n`, `(n + 31) // 32`.

Manifests are untrusted, so the text is read by a small operator-precedence parser into postfix
form and evaluated on a stack: no recursion, no Python evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_LENGTH = 256  # characters; real shapes need a tenth of it
_TOKEN = re.compile(r"\s*(?:([0-9]+)|([A-Za-z_][A-Za-z0-9_]*)|(//|[-+*()]))")
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "//": 2}


@dataclass(frozen=True)
class Expression:
    """A parsed expression: `text` as written, `postfix` of integers, names and operators."""

    text: str
    postfix: tuple[int | str, ...]

    @property
    def names(self) -> frozenset[str]:
        """The dims that the value depends on."""
        return frozenset(
            item for item in self.postfix if isinstance(item, str) and item not in _PRECEDENCE
        )

    @property
    def name(self) -> str | None:
        """The dim's name when the expression is nothing but a dim, else None."""
        (first, *rest) = self.postfix
        return first if isinstance(first, str) and not rest else None

    def evaluate(self, dims: Mapping[str, int]) -> int:
        """The value under `dims`.

        Raises ValueError for a missing dim and for a division by zero.
        """
        stack: list[int] = []
        for item in self.postfix:
            if isinstance(item, int):
                stack.append(item)
            elif item not in _PRECEDENCE:
                if item not in dims:
                    raise ValueError(f"dimension '{item}' has no value in '{self.text}'")
                stack.append(dims[item])
            else:
                right, left = stack.pop(), stack.pop()
                stack.append(_apply(item, left, right, self.text))
        return stack[0]


def _apply(operator: str, left: int, right: int, text: str) -> int:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            if right == 0:
                raise ValueError(f"division by zero in '{text}'")
            return left // right


def parse(text: str) -> Expression:
    """Reads an expression: names, decimal integers, `+ - * //` and parentheses.

    "(n + 31) // 32" -> postfix (n, 31, +, 32, //)

    Raises ValueError that names the column of the first thing that does not belong.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"expression of {len(text)} characters; at most {MAX_LENGTH} are read")
    output: list[int | str] = []
    operators: list[str] = []
    operand_next = True
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            column = position + len(text[position:]) - len(text[position:].lstrip())
            raise ValueError(f"unexpected '{text[column]}' at column {column + 1} of '{text}'")
        number, name, symbol = match.groups()
        is_operand = symbol is None
        if (is_operand or symbol == "(") != operand_next:
            found, column = match[match.lastindex or 0], match.start(match.lastindex or 0)
            raise ValueError(f"unexpected '{found}' at column {column + 1} of '{text}'")
        if number is not None:
            output.append(int(number))
            operand_next = False
        elif name is not None:
            output.append(name)
            operand_next = False
        elif symbol == "(":
            operators.append(symbol)
        elif symbol == ")":
            while operators and operators[-1] != "(":
                output.append(operators.pop())
            if not operators:
                raise ValueError(f"')' without '(' at column {match.end()} of '{text}'")
            operators.pop()
        else:
            while operators and _PRECEDENCE.get(operators[-1], 0) >= _PRECEDENCE[symbol]:
                output.append(operators.pop())
            operators.append(symbol)
            operand_next = True
        position = match.end()
    if operand_next:
        raise ValueError(f"'{text}' ends where a name or a number should be")
    if "(" in operators:
        raise ValueError(f"'(' is never closed in '{text}'")
    return Expression(text, (*output, *reversed(operators)))
