"""Arguments of the wrong kind or number: what each step says, and that nothing is noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from passes.ir.expr import index
from passes.ir.node import IRError
from passes.schedule.instruction import Instruction
from passes.schedule.replay import replay
from passes.schedule.schedule import Schedule
from passes.schedule.trace import Trace
from passes.schedule.tree import ScheduleError
from tests.unit.schedule.programs import matmul

Step = Callable[[Any, list[Any]], object]
SCOPES = "'global', 'local', 'register', 'shared', 'warp' or 'fragment' is needed"
AXES = "'block.x', 'block.y', 'block.z', 'thread.x', 'thread.y' or 'thread.z' is needed"
VALUES = "an integer, a string, a bool or a float is needed"
FACTORS = "a sequence of these: an integer, an expression or None"
CASES: dict[str, tuple[Step, str, str]] = {
    "split of a label": (lambda s, _: s.split("dot", 4),
        "split of argument 'loop'", "a loop is needed, not 'dot'"),
    "split by a fraction": (lambda s, at: s.split(at[0], 2.5), "split of argument 'factors'",
        f"an integer, an expression, None or {FACTORS} is needed, not 2.5"),
    "split by letters": (lambda s, at: s.split(at[0], "ab"), "split of argument 'factors'",
        f"an integer, an expression, None or {FACTORS} is needed, not 'ab'"),
    "blockize a label": (lambda s, _: s.blockize("dot"),
        "blockize of argument 'loop'", "a loop is needed, not 'dot'"),
    "decompose at a name": (lambda s, _: s.decompose_reduction("dot", "k"),
        "decompose_reduction of argument 'loop'", "a loop is needed, not 'k'"),
    "reorder labels": (lambda s, at: s.reorder(at[0], "dot"),
        "reorder of argument 'order'", "a loop is needed, not 'dot'"),
    "reorder nothing": (lambda s, _: s.reorder(), "reorder of loops", "no loop is named"),
    "fuse nothing": (lambda s, _: s.fuse(), "fuse of loops", "no loop is named"),
    "partition nothing": (lambda s, _: s.loop_partition([], index(1)),
        "loop_partition of loops", "no loop is named"),
    "partition a loop": (lambda s, at: s.loop_partition(at[0], 1),
        "loop_partition of argument 'loops'", "a sequence of these: a loop is needed, not i5"),
    "label as a loop": (lambda s, at: s.compute_at(at[0], at[0]),
        "compute_at of argument 'label'", "a string is needed, not i5"),
    "tensorize a number": (lambda s, _: s.tensorize(3, "dot_4"),
        "tensorize of argument 'target'", "a loop or a string is needed, not 3"),
    "scope of a copy": (lambda s, _: s.cache_read("dot", "x0", "zz"),
        "cache_read of argument 'scope'", f"{SCOPES}, not 'zz'"),
    "scope of partial sums": (lambda s, at: s.rfactor("dot", at[2], "zz"),
        "rfactor of argument 'scope'", f"{SCOPES}, not 'zz'"),
    "scope of a temporary": (lambda s, _: s.set_scope("t4", "texture"),
        "set_scope of argument 'scope'", f"{SCOPES}, not 'texture'"),
    "axis of threads": (lambda s, at: s.bind(at[0], "warp.x"),
        "bind of argument 'thread'", f"{AXES}, not 'warp.x'"),
    "access": (lambda s, _: s.reindex("dot", "x0", "rw"),
        "reindex of argument 'access'", "'read' or 'write' is needed, not 'rw'"),
    "location": (lambda s, _: s.place("dot", "there"),
        "place of argument 'location'", "a loop, 'inline' or 'root' is needed, not 'there'"),
    "axis": (lambda s, _: s.storage_align("t4", True, 8, 1),
        "storage_align of argument 'axis'", "an integer is needed, not True"),
    "padding": (lambda s, _: s.pad_einsum("dot", "abc"), "pad_einsum of argument 'padding'",
        "a sequence of these: an integer is needed, not 'abc'"),
    "padding by a fraction": (lambda s, _: s.pad_einsum("dot", [1, 0.5]),
        "pad_einsum of argument 'padding'",
        "a sequence of these: an integer is needed, not (1, 0.5)"),
    "padding by one": (lambda s, _: s.pad_einsum("dot", 4), "pad_einsum of argument 'padding'",
        "a sequence of these: an integer is needed, not 4"),
    "stages": (lambda s, at: s.software_pipeline(at[0], 0, [1]),
        "software_pipeline of argument 'stages'",
        "a sequence of these: an integer is needed, not 0"),
    "list as a note": (lambda s, _: s.annotate("dot", "a", [1]),
        "annotate of argument 'value'", f"{VALUES}, not (1,)"),
    "no note": (lambda s, _: s.annotate("dot", "a", None),
        "annotate of argument 'value'", f"{VALUES}, not None"),
    "bytes as a note": (lambda s, _: s.annotate("dot", "a", b"b"),
        "annotate of argument 'value'", f"{VALUES}, not b'b'"),
    "number of another package": (lambda s, _: s.annotate("dot", "a", np.int64(3)),
        "annotate of argument 'value'", f"{VALUES}, not a value of type int64"),
    "float of another package": (lambda s, _: s.annotate("dot", "a", np.float64(3)),
        "annotate of argument 'value'", f"{VALUES}, not a value of type float64"),
    "layout that is none": (lambda s, _: s.transform_layout("t4", [1, 0]),
        "transform_layout of argument 'layout'", "a function is needed, not (1, 0)"),
    "fill of a layout": (lambda s, _: s.transform_layout("t4", lambda i: i, "x"),
        "transform_layout of argument 'pad'",
        "a bool, an integer, a float or None is needed, not 'x'"),
    "layout of two": (lambda s, _: s.transform_layout("t4", lambda i, j: [j, i]),
        "transform_layout of buffer 't4'", "the layout, a function of the list of 2 indices,"
        " fails: TypeError: {}missing 1 required positional argument: 'j'"),
    "layout beyond": (lambda s, _: s.transform_layout("t4", lambda i: [i[5]]),
        "transform_layout of buffer 't4'", "the layout, a function of the list of 2 indices,"
        " fails: IndexError: tuple index out of range"),
    "layout of fractions": (lambda s, _: s.transform_layout("t4", lambda i: [i[0], 0.5]),
        "transform_layout of buffer 't4'", "the layout, a function of the list of 2 indices,"
        " fails: IRError: an index is an integer or an expression, not 0.5"),
    "block layout beyond": (lambda s, _: s.transform_block_layout("dot", lambda i: [i[5]]),
        "transform_block_layout of block 'dot'", "the layout, a function of the list of 3 indices,"
        " fails: IndexError: tuple index out of range"),
    "candidates": (lambda s, _: s.sample_categorical([1, 2.5]),
        "sample_categorical of argument 'candidates'",
        "a sequence of these: an integer is needed, not (1, 2.5)"),
    "factors of a label": (lambda s, _: s.sample_perfect_tile("dot", 2),
        "sample_perfect_tile of argument 'loop'", "a loop is needed, not 'dot'"),
    "parts": (lambda s, at: s.sample_partitioned_tile(at[0], 2.5, 1, 2),
        "sample_partitioned_tile of argument 'parts'", "an integer is needed, not 2.5"),
    "location of a loop": (lambda s, at: s.sample_compute_location(at[0]),
        "sample_compute_location of argument 'label'", "a string is needed, not i5"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_refusal(name: str) -> None:
    step, place, reason = CASES[name]
    s: Any = Schedule(matmul())
    with pytest.raises(ScheduleError) as error:
        step(s, s.loops("dot"))
    first = str(error.value).split("\n")[0].replace(_name_of_lambda(str(error.value)), "{}")
    assert first == f"{place} in 'matmul': {reason}"
    assert s.function is matmul()
    assert len(s.trace) == 0


def _name_of_lambda(text: str) -> str:
    """How Python calls a function without a name where it misses an argument."""
    _, called, rest = text.partition("TypeError: ")
    return rest.partition("missing")[0] if called else "{}"


def test_calls_with_too_few_arguments() -> None:
    with pytest.raises(ScheduleError) as error:
        replay(matmul(), Trace([Instruction("blockize", ())]))
    assert str(error.value) == (
        "replay of step 1, s.blockize(), in 'matmul': blockize of its arguments in 'matmul':"
        " missing a required argument: 'loop'"
    )


def test_an_index_is_an_integer() -> None:
    for value in (2.5, "2", None):
        given: Any = value
        with pytest.raises(IRError) as error:
            index(given)
        assert str(error.value) == f"an index is an integer or an expression, not {value!r}"
    small: Any = np.int16(7)
    assert index(small) is index(7)
