"""Whether different values of loops give different indices, against all values."""

from __future__ import annotations

from itertools import product

import pytest

from passes.ir.evaluate import evaluate
from passes.ir.expr import Expr, Var, index
from passes.schedule.dependence import differ

I, J = Var("i", 0), Var("j", 1)  # noqa: E741
EXTENTS = {I: 3, J: 12}


@pytest.mark.parametrize(
    ("places", "apart"),
    [
        ((J // 4, I, J % 4), True),
        ((J // 4 // 2, I, J // 4 % 2, J % 4), True),
        ((J // 4, J % 4), False),
        ((J // 4, I, J % 3), False),
        ((J // 4, I, J % 2), False),
        ((J // 3, I, J % 4 % 3), False),
        ((I * 12 + J,), True),
    ],
)
def test_indices_that_follow_from_each_other(places: tuple[Expr, ...], apart: bool) -> None:
    known = {v: (index(0), index(extent - 1)) for v, extent in EXTENTS.items()}
    values = [dict(zip(EXTENTS, at, strict=True)) for at in product(range(3), range(12))]
    reached = {tuple([evaluate(e, at) for e in places]) for at in values}
    assert (len(reached) == len(values)) == apart
    assert not differ(places, (I, J), known) or apart


def test_digits_need_no_bounds() -> None:
    assert differ((J // 4, I, J % 4), (I, J), {})
    assert not differ((J // 4, I, J % 2), (I, J), {})
    assert not differ((J % 4, I, J // 8), (I, J), {})
