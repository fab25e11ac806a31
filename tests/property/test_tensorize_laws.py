"""Law of instructions: what is accepted computes the same; near misses are refused.

Programs are drawn at random around one that fits: loops in any order, operands anywhere.
"""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from passes.ir.loop.nodes import Function
from passes.ir.loop.parse import parse_function
from passes.ir.loop.verify import verify
from passes.ir.node import IRError
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError
from tests.unit.schedule.programs import assert_same_meaning

quiet = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

ROWS = ["v", "v", "v", "v*2", "3 - v", "v + 1", "v + u", "v//2", "1"]
COLUMNS = ["l", "l", "l", "l + 3", "l*2", "l + v", "15 - l", "l%16", "l//2*2"]
SUMS = ["u", "u", "u", "u*4", "u + v", "u + 2", "n - 1 - u", "u%3"]


def random_product(r: Random) -> Function:
    """Nearly y[v, l] += x[v, u] * w[u, l], in loops as they come."""
    rows, columns = r.choice([1, 4, 4, 3]), r.choice([16, 16, 16, 8, 32])
    loops = [("i", str(rows)), ("j", str(columns)), ("k", "n")]
    inner = r.sample(loops[:2], 2) if r.random() < 0.8 else [loops[2], loops[0]]
    around = [loop for loop in loops if loop not in inner]
    y = [
        r.choice(ROWS) if r.random() < 0.2 else "v",
        r.choice(COLUMNS) if r.random() < 0.2 else "l",
    ]
    a = [r.choice(ROWS), r.choice(SUMS)]
    b = [r.choice(SUMS), r.choice(COLUMNS)]
    if r.random() < 0.2:
        a.reverse()
    left, right = f"x[{', '.join(a)}]", f"{r.choice('wwwwxy')}[{', '.join(b)}]"
    factors = [left, right] if r.random() < 0.7 else [right, left]
    terms = [f"y[{', '.join(y)}]", "*".join(factors)]
    value = " + ".join(terms if r.random() < 0.7 else terms[::-1])
    lines = [f"def f(x: f32[99, 99], w: f32[99, {r.choice([99, 80])}], y: f32[40, 70],"
             " *, n: dim[1, 6]):"]  # fmt: skip
    for depth, (name, extent) in enumerate([*around, *inner]):
        lines.append(f"{'    ' * (depth + 1)}for {name} in range({extent}):")
    body = [
        'with block("mm"):',
        f"    v = {r.choice(['ordered'] * 1 + ['spatial'] * 9)}({rows}, i)",
        f"    l = spatial({columns}, j)",
        f"    u = {r.choice(['ordered'] * 1 + ['reduce'] * 9)}(n, k)",
        f"    {terms[0]} = {value}",
    ]
    lines += ["    " * 4 + line for line in body]
    function = parse_function("\n".join(lines) + "\n")
    verify(function)
    return function


@settings(quiet, max_examples=300)
@given(seed=st.integers(0, 1 << 32))
def test_what_is_accepted_computes_the_same(seed: int) -> None:
    r = Random(seed)
    try:
        function = random_product(r)
    except IRError:
        assume(False)
    s = Schedule(function)
    try:
        s.tensorize(r.choice(s.loops("mm")[1:]), r.choice(["fma_f32_x16", "fma_f32_x8"]))
    except ScheduleError:
        return
    assert_same_meaning(function, s.function, (1, 4))


def test_some_are_accepted() -> None:
    """Or the law above would say nothing."""
    accepted = 0
    for seed in range(200):
        try:
            function = random_product(Random(seed))
            s = Schedule(function)
            s.tensorize(s.loops("mm")[1], "fma_f32_x16")
            accepted += 1
        except IRError:
            continue
    assert accepted >= 5
