"""Laws of default schedules: every function has one, and means what it meant."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from passes.codegen.lower import lower
from passes.search.defaults import chunks, default_schedule
from passes.search.defaults.target import Target
from tests.property.loop_programs import LoopProgram, loop_programs
from tests.unit.codegen.running import assert_same, interpreted

V3 = Target(256, 16, 32768, 262144, ("avx2", "fma"))
V4 = Target(512, 32, 32768, 1 << 20, ("avx512f", "avx512bw", "avx2", "fma"))


@settings(max_examples=25, deadline=None)
@given(loop_programs())
def test_any_function_has_one(program: LoopProgram) -> None:
    _check(program)


@settings(max_examples=15, deadline=None)
@given(loop_programs())
def test_reductions_in_chunks(program: LoopProgram) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_CHUNK", 5)
        patch.setattr(chunks, "_LEAST", 1)
        _check(program)


def _check(program: LoopProgram) -> None:
    memory = [array.reshape(-1) for array in program.arrays]
    wanted = interpreted(program.function, program.dims, memory)
    for target in (V3, V4):
        scheduled = default_schedule(program.function, target).function
        again = program.run(scheduled, check_races=True)
        assert_same(wanted, [array.reshape(-1) for array in again], "scheduled")
        made = interpreted(lower(scheduled), program.dims, memory, threads=3)
        assert_same(wanted, made, "lowered")
