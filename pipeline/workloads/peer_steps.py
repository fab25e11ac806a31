"""A case as its peers see it: a list of operators on names. The standard library alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SLIDING = ("conv", "conv_transposed", "max_pool", "avg_pool")


@dataclass(frozen=True)
class Step:
    """One operator: its inputs and its result by name, its attributes as the case has them."""

    operator: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    output: str

    @property
    def slides(self) -> bool:
        """Whether windows slide over the first input, so that the place of its channels counts."""
        return self.operator in SLIDING

    @property
    def channels_first(self) -> bool:
        return bool(self.attributes.get("layout") == "first")

    def numbers(self, name: str, count: int, default: int) -> list[int]:
        """An attribute of one number an axis."""
        return list(self.attributes.get(name) or [default] * count)

    def margins(self, count: int) -> list[tuple[int, int]]:
        """The attribute `padding`, a pair an axis."""
        given = self.attributes.get("padding") or [0] * count
        return [(pad, pad) if isinstance(pad, int) else (pad[0], pad[1]) for pad in given]


def steps_of(case: Mapping[str, Any]) -> list[Step]:
    """The case's operator, then its epilogue; the last result is called out."""
    later = {name for step in case["epilogue"] for name in step["with"]}
    first = tuple(case["of"]) or tuple(name for name in case["inputs"] if name not in later)
    parts = [(case["operator"], first, case["attributes"])]
    parts += [
        (step["operator"], tuple(step["with"]), step["attributes"]) for step in case["epilogue"]
    ]
    made: list[Step] = []
    for number, (operator, names, attributes) in enumerate(parts):
        output = "out" if number == len(parts) - 1 else f"result {number}"
        inputs = names if number == 0 else (made[-1].output, *names)
        made.append(Step(operator, inputs, attributes, output))
    return made


def dtype_of(case: Mapping[str, Any], name: str) -> str:
    """The element type that a case gives an input."""
    text: str = case["inputs"][name]
    return text.partition("[")[0].strip()


@dataclass(frozen=True)
class MatrixForm:
    """A contraction as a product of matrices: transpose a, transpose b, multiply, and where
    `swapped` multiply b by a."""

    transpose_a: bool
    transpose_b: bool
    swapped: bool


def matrix_form(equation: str) -> MatrixForm | None:
    """ "mk,kn->mn" and its kin; None for other contractions."""
    left, _, out = equation.replace(" ", "").partition("->")
    a, _, b = left.partition(",")
    if len(a) != 2 or len(b) != 2 or len(out) != 2:
        return None
    summed = set(a) & set(b)
    if len(summed) != 1 or set(out) != set(a) ^ set(b):
        return None
    (k,) = summed
    swapped = out[0] in b
    if swapped:
        a, b = b, a
    return MatrixForm(a[0] == k, b[1] == k, swapped)
