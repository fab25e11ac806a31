"""Reductions of tuples under schedule: argmax and the streaming softmax, split, factored, run."""

import textwrap

import numpy as np
import pytest

from passes.ir.loop.interpret import interpret
from passes.ir.loop.nodes import Function, Update
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import print_function
from passes.ir.node import postorder
from tests.unit.codegen.running import check_lowering
from tests.unit.schedule.programs import assert_same_meaning
from tests.unit.schedule.statement_programs import M, argmax, online_softmax
from tests.unit.schedule.steps import Steps


def factored(function: Function, label: str, factor: int) -> Steps:
    steps = Steps(function)
    inner = steps.s.split(steps.k, factor)[1]
    steps.s.rfactor(label, inner)
    return steps


@pytest.mark.parametrize(("make", "label"), [(online_softmax, "soft"), (argmax, "argmax")])
def test_partial_tuples_are_combined(make, label):
    function = make()
    steps = factored(function, label, 4)
    assert_same_meaning(function, steps.s.function)
    combiners = {n.combiner for n in postorder(steps.s.function) if isinstance(n, Update)}
    assert len(combiners) == 1


@pytest.mark.parametrize("size", [1, 3, 4, 19])
def test_parts_of_any_number_of_elements(size):
    """Lanes beyond the elements are never started, and not read either."""
    function = online_softmax(M)
    steps = factored(function, "soft", 4)
    x = np.random.default_rng(size).standard_normal((5, size)).astype(np.float32)
    for f in (function, steps.s.function):
        top, total = np.zeros(5, np.float32), np.zeros(5, np.float32)
        interpret(f, {"n": 5, "m": size}, [x, top, total])
        assert (top == x.max(1)).all()
        np.testing.assert_allclose(total, np.exp(x - x.max(1)[:, None]).sum(1), rtol=1e-5)
    check_lowering(steps.s.function, {"n": 5, "m": size})


def test_the_program_of_partial_tuples():
    text = print_function(factored(argmax(), "argmax", 4).s.function)
    assert textwrap.dedent(text).endswith(
        """\
    for i9 in range(n):
        for k10 in range(3):
            for k11 in range(4):
                with block("argmax_rf"):
                    i12 = spatial(n, i9)
                    k13 = reduce(3, k10)
                    k14 = spatial(4, k11)
                    with init():
                        best_rf3[i12, k14] = i32(-2147483648)
                        at_rf4[i12, k14] = i32(2147483647)
                    best_rf3[i12, k14], at_rf4[i12, k14] = argmax(best_rf3[i12, k14], at_rf4[i12, k14], x0[i12, k13*4 + k14], cast(k13*4 + k14, i32))
    for i15 in range(n):
        for k16 in range(4):
            with block("argmax"):
                i17 = spatial(n, i15)
                k18 = reduce(4, k16)
                with init():
                    best2[i17] = i32(-2147483648)
                    at1[i17] = i32(2147483647)
                best2[i17], at1[i17] = argmax(best2[i17], at1[i17], best_rf3[i17, k18], at_rf4[i17, k18])
"""  # noqa: E501
    )


@pytest.mark.parametrize("make", [online_softmax, argmax])
@pytest.mark.parametrize("kind", ["", "vectorize", "unroll", "lanes"])
def test_tuples_compile(make, kind):
    label = "soft" if make is online_softmax else "argmax"
    steps = Steps(make()) if kind != "lanes" else factored(make(), label, 4)
    s = steps.s
    if kind == "vectorize":
        outer, inner = s.split(steps.i, 8)
        s.reorder(outer, steps.k, inner)
        s.vectorize(inner)
    elif kind == "unroll":
        s.unroll(steps.k)
    elif kind == "lanes":
        s.vectorize(s.loops(f"{label}_rf")[-1])
        s.parallel(s.loops(f"{label}_rf")[0])
    assert_same_meaning(make(), s.function)
    for n in (1, 8, 19):
        check_lowering(s.function, {"n": n})


def test_an_init_of_tuples_moves_out():
    steps = Steps(online_softmax())
    s = steps.s
    assert s.decompose_reduction("soft", steps.k) == "soft_init"
    s.rfactor("soft", s.split(steps.k, 4)[1])
    assert_same_meaning(online_softmax(), s.function)
    check_lowering(s.function, {"n": 5})


def test_reduce_loops_of_tuples_change_places():
    steps = Steps(online_softmax())
    outer, inner = steps.s.split(steps.k, 4)
    steps.s.reorder(inner, outer)
    assert_same_meaning(online_softmax(), steps.s.function)


SWAP = """
def swap(x: f32[n, 6], p: f32[n], q: f32[n], *, n: dim[1, 64]):
    @combiner(f32(1.0), f32(0.0))
    def product(a: f32, b: f32, c: f32, d: f32):
        return a*c - b*d, a*d + b*c
    for i in range(n):
        for k in range(6):
            with block("p"):
                v = spatial(n, i)
                w = reduce(6, k)
                row = view(x[v, 0:+6])
                with init():
                    p[v] = f32(1.0)
                    q[v] = f32(0.0)
                p[v], q[v] = product(p[v], q[v], row[w], row[5 - w])
"""


@pytest.mark.parametrize("kind", ["serial", "parallel", "vectorized"])
def test_results_that_need_each_other_go_through_temporaries(kind):
    steps = Steps(parse_function(SWAP))
    if kind == "parallel":
        steps.s.parallel(steps.i)
    elif kind == "vectorized":
        outer, inner = steps.s.split(steps.i, 4)
        steps.s.reorder(outer, steps.k, inner)
        steps.s.vectorize(inner)
    lowered = check_lowering(steps.s.function, {"n": 8})
    assert any("new" in buffer.name for buffer in lowered.allocs)
    x = np.random.default_rng(1).standard_normal((8, 6)).astype(np.float32)
    p, q = np.zeros(8, np.float32), np.zeros(8, np.float32)
    interpret(steps.s.function, {"n": 8}, [x, p, q])
    np.testing.assert_allclose(p + 1j * q, (x + 1j * x[:, ::-1]).prod(1), rtol=1e-4)
