"""Whole programs through every lowering pass and the compiler; each stage means the same."""

from __future__ import annotations

import pytest

from passes.ir.loop.parse import parse_function
from tests.unit.codegen.programs import PROGRAMS
from tests.unit.codegen.running import check_lowering


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_stage_means_the_same(name: str) -> None:
    text, sizes = PROGRAMS[name]
    for dims in sizes:
        lowered = check_lowering(parse_function(text), dims)
        if "barrier" not in name and "around parallel" not in name:
            check_lowering(lowered, dims, teams=3)
