"""Distributions against brute force, and what instructions are said to hold where."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.ir.evaluate import evaluate
from passes.ir.expr import Expr, Var
from passes.ir.expr_text import print_expr
from passes.ir.loop.distribution import (
    Distribution,
    distribution,
    identity,
    mma_m16n8k16,
    swizzle,
)
from passes.ir.node import IRError

QUICK = settings(max_examples=40, deadline=None)


@st.composite
def maps(draw: st.DrawFn, places: tuple[str, ...] = ("register", "lane")) -> Distribution:
    outputs = {name: 1 << draw(st.integers(0, 3)) for name in ("i", "j")[: draw(st.integers(1, 2))]}
    basis = st.tuples(*[st.integers(0, size - 1) for size in outputs.values()])
    return distribution(outputs, {p: draw(st.lists(basis, max_size=4)) for p in places})


def table(d: Distribution) -> dict[tuple[int, ...], tuple[int, ...]]:
    """The coordinates of every place."""
    names = [name for name, _ in d.inputs]
    every = itertools.product(*[range(d.size(name)) for name in names])
    return {place: d.at(**dict(zip(names, place, strict=True))) for place in every}


@QUICK
@given(maps())
def test_questions_have_the_answers_of_the_table(d):
    found = table(d)
    elements = math.prod(size for _, size in d.outputs)
    assert d.is_injective() == (len(set(found.values())) == len(found))
    assert d.is_surjective() == (len(set(found.values())) == elements)


@QUICK
@given(maps())
def test_expressions_have_the_values_of_the_table(d):
    symbols = {name: Var(name, 0) for name, _ in d.inputs}
    exprs = d.coordinates(**symbols)
    for place, wanted in table(d).items():
        values = dict(zip(symbols.values(), place, strict=True))
        assert tuple([int(evaluate(e, values)) for e in exprs]) == wanted


@QUICK
@given(maps(), maps(("i", "j")))
def test_one_map_after_another(first, second):
    sizes = {name: second.size(name) for name, _ in second.inputs}
    if sizes != dict(first.outputs):
        with pytest.raises(IRError, match="does not fit"):
            first.then(second)
        return
    both = first.then(second)
    for place, between in table(first).items():
        wanted = second.at(**dict(zip(sizes, between, strict=True)))
        assert both.at(**dict(zip([n for n, _ in first.inputs], place, strict=True))) == wanted


@QUICK
@given(maps())
def test_inverses_find_a_place_of_every_element(d):
    if not d.is_surjective():
        with pytest.raises(IRError, match="has no place"):
            d.inverse()
        return
    back = d.inverse()
    names = [name for name, _ in d.inputs]
    for element, place in table(back).items():
        assert d.at(**dict(zip(names, place, strict=True))) == element
    assert back.then(d) is distribution(
        dict(d.outputs),
        {
            name: [tuple([1 << b if a == axis else 0 for a in range(d.rank)]) for b in range(bits)]
            for axis, (name, bits) in enumerate([(n, s.bit_length() - 1) for n, s in d.outputs])
        },
    )
    if d.is_injective():
        assert back.inverse() is d


@QUICK
@given(maps(), maps())
def test_two_maps_side_by_side(inner, outer):
    both = inner.beside(outer)
    names, sizes = [name for name, _ in inner.inputs], dict(inner.outputs)
    for (low, a), (high, b) in itertools.product(table(inner).items(), table(outer).items()):
        place = {
            name: x + y * inner.size(name) for name, x, y in zip(names, low, high, strict=True)
        }
        mine = dict(zip(sizes, a, strict=True))
        theirs = dict(zip([n for n, _ in outer.outputs], b, strict=True))
        wanted = [mine.get(n, 0) + theirs.get(n, 0) * sizes.get(n, 1) for n, _ in both.outputs]
        assert both.at(**place) == tuple(wanted)


def test_operands_of_mma_m16n8k16():
    """As the instruction's documentation lists them, element by element."""
    a, b, c = mma_m16n8k16()
    for lane in range(32):
        group, within = lane // 4, lane % 4
        for r in range(8):
            row = group if r < 2 or 4 <= r < 6 else group + 8
            col = within * 2 + (r & 1) + (0 if r < 4 else 8)
            assert a.at(register=r, lane=lane) == (row, col)
        for r in range(4):
            assert b.at(register=r, lane=lane) == (within * 2 + (r & 1) + 8 * (r // 2), group)
            assert c.at(register=r, lane=lane) == (group + 8 * (r // 2), within * 2 + (r & 1))
    for d in (a, b, c):
        assert d.is_injective() and d.is_surjective()


def test_a_sum_becomes_the_next_operand():
    """Two tiles of c beside each other are held like an a: no lane needs another's elements."""
    a, _, c = mma_m16n8k16()
    two = c.beside(distribution({"i": 1, "j": 2}, {"register": [(0, 1)], "lane": []}))
    named = Distribution((("i", 16), ("k", 16)), two.inputs)
    assert named is a


def test_expressions_read_like_the_documentation():
    a, _, _ = mma_m16n8k16()
    r, lane = Var("r", 0), Var("l", 1)
    assert [print_expr(e) for e in a.coordinates(register=r, lane=lane)] == [
        "r0//2%2*8 + l1//4", "r0%2 + r0//4*8 + l1%4*2",
    ]  # fmt: skip
    s = swizzle(8, 64, vector=8, phases=8)
    assert [print_expr(e) for e in s.coordinates(offset=r)] == ["r0//64", "r0%64 ^ r0//64*8"]


@pytest.mark.parametrize("shape", [(8, 64, 8, 8, 1), (16, 32, 4, 4, 2), (4, 16, 1, 1, 1)])
def test_swizzles_spread_columns_over_the_banks(shape):
    rows, columns, vector, phases, rows_a_phase = shape
    s = swizzle(rows, columns, vector, phases, rows_a_phase)
    assert s.is_injective() and s.is_surjective()
    for offset in range(rows * columns):
        i = offset // columns
        j = (offset % columns) ^ (i // rows_a_phase % phases) * vector
        assert s.at(offset=offset) == (i, j)
    where = s.inverse()
    groups = {where.at(i=i, j=0)[0] // vector % (columns // vector) for i in range(rows)}
    assert len(groups) == min(phases, -(-rows // rows_a_phase))


def test_loads_for_matrix_instructions_are_a_map():
    """Each of eight lanes names a row of eight halves; lane l then holds elements of row l//4."""
    rows = distribution({"i": 8, "j": 8}, {"lane": [(0, 2), (0, 4), (1, 0), (2, 0), (4, 0)],
                                           "register": [(0, 1)]})  # fmt: skip
    b = mma_m16n8k16()[1]
    transposed = Distribution((("k", 8), ("j", 8)), tuple([
        (place, tuple([basis[::-1] for basis in bases])) for place, bases in rows.inputs
    ]))  # fmt: skip
    half = [(n, bases[:1] if n == "register" else bases) for n, bases in b.inputs]
    assert dict(transposed.inputs) == dict(half)


def test_places_and_identities():
    d = identity("lane", 4, "j").beside(identity("lane", 8, "i"))
    assert [d.at(lane=lane) for lane in (0, 1, 4, 13)] == [(0, 0), (1, 0), (0, 1), (1, 3)]
    assert d.size("lane") == 32 and d.size("warp") == 1 and d.rank == 2
    assert identity("lane", 1, "j").at(lane=0) == (0,)
    assert isinstance(d.coordinates(lane=3)[0], Expr)
    grid = np.arange(32).reshape(8, 4)
    assert [int(grid[d.at(lane=lane)[::-1]]) for lane in range(32)] == list(range(32))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: distribution({"i": 3}, {}), "coordinate 'i' has size 3, not a power of two"),
        (lambda: distribution({"i": 4}, {"lane": [(4,)]}),
         "a bit of 'lane' has basis (4,) for coordinates of [4]"),
        (lambda: distribution({"i": 4}, {"lane": [(1, 0)]}),
         "a bit of 'lane' has basis (1, 0) for coordinates of [4]"),
        (lambda: Distribution((("i", 4), ("i", 2)), ()),
         "a distribution needs a name of its own for each coordinate: ['i', 'i']"),
        (lambda: distribution({"i": 2}, {"a b": []}),
         "a distribution needs a name of its own for each place: ['a b']"),
        (lambda: identity("lane", 4, "i").at(lane=4), "'lane' is 4; a place is 0..3"),
        (lambda: identity("lane", 4, "i").coordinates(warp=0),
         "the distribution has no place 'warp', but ['lane']"),
        (lambda: identity("lane", 4, "i").then(identity("i", 8, "j")),
         "a map to {'i': 4} does not fit one from {'i': 8}"),
        (lambda: distribution({"i": 4}, {"lane": [(1,)]}).inverse(),
         "bit 1 of coordinate 'i' has no place"),
        (lambda: swizzle(4, 16, 8, 4), "4 phases of 8 do not fit a tile of 4 x 16"),
        (lambda: swizzle(4, 12), "coordinate 'j' has size 12, not a power of two"),
    ],
)  # fmt: skip
def test_what_is_no_distribution(make, said):
    with pytest.raises(IRError) as caught:
        make()
    assert str(caught.value) == said
