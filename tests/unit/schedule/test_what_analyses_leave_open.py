"""What analyses must not conclude: from ranges of other iterations, inits that do not run, memory
that changes, vectors, statements outside blocks."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from passes.ir.dtypes import F32, INDEX
from passes.ir.expr import Const, Dim, Expr, Var, index
from passes.ir.loop.nodes import Buffer, Function
from passes.schedule.accesses import Access, ranges
from passes.schedule.coverage import digits
from passes.schedule.dataflow import not_compact, not_complete
from passes.schedule.dependence import differ, disjoint, never_meet
from passes.schedule.survey import survey
from passes.schedule.tree import ScheduleError
from tests.unit.schedule.executions import Point, at, points
from tests.unit.schedule.programs import assert_same_meaning, matmul, stream
from tests.unit.schedule.steps import Steps, program

HEAD = "x: f32[n], y: f32[n], *, n: dim[1, 64]"
WIDE = "x: f32[n], y: f32[n, 32], w: f32[32], *, n: dim[1, 64]"
LOOPS = [Var(name, k) for k, name in enumerate("ijkl")]


def _nest(r: Random) -> list[tuple[Var, Expr]]:
    """Loops whose extents are constants or speak of a loop outside."""
    made: list[tuple[Var, Expr]] = []
    for depth, var in enumerate(LOOPS):
        slanted = depth > 0 and r.random() < 0.5
        outer = r.choice(LOOPS[: max(depth, 1)])
        made.append((var, outer + r.randint(1, 2) if slanted else index(r.randint(1, 4))))
    return made


def _index(r: Random) -> Expr:
    e: Expr = index(r.randint(-3, 9))
    for var in LOOPS:
        e = e + var * r.choice([0, 0, 0, 0, 1, 1, 1, -1, 2, 4, -2, 3])
    width = r.choice([2, 3, 4])
    return r.choice([e, e, e, e, e // width, e % width, r.choice(LOOPS) % width + e * width])


def _meetings(
    first: tuple[Expr, ...], second: tuple[Expr, ...], nest: list[tuple[Var, Expr]]
) -> Iterator[tuple[Point, Point]]:
    """Pairs of iterations in which the one touches what the other does."""
    there: dict[tuple[int, ...], list[Point]] = {}
    for point in points(nest, {}):
        there.setdefault(tuple([at(e, point) for e in second]), []).append(point)
    for point in points(nest, {}):
        for other in there.get(tuple([at(e, point) for e in first]), []):
            yield point, other


@pytest.mark.parametrize("start", range(0, 120, 40))
def test_what_is_apart_is_so_in_loops_of_any_shape(start: int) -> None:
    """Loops that run independently may be outside the one asked about, too."""
    for seed in range(start, start + 40):
        r = Random(seed)
        nest = _nest(r)
        known = {v: (Const(0, INDEX), extent - 1) for v, extent in nest}
        first = tuple([_index(r) for _ in range(r.choice([1, 1, 2]))])
        second = tuple([e + r.randint(-8, 8) for e in first])
        buffer = Buffer("t", 50, (index(99),) * len(first), F32)
        a, b = (Access(buffer, place, True, None, (), ()) for place in (first, second))
        var = r.choice(LOOPS)
        free = frozenset(v for v in LOOPS if v is not var and r.random() < 0.6)
        same = [v for v in LOOPS if v is not var and v not in free]
        met = [(p, q) for p, q in _meetings(first, second, nest) if all(p[v] == q[v] for v in same)]
        if never_meet(a, b, var, free, known, frozenset()):
            assert all(p[var] == q[var] for p, q in met), seed
        if disjoint(a, b, free | {var}, known, frozenset()):
            assert not met, seed
        axes = [var, *same]
        if differ(first, axes, known, free):
            pairs = _meetings(first, first, nest)
            assert all(p[v] == q[v] for p, q in pairs for v in axes), seed


def test_another_iteration_may_reach_farther_along_a_triangle() -> None:
    """At i=0, j=0 what i=7, j=1 reads is stored: j is beyond where it ends at i=0."""
    before = program("""
for i in range(8):
    for j in range(i + 1):
        for k in range(4):
            t[i + j + 8, j + 1] = a[0, k] + x[0]
            y[i, j, k] = t[i + j, j]
""", "x: f32[n], y: f32[8, 8, 4], a: f32[n, 8], t: f32[32, 9], *, n: dim[1, 64]")  # fmt: skip
    t = Steps(before)
    with pytest.raises(ScheduleError, match="may meet in buffer 't3'"):
        t.s.reorder(t.k, t.i, t.j)


LEFT_BEHIND = {
    "an init that a loop of other elements drives": """
