"""Laws of the loop IR's text and canonical form, over random functions."""

from hypothesis import given, settings

from passes.ir.loop.canonical import canonical
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import Listing, print_function
from tests.property.loop_programs import loop_programs
from tests.property.spelled_functions import spelled_functions

QUICK = settings(max_examples=60, deadline=None)


@QUICK
@given(spelled_functions())
def test_text_reads_back_as_the_canonical_function(function):
    assert parse_function(print_function(function)) is canonical(function)


@QUICK
@given(spelled_functions())
def test_canonical_is_idempotent_and_keeps_the_text_of_ordinals_alone(function):
    once = canonical(function)
    assert canonical(once) is once
    assert print_function(once) == print_function(function)
    assert len(Listing(function).lines) == len(Listing(once).lines)


@QUICK
@given(loop_programs(grid=True))
def test_programs_read_back_and_run_alike(program):
    again = parse_function(print_function(program.function))
    assert again is canonical(program.function)
    for ours, theirs in zip(program.run(), program.run(again), strict=True):
        assert ours.tobytes() == theirs.tobytes()
