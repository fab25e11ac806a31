"""The facets of an operator mean the same: its loop definition computes what its numpy one does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passes.ir.graph.interpret import interpret
from passes.ir.graph.nodes import GraphFunction, Input, Operation, Result, Value
from passes.ir.quantised import QuantisedArray
from passes.ops import OPERATORS
from passes.ops.define import call_loops
from tests.property.operator_cases import CASES, Case, M, N


def test_every_operator_has_a_case() -> None:
    assert {name.split()[0] for name in CASES} == set(OPERATORS)


def run(case: Case, call: Operation) -> list[np.ndarray]:
    """The call's results; quantised inputs come in as weights do, the others as inputs."""
    plain = {
        v.name: x
        for v, x in zip(call.inputs, case.values, strict=True)
        if isinstance(v, Input) and not isinstance(x, QuantisedArray)
    }
    results: list[Value] = [Result(call, i) for i in range(len(call.types))]
    if len(call.types) == 1:
        results = [call]
    inputs = tuple(v for v in call.inputs if isinstance(v, Input))
    function = GraphFunction(
        "f", (M, N), inputs, tuple((f"r{i}", value) for i, value in enumerate(results))
    )
    quantised = {
        v: x for v, x in zip(call.inputs, case.values, strict=True) if isinstance(x, QuantisedArray)
    }
    values = interpret(
        function, plain, dims=case.dims, operators=OPERATORS, weights=quantised.__getitem__
    )[0]
    return [values[f"r{i}"] for i in range(len(results))]


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_loops_are_what_numpy_is(name: str, seed: int) -> None:
    case = CASES[name](np.random.default_rng(seed))
    expected = run(case, case.call)
    for got, want in zip(run(case, call_loops(case.call, OPERATORS)), expected, strict=True):
        if want.dtype.kind == "f":
            # Sums in another order: what cancels leaves an error of the summands' size.
            largest = float(np.abs(want).max(initial=1))
            np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5 * largest)
        else:
            np.testing.assert_array_equal(got, want)