t = alloc(f32[4], scope="local")
for i in range(n):
    for a in range(4):
        if i < 1:
            t[a] = f32(5.0)
    for j in range(4):
        for k in range(2):
            with block("s"):
                v = spatial(4, j)
                r = reduce(16, j*2 + k)
                with init():
                    t[v] = f32(0.0)
                t[v] = t[v] + x[r % n]
    y[i] = t[1]
""",
    "an init that the predicate leaves out": """
t = alloc(f32[1], scope="local")
for i in range(n):
    if i < 1:
        t[0] = f32(5.0)
    for k in range(2):
        with block("s"):
            r = reduce(2, k)
            where(1 <= k)
            with init():
                t[0] = f32(0.0)
            t[0] = t[0] + x[r % n]
    y[i] = t[0]
""",
    "an init that never runs": """
t = alloc(f32[1], scope="local")
for i in range(n):
    if i < 1:
        t[0] = f32(5.0)
    for k in range(1):
        with block("s"):
            r = reduce(2, k + 1)
            with init():
                t[0] = f32(0.0)
            if x[r % n] < f32(-100.0):
                t[0] = f32(1.0)
    y[i] = t[0]
""",
    "an init where there is no iteration yet": """
t = alloc(f32[4], scope="local")
for i in range(n):
    for a in range(4):
        if i < 1:
            t[a] = f32(5.0)
    for k in range(4):
        for j in range(k + 1):
            with block("s"):
                v = spatial(4, j)
                r = reduce(4, k)
                with init():
                    t[v] = f32(0.0)
                t[v] = t[v] + x[r % n]
    y[i] = t[1]
""",
    "a place that memory says, which changes": """
t = alloc(f32[64], scope="local")
d = alloc(i32[1], scope="local")
for i in range(n):
    d[0] = cast(i, i32)
    t[cast(d[0], index)] = x[i]
    if 0 < i:
        d[0] = cast(i - 1, i32)
    y[i] = t[cast(d[0], index)]
""",
}


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_what_another_iteration_left_is_not_private(name: str) -> None:
    t = Steps(program(LEFT_BEHIND[name], HEAD))
    with pytest.raises(ScheduleError, match="reads what another one left in 't"):
        t.s.parallel(t.i)


PRIVATE = {
    "loops in one": ("f, 8", "f // 4", "f % 4"),
    "tiles": ("a, 2; b, 2; j, 2", "j", "a*2 + b"),
}


@pytest.mark.parametrize("name", PRIVATE)
def test_sums_that_start_in_the_iteration_are_private(name: str) -> None:
    loops, element, reduced = PRIVATE[name]
    lines, indent = ['t = alloc(f32[2], scope="local")', "for i in range(n):"], "    "
    for loop in loops.split("; "):
        lines.append(f"{indent}for {loop.replace(', ', ' in range(')}):")
        indent += "    "
    lines.append(f"""{indent}with block("s"):
{indent}    v = spatial(2, {element})
{indent}    r = reduce(4, {reduced})
{indent}    with init():
{indent}        t[v] = f32(0.0)
{indent}    t[v] = t[v] + x[r % n]
    y[i] = t[0] - t[1]""")
    before = program("\n".join(lines), HEAD)
    t = Steps(before)
    t.s.parallel(t.i)
    assert_same_meaning(before, t.s.function)


VECTORS = {
    "stored wide, read one by one": """
    t[ramp(0, 1, 32)] = broadcast(x[i], 32)
    for j in range(32):
        y[i, j] = t[j]
""",
    "stored one by one, read wide": """
    for j in range(32):
        t[j] = x[i] + w[j]
    y[i, ramp(0, 1, 32)] = t[ramp(0, 1, 32)]
""",
    "stored and read wide": """
    t[ramp(0, 1, 32)] = broadcast(x[i], 32)
    y[i, ramp(0, 1, 32)] = t[ramp(0, 1, 32)]
""",
}


@pytest.mark.parametrize("name", VECTORS)
def test_wide_vectors_are_regions(name: str) -> None:
    before = program(
        f'\nt = alloc(f32[32], scope="local")\nfor i in range(n):{VECTORS[name]}', WIDE
    )
    t = Steps(before)
    if name.startswith("stored wide"):  # not seen, but no mistake either
        with pytest.raises(ScheduleError, match="left in 't"):
            t.s.parallel(t.i)
        return
    t.s.parallel(t.i)
    assert_same_meaning(before, t.s.function)


def _wide_sums() -> Function:
    return program("""
