"""Blocks computed by instructions that were found for them, as native code."""

from __future__ import annotations

import pytest

from passes.codegen.lower import lower
from passes.schedule.schedule import Schedule
from passes.schedule.tensorization.apply import apply
from passes.schedule.tensorization.candidates import candidates
from tests.unit.codegen.instructions import host_has
from tests.unit.codegen.running import assert_same, compiled, interpreted, random_arrays
from tests.unit.schedule.tensor_cases import SYMBOLIC, WORKLOADS


@pytest.mark.parametrize("name", [*WORKLOADS, *SYMBOLIC])
def test_native_is_interpreted(name: str) -> None:
    case = WORKLOADS[name] if name in WORKLOADS else SYMBOLIC[name]
    if not host_has(case.intrinsic):
        pytest.skip("this CPU lacks the instruction")
    dims = {dim.name: 5 for dim in case.function.dims}
    memory = random_arrays(case.function, dims)
    wanted = interpreted(case.function, dims, memory)
    s = Schedule(case.function)
    apply(s, "sum", candidates(case.function, "sum", case.intrinsic, case.sizes)[0])
    assert_same(wanted, compiled(lower(s.function), dims, memory), name)
