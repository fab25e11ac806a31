"""Software pipelines carried out: the statements that come of them, and that they compute the same,
interpreted, lowered and compiled; so too what else the placement primitives leave."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from passes.codegen.lower.pipeline import pipeline
from passes.ir.loop.nodes import AsyncGroup, AsyncWait, For, Function
from passes.ir.loop.text import print_function
from passes.ir.node import IRError
from passes.schedule.pipelining import notes
from passes.schedule.tree import get_loop, replace, statements
from tests.unit.codegen.running import check_lowering
from tests.unit.schedule.programs import assert_same_meaning, matmul, window
from tests.unit.schedule.steps import Steps, program

STREAM = program("""
t = alloc(f32[8])
u = alloc(f32[8])
for i in range(n):
    for j in range(8):
        with block("load"):
            v = ordered(n, i)
            w = spatial(8, j)
            t[w] = a[v, w]
    for j in range(8):
        with block("work"):
            v = ordered(n, i)
            w = spatial(8, j)
            u[w] = t[w]*f32(2.0)
    for j in range(8):
        with block("use"):
            v = spatial(n, i)
            w = reduce(8, j)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + u[w]
""")
CARRIED = program("""
for i in range(n):
    with block("load"):
        v = spatial(n, i)
        x[v] = x[v]*f32(2.0)
    with block("use"):
        v = spatial(n, i)
        y[v] = x[v] + x[max(v - 1, 0)]
""")
NESTED = program("""
t = alloc(f32[8])
s = alloc(f32[1])
for i in range(n):
    for j in range(8):
        with block("load"):
            v = ordered(n, i)
            w = spatial(8, j)
            t[w] = a[v, w]
    for k in range(8):
        with block("pick"):
            v = ordered(n, i)
            w = ordered(8, k)
            s[0] = t[w]
        with block("use"):
            v = spatial(n, i)
            w = reduce(8, k)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + s[0]
""")


def piped(function: Function, *asked: tuple[int, ...]) -> Function:
    t = Steps(function)
    t.s.software_pipeline(t.i, *asked)
    assert_same_meaning(function, t.s.function, (1, 5))
    return t.s.function


def test_two_stages_as_text() -> None:
    wanted = program("""
t = alloc(f32[8])
u = alloc(f32[2, 8])
for j in range(8):
    with block("load_before0"):
        v = ordered(n, 0)
        w = spatial(8, j)
        t[w] = a[v, w]
for j in range(8):
    with block("work_before0"):
        v = ordered(n, 0)
        w = spatial(8, j)
        version = ordered(2, 0)
        u[version, w] = t[w]*f32(2.0)
for i in range(n - 1):
    for j in range(8):
        with block("load"):
            v = ordered(n, i + 1)
            w = spatial(8, j)
            t[w] = a[v, w]
    for j in range(8):
        with block("work"):
            v = ordered(n, i + 1)
            w = spatial(8, j)
            version = ordered(2, (i + 1)%2)
            u[version, w] = t[w]*f32(2.0)
    for j in range(8):
        with block("use"):
            v = spatial(n, i)
            w = reduce(8, j)
            version = ordered(2, i%2)
            with init():
                y[v] = f32(0.0)
            y[v] = y[v] + u[version, w]
for j in range(8):
    with block("use_after0"):
        v = spatial(n, n - 1)
        w = reduce(8, j)
        version = ordered(2, (n - 1)%2)
        with init():
            y[v] = f32(0.0)
        y[v] = y[v] + u[version, w]