t = alloc(f32[n, 32])
for i in range(n):
    for k in range(8):
        with block("s"):
            v = spatial(n, i)
            r = reduce(8, k)
            with init():
                t[v, ramp(0, 1, 32)] = broadcast(f32(0.0), 32)
            t[v, ramp(0, 1, 32)] = t[v, ramp(0, 1, 32)] + w[ramp(0, 1, 32)]
for i in range(n):
    for j in range(32):
        with block("b"):
            v = spatial(n, i)
            u = spatial(32, j)
            y[v, u] = t[v, u]*x[v]
""", WIDE)  # fmt: skip


def test_partial_sums_of_vectors() -> None:
    before = _wide_sums()
    t = Steps(before)
    t.s.rfactor("s", t.k)
    assert_same_meaning(before, t.s.function)


def test_what_reads_vectors_is_refused_by_name() -> None:
    before = program("""
t = alloc(f32[n, 32])
for i in range(n):
    for j in range(32):
        with block("a"):
            v = spatial(n, i)
            u = spatial(32, j)
            t[v, u] = x[v] + w[u]
for i in range(n):
    with block("b"):
        v = spatial(n, i)
        y[v, ramp(0, 1, 32)] = t[v, ramp(0, 1, 32)]
""", WIDE)  # fmt: skip
    t = Steps(before)
    with pytest.raises(ScheduleError, match=r"index ramp\(0, 1, 32\) is not linear"):
        t.s.compute_at("a", t.s.loops("b")[0])
    t.s.cache_read("b", "t", "local")
    assert_same_meaning(before, t.s.function)


def test_a_consumer_around_the_producer_is_refused() -> None:
    t = Steps(program("""
t = alloc(i32[4])
for j in range(cast(t[0], index)):
    for i in range(n):
        with block("a"):
            v = spatial(n, i)
            z[v] = i32(1)
    for i in range(2):
        with block("b"):
            v = spatial(4, i)
            t[v] = z[v % n]
""", "z: i32[n], *, n: dim[1, 64]"))  # fmt: skip
    with pytest.raises(ScheduleError, match="a consumer comes before it"):
        t.s.compute_inline("b")


def test_loops_are_not_taken_apart_by_what_may_not_be_positive() -> None:
    n, i = Dim("n", 1, 64), LOOPS[0]
    for width, several in ((n, True), (n - 5, False)):
        apart = digits([i // width, i % width], {i: n * 4}, {})
        assert (len(apart.extents) > 1) == several


def test_statements_outside_blocks_and_inside_count() -> None:
    outside = program("""
for i in range(n):
    y[i] = x[i]
for i in range(n):
    with block("a"):
        v = spatial(n, i)
        y[v] = x[v]
""", HEAD)  # fmt: skip
    assert not_complete(outside, "a") == "a statement outside blocks writes its output"
    assert not_compact(outside) == "it stores outside blocks"
    inside = program("""
for i in range(n):
    with block("a"):
        v = spatial(n, i)
        for j in range(4):
            t[v + j] = x[v]
""", "x: f32[n], t: f32[n + 4], *, n: dim[1, 64]")  # fmt: skip
    assert not_complete(inside, "a") == "two instances may store to the same element"
    assert ranges(inside)


def test_conditions_read_what_is_computed_before() -> None:
    late = program("""
t = alloc(f32[1])
for i in range(n):
    with block("a"):
        v = spatial(n, i)
        where(f32(0.0) < t[0])
        y[v] = x[v]
with block("b"):
    t[0] = x[0]
""", HEAD)  # fmt: skip
    assert not_compact(late) == "a loop or condition may read what is not computed yet"


def test_surveys() -> None:
    assert (
        survey(matmul())
        == """\
compact dataflow
i5: reads x0[i5, 0 : 12], w1[0 : 12, 0 : 16], t4[i5, 0 : 16]; stores t4[i5, 0 : 16]
  j6: reads x0[i5, 0 : 12], w1[0 : 12, j6], t4[i5, j6]; stores t4[i5, j6]
    k7: reads x0[i5, k7], w1[k7, j6], t4[i5, j6]; stores t4[i5, j6]
      dot: a reduction, each instance once
i11: reads r2[i11, 0 : 16], t4[i11, 0 : 16]; stores y3[i11, 0 : 16]
  j12: reads r2[i11, j12], t4[i11, j12]; stores y3[i11, j12]
    out: complete, each instance once
"""
    )
    found = survey(stream()).splitlines()
    assert found[0] == "no compact dataflow: block 'begin': it has no init"
    why = "neither complete (another block writes its output) nor a reduction (it has no init)"
    assert f"  begin: {why}, each instance once" in found
