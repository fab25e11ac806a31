"""Numbers of the tape, and the sums that indices are, against arithmetic on all values."""

from __future__ import annotations

import itertools
from math import prod
from random import Random

import numpy as np
import pytest

from passes.ir.evaluate import evaluate
from passes.ir.expr import Dim, Expr, FloorMod, Max, Min, Var, const
from passes.ir.node import postorder
from passes.search.features.forms import Forms
from passes.search.features.sums import Loop, different, ends, mean, spread
from passes.search.features.tape import (
    Number,
    Sym,
    Tape,
    at_most,
    ceildiv,
    choose,
    common,
    least,
    most,
    quotient,
    times,
)


def value(number: Number, **dims: int) -> float:
    if not isinstance(number, Sym):
        return float(number)
    given = {name: np.array([size], np.int64) for name, size in dims.items()}
    return float(number.tape.run([number], given)[0][0])


def test_the_tape_does_what_python_does() -> None:
    tape = Tape()
    a, b = tape.dim("a"), tape.dim("b")
    for x, y in itertools.product(range(1, 30, 4), repeat=2):
        for got, wanted in [
            (a + b, x + y), (3 - a, 3 - x), (a - b, x - y), (a * b + 1, x * y + 1),
            (a // b, x // y), (100 // b, 100 // y), (a % b, x % y), (a / b, x / y), (-a, -x),
            (ceildiv(a, b), -(-x // y)), (least(a, 7), min(x, 7)), (most(9, b), max(9, y)),
            (choose(at_most(a, b), a, 5), x if x <= y else 5),
            (common(a * 12, 64), np.gcd(x * 12, 64)), (times([a, 2, b]), x * 2 * y),
        ]:  # fmt: skip
            assert value(got, a=x, b=y) == pytest.approx(float(wanted))


def test_numbers_are_noted_once_and_known_ones_not_at_all() -> None:
    tape = Tape()
    a, b = tape.dim("a"), tape.dim("b")
    assert (a * b) is (b * a) and (a + 1) is (a + 1)
    assert (a * 1) is a and (a + 0) is a and (0 + a) is a and (a // 1) is a
    assert (a * 0, a - a, a // a, a % 1) == (0, 0, 1, 0)
    assert (least(2, 3), most(2, 3), ceildiv(7, 2), common(12, 8)) == (2, 3, 4, 4)


def test_quotients_are_whole() -> None:
    tape = Tape()
    a, b = tape.dim("a"), tape.dim("b")
    assert quotient(a * b * 8, a * 4) is b * 2
    assert quotient(a * b, b) is a
    assert quotient(12, 4) == 3
    assert quotient(12, 5) is None and quotient(a, b) is None and quotient(a + b, b) is None


def test_a_dim_needs_values() -> None:
    with pytest.raises(KeyError, match="'t'"):
        value(Tape().dim("t") + 1, u=3)


N = Dim("n", 1, 64)
SIZES = (4, 3, 5)
VARS = tuple([Var(name, k) for k, name in enumerate("ijk")])


def drawn(random: Random, depth: int) -> Expr:
    """An index expression as schedules make them."""
    if not depth:
        return random.choice([*VARS, *VARS, const(random.randrange(5)), N])
    a, b = drawn(random, depth - 1), drawn(random, depth - 1)
    size = const(random.choice([2, 3, 4, 8, 16]))
    return random.choice([a + b, a + b, a * size, a // size, a % size, Min(a, b), Max(a, b)])


@pytest.mark.parametrize("seed", range(300))
def test_sums_hold_all_values_of_an_index(seed: int) -> None:
    random = Random(seed)
    e = drawn(random, 3)
    forms = Forms(Tape())
    loops = [Loop(size, size, "serial") for size in SIZES]
    for var, loop in zip(VARS, loops, strict=True):
        forms.bind(var, forms.loop(loop))
    found = forms.of(e)
    n = random.randrange(1, 20)
    places = dict(zip(VARS, np.indices(SIZES), strict=True))
    values = np.broadcast_to(evaluate(e, {**places, N: n}), SIZES)
    whole = ends(found)
    assert whole is not None
    assert value(whole[0], n=n) <= values.min() and values.max() <= value(whole[1], n=n)
    middle = mean(found)
    assert middle is not None
    assert value(whole[0], n=n) <= value(middle, n=n) <= value(whole[1], n=n)
    if any(isinstance(node, FloorMod) for node in postorder(e)):
        return  # taken not to begin anew
    for still in range(4):
        moving = {loop: loop.extent for loop in loops[still:]}
        far = spread(found, moving)
        assert far is not None
        held = values.reshape(prod(SIZES[:still]), -1)
        most_places = max(len(set(line)) for line in held.tolist())
        assert most_places <= min(value(far, n=n) + 1, value(different(found, moving), n=n))


def test_digits_of_mixed_radix_are_taken_apart() -> None:
    forms, (i, j, _) = Forms(Tape()), VARS
    outer, inner = Loop(6, 6, "serial"), Loop(16, 16, "vectorized")
    forms.bind(i, forms.loop(outer))
    forms.bind(j, forms.loop(inner))
    whole = i * 48 + j + 32
    high, low = forms.of(whole // 16), forms.of(whole % 16)
    assert [(atom.rule, m) for atom, m in high.terms.items()] == [("loop", 3)]
    assert (high.loops, high.constant) == ({outer}, 2)
    assert (low.loops, low.constant) == ({inner}, 0)


def test_tiles_of_unknown_size_are_taken_apart() -> None:
    forms, (i, j, _) = Forms(Tape()), VARS
    fused, inner = Loop(12, 12, "parallel"), Loop(8, 8, "serial")
    forms.bind(i, forms.loop(fused))
    forms.bind(j, forms.loop(inner))
    row = forms.of(i // N * N * 8 + j)
    assert {atom.rule: value(m, n=4) for atom, m in row.terms.items()} == {"//": 32.0, "loop": 1.0}
    far = spread(row, {fused: 12, inner: 8})
    assert far is not None and value(far, n=4) == 2 * 32 + 7
    assert forms.of((i * N * 8 + j * N) // N).loops == {fused, inner}
    assert forms.of(i * N * 8 % N).constant == 0