""")
    made = pipeline(piped(STREAM, (0, 0, 1), (0, 1, 2)))
    assert print_function(made) == print_function(wanted)


PIPELINES: dict[str, tuple[Function, tuple[tuple[int, ...], ...], dict[str, str]]] = {
    "in one stage": (STREAM, ((0, 0, 0), (0, 1, 2)), {"t": "f32[8]", "u": "f32[8]"}),
    "two": (STREAM, ((0, 0, 1), (0, 1, 2)), {"t": "f32[8]", "u": "f32[2, 8]"}),
    "three": (STREAM, ((0, 1, 2), (0, 1, 2)), {"t": "f32[2, 8]", "u": "f32[2, 8]"}),
    "backwards": (STREAM, ((0, 1, 2), (2, 1, 0)), {"t": "f32[8]", "u": "f32[8]"}),
    "far apart": (STREAM, ((0, 3, 3), (0, 1, 2)), {"t": "f32[4, 8]", "u": "f32[8]"}),
    "copies": (STREAM, ((0, 1, 1), (0, 1, 2), (0,)), {"t": "f32[2, 8]", "u": "f32[8]"}),
    "far copies": (STREAM, ((0, 2, 3), (0, 1, 2), (0,)), {"t": "f32[3, 8]", "u": "f32[2, 8]"}),
    "late copies": (STREAM, ((0, 2, 3), (2, 0, 1), (0,)), {"t": "f32[2, 8]", "u": "f32[2, 8]"}),
    "parameters": (CARRIED, ((0, 1), (0, 1)), {}),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines(name: str) -> None:
    function, asked, shapes = PIPELINES[name]
    made = pipeline(piped(function, *asked))
    assert_same_meaning(function, made, (1, 2, 3, 4, 5, 9))
    text = print_function(made)
    for buffer in made.allocs:
        assert f"{buffer.name}{buffer.ordinal} = alloc({shapes[buffer.name]})" in text


def test_copies_are_waited_for_as_late_as_can_be() -> None:
    made = pipeline(piped(STREAM, (0, 2, 3), (0, 1, 2), (0,)))
    steady = next(s for s in statements(made.body) if isinstance(s, For) and s.var.name == "i")
    inside = statements(steady)
    groups = [s for s in inside if isinstance(s, AsyncGroup)]
    waits = [s for s in inside if isinstance(s, AsyncWait)]
    assert [(s.queue, [b.name for b in s.buffers]) for s in waits] == [("stage_0", ["t"])]
    assert [s.queue for s in groups] == ["stage_0"]
    assert 'async_wait("stage_0", 2, ' in print_function(made)


@pytest.mark.parametrize("asked", [((0, 1, 2), (0, 1, 2)), ((0, 1, 1), (0, 1, 2), (0,))])
def test_compiled_pipelines(asked: tuple[tuple[int, ...], ...]) -> None:
    function = piped(STREAM, *asked)
    for n in (1, 2, 7):
        check_lowering(function, {"n": n})


def test_pipelines_inside_each_other() -> None:
    t = Steps(NESTED)
    t.s.software_pipeline(t.i, (0, 1), (0, 1), (0,))
    t.s.software_pipeline(t.k, (0, 1), (0, 1))
    made = pipeline(t.s.function)
    assert_same_meaning(NESTED, made, (1, 2, 5))
    shapes = [print_function(made).count(text) for text in ("f32[2, 8]", "f32[2, 1]")]
    assert shapes == [1, 1]
    check_lowering(t.s.function, {"n": 3})


EACH = """
t = alloc(f32[8], scope="local")
for z in range(m):
    for i in range(n):
        for j in range(8):
            with block("load"):
                v = ordered(n, i)
                w = spatial(8, j)
                t[w] = a[v, w]
        for j in range(8):
            with block("use"):
                p = spatial(m, z)
                v = spatial(n, i)
                w = reduce(8, j)
                with init():
                    y[v, p] = f32(0.0)
                y[v, p] = y[v, p] + t[w]*x[p]
"""
HEAD = "x: f32[m], y: f32[n, m], a: f32[n, 8], *, n: dim[1, 64], m: dim[1, 9]"


@pytest.mark.parametrize("first", ["parallel", "pipeline"])
def test_iterations_of_a_parallel_loop_copy_for_themselves(first: str) -> None:
    function = program(EACH, HEAD)
    t = Steps(function)
    if first == "parallel":
        t.s.parallel(t.z)
    t.s.software_pipeline(t.i, (0, 1), (0, 1), (0,))
    if first == "pipeline":
        t.s.parallel(t.z)
    made = pipeline(t.s.function)
    text = print_function(made)
    assert text.count('with async_group("stage_0"):') == 2
    assert 'async_wait("stage_0", 1, [t3])' in text
    assert 't3 = alloc(f32[2, 8], scope="local")' in text
    for sizes in ({"n": 1, "m": 3}, {"n": 2, "m": 1}, {"n": 7, "m": 4}):
        check_lowering(t.s.function, sizes)
    assert_same_meaning(function, made, (1, 2, 5))


def test_registers_in_an_unrolled_pipeline() -> None:
    t = Steps(STREAM)
    t.s.compute_inline("work")
    _, inner = t.s.split(t.i, 4)
    t.s.set_scope("t", "register")
    for label in ("load", "use"):
        t.s.vectorize(t.s.loops(label)[-1])
    t.s.unroll(inner)
    t.s.software_pipeline(inner, (0, 1), (0, 1))
    made = pipeline(t.s.function)
    assert 'alloc(f32[2, 8], scope="register")' in print_function(made)
    assert_same_meaning(STREAM, made, (1, 2, 5, 9))
    for n in (1, 4, 7):
        check_lowering(t.s.function, {"n": n})


def test_the_innermost_part_of_a_split_pipeline_is_one() -> None:
    t = Steps(STREAM)
    t.s.software_pipeline(t.i, (0, 1, 2), (0, 1, 2))
    t.s.annotate(t.i, "often", True)
    outer, inner = t.s.split(t.i, 4)
    loops = {x.var: dict(x.annotations) for x in statements(t.s.function) if isinstance(x, For)}
    assert loops[outer] == {"often": True}
    assert loops[inner]["pipeline_stages"] == "0 1 2"
    assert_same_meaning(STREAM, pipeline(t.s.function), (1, 2, 5, 9))
    for n in (1, 4, 7):
        check_lowering(t.s.function, {"n": n})


def test_a_loop_around_a_pipeline_may_become_part_of_it() -> None:
    t = Steps(STREAM)
    outer, inner = t.s.split(t.i, 4, predicate=True)
    t.s.annotate(outer, "often", True)
    t.s.software_pipeline(inner, (0, 1, 2), (0, 1, 2))
    whole = t.s.fuse(outer, inner)
    (notes,) = [dict(x.annotations) for x in statements(t.s.function)
                if isinstance(x, For) and x.var is whole]  # fmt: skip
    assert notes["often"] is True
    assert notes["pipeline_stages"] == "0 1 2"
    assert_same_meaning(STREAM, pipeline(t.s.function), (1, 2, 5, 9))


def test_a_pipeline_that_a_later_step_broke() -> None:
    t = Steps(STREAM)
    t.s.compute_inline("work")
    loop = get_loop(t.s.function, t.i, "test")
    noted = loop.replace(annotations=notes((0, 0, 1), (0, 1, 2), ()))
    with pytest.raises(IRError) as error:
        pipeline(replace(t.s.function, loop, noted))
    assert str(error.value) == (
        "kernel 'f': the pipeline of loop i5 cannot be carried out: its body has 2 statements,"
        " each with one stage and place in the order"
    )


def _rolled(t: Steps) -> None:
    outer, inner = t.s.split(t.s.loops("conv")[0], 4)
    t.s.compute_at("pad", inner)
    t.s.reverse_compute_at("relu", inner)
    t.s.rolling_buffer("pad", 0)
    for name in ("p", "c"):
        t.s.set_scope(name, "local")
    t.s.parallel(outer)


def _padded(t: Steps) -> None:
    t.s.pad_einsum("dot", [4, 16, 8])
    rows = t.s.loops("dot")
    outer, _ = t.s.split(rows[0], 4)
    t.s.reverse_compute_inline("out")
    t.s.parallel(outer)


def _filled(t: Steps) -> None:
    outer, inner = t.s.split(t.s.loops("pad")[0], 4)
    t.s.decompose_padding("pad", inner)
    t.s.parallel(outer)
    t.s.fuse_reduction_epilogue("conv", "relu")


PLACED: dict[str, tuple[Function, Callable[[Steps], None]]] = {
    "rolled": (window(), _rolled),
    "padded": (matmul(), _padded),
    "filled": (window(), _filled),
}


@pytest.mark.parametrize("name", PLACED)
def test_compiled_placements(name: str) -> None:
    function, step = PLACED[name]
    t = Steps(function)
    step(t)
    assert_same_meaning(function, t.s.function, (1, 5, 8))
    for n in (1, 6):
        check_lowering(t.s.function, {"n": n})
