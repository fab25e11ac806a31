"""Graph functions → host programs: order, donation, copies, barriers; checked by interpreting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.codegen.host.barriers import insert_barriers, launches_of
from passes.codegen.host.kernels import Kernels
from passes.codegen.host.lower import HostProgram, lower_host
from passes.codegen.host.values import value_range
from passes.codegen.host.weights import state_layout, weight_layout
from passes.codegen.lower import lower
from passes.ir.dtypes import F32, I32, U8
from passes.ir.evaluate import evaluate
from passes.ir.expr import cast, index, minimum
from passes.ir.graph.nodes import CallLoops, GraphFunction, Input, State, Value, Weight
from passes.ir.graph.verify import values_of
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.interpret import interpret
from passes.ir.loop.nodes import Function
from passes.ir.node import IRError
from passes.ops import OPERATORS, apply
from tests.unit.codegen.host_graphs import (
    VOCABULARY,
    M,
    N,
    expected,
    kernels_of,
    parallel,
    small_model,
    tensor,
    weights,
)

VECTOR = tensor(F32, N)


def lowered(graph: GraphFunction) -> tuple[HostProgram, Function, Kernels]:
    kernels = Kernels()
    program = lower_host(kernels_of(graph), kernels, OPERATORS)
    return program, insert_barriers(program.function, kernels), kernels


def run(
    graph: GraphFunction,
    inputs: Mapping[str, Any],
    dims: Mapping[str, int],
    state: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The program with its lowered kernels, three threads, races looked for."""
    program, function, kernels = lowered(graph)
    kept = {name: np.array(state[name]) for name, _ in program.states}
    outputs = {
        name: np.full(_shape(b, dims), np.nan, b.dtype.numpy)
        for (name, _), b in zip(graph.results, program.outputs, strict=True)
    }
    arrays = [inputs[p.name] for p in graph.params] + [*outputs.values(), *kept.values()]
    arrays += [weights()[field.weight.name] for field in program.weights]
    flat = {name: lower(kernel) for name, kernel in kernels.items()}
    interpret(function, dims, arrays, flat, threads=3, check_races=True)
    return outputs, kept


def _shape(buffer: Any, dims: Mapping[str, int]) -> tuple[int, ...]:
    where = {dim: dims[dim.name] for dim in (N, M) if dim.name in dims}
    return tuple(int(evaluate(extent, where, {})) for extent in buffer.shape)


def check(graph: GraphFunction, copies: int | None, **state: Any) -> HostProgram:
    """Interprets graph and program on random input; both must agree on results and states."""
    rng = np.random.default_rng(0)
    dims = {"n": 5, "m": 3} if M in graph.dims else {"n": 5}
    inputs = {
        p.name: rng.integers(0, VOCABULARY, (1, 5)).astype(np.int32)
        if p.type.dtype == I32
        else rng.standard_normal(_shape(p.type, dims)).astype(np.float32)
        for p in graph.params
    }
    wanted, wanted_state = expected(graph, inputs, dims, state)
    found, found_state = run(graph, inputs, dims, state)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5)
    for name, array in {**state, **wanted_state}.items():
        np.testing.assert_allclose(found_state[name], array, rtol=1e-5)
    program = lowered(graph)[0]
    assert copies is None or len(program.copies) == copies, program.copies
    return program


def twice(value: Value) -> Value:
    return apply("add", value, value)


def graph_of(
    results: Mapping[str, Value], updates: Mapping[str, Value], *params: Input
) -> GraphFunction:
    return GraphFunction("g", (N,), params, tuple(results.items()), tuple(updates.items()))


def test_small_model_needs_no_copy() -> None:
    program = check(small_model(), 0, keys=np.zeros((1, 16, 2, 4), np.float32))
    assert [b.name for b in program.function.params] == ["tokens", "out", "keys", "table",
                                                         "mix_weight"]  # fmt: skip
    assert dict(program.function.attrs) == {"kind": "host"}


def test_reader_of_old_state_after_its_writer_costs_copies() -> None:
    x = Input("x", VECTOR)
    cache = State("cache", tensor(F32, 1, 8, 1, 1))
    past = apply("full", value=0, dtype=I32, shape=(index(1),))
    one = apply("full", value=1.5, dtype=F32, shape=(index(1), index(1), index(1), index(1)))
    longer = apply("cache_append", cache, one, past)
    old = np.arange(8, dtype=np.float32).reshape(1, 8, 1, 1)
    before = apply("reduce_sum", cache, axis=1)
    check(graph_of({"y": twice(before), "x": twice(x)}, {"cache": longer}, x), 0, cache=old)
    # The sum of the old content and something of the new: the reader cannot come first, so
    # the new content is made elsewhere, from a copy, and copied back.
    both = apply("add", cache, longer)
    check(graph_of({"y": both, "x": twice(x)}, {"cache": longer}, x), 2, cache=old)
    # A view is a reader of the same memory.
    view = apply("reshape", cache, shape=(index(8),))
    both = apply("add", view, apply("reshape", longer, shape=(index(8),)))
    check(graph_of({"y": both, "x": twice(x)}, {"cache": longer}, x), 2, cache=old)


def test_state_that_is_not_updated_keeps_its_content() -> None:
    x = Input("x", VECTOR)
    cache = State("cache", tensor(F32, 1, 8, 1, 1))
    past = apply("full", value=0, dtype=I32, shape=(index(1),))
    one = apply("full", value=1.5, dtype=F32, shape=(index(1), index(1), index(1), index(1)))
    longer = apply("cache_append", cache, one, past)
    check(graph_of({"y": longer, "x": twice(x)}, {}, x), 1, cache=np.ones((1, 8, 1, 1), np.float32))


def test_results_that_are_not_computed_are_copied() -> None:
    x = Input("x", VECTOR)
    y = twice(x)
    check(graph_of({"same": x, "y": y, "again": y}, {}, x), 2)
    check(graph_of({"w": Weight("table", weights_type()), "y": y}, {}, x), 1)


def test_what_the_caller_reads_is_not_where_another_result_goes() -> None:
    x = Input("x", tensor(F32, 1, 8, 1, 1))
    past = apply("full", value=2, dtype=I32, shape=(index(1),))
    one = apply("full", value=9.0, dtype=F32, shape=(index(1),) * 4)
    b, fresh = State("b", x.type), apply("neg", x)
    results = {"z": apply("cache_append", fresh, one, past)}
    updates = {"a": apply("cache_append", b, one, past), "b": fresh}
    content = {name: np.full((1, 8, 1, 1), ord(name), np.float32) for name in "ab"}
    check(graph_of(results, updates, x), 3, **content)


def weights_type() -> Any:
    return tensor(F32, VOCABULARY, 8)


def test_states_may_exchange_their_contents() -> None:
    x = Input("x", VECTOR)
    a, b = State("a", tensor(F32, 4)), State("b", tensor(F32, 4))
    content = {"a": np.arange(4, dtype=np.float32), "b": np.full(4, 7, np.float32)}
    check(graph_of({"y": twice(x)}, {"a": b, "b": a}, x), 3, **content)
    check(graph_of({"y": twice(x)}, {"a": b, "b": twice(b)}, x), 2, **content)
    check(graph_of({"y": twice(x)}, {"a": twice(b)}, x), 0, **content)


def test_two_entries_of_one_name_get_two_kernels() -> None:
    kernels = Kernels()
    first, second = parallel(simple(1.0)), parallel(simple(2.0))
    assert [kernels.add(first), kernels.add(second), kernels.add(first)] == ["k", "k_1", "k"]
    assert kernels["k_1"].name == "k_1"


def simple(value: float) -> Function:
    b = LoopBuilder("k", dims=(N,))
    b.map(b.param("y", (N,), F32), lambda i: value)
    return b.function()


def test_workspaces_become_temporaries() -> None:
    b = LoopBuilder("k", dims=(N,))
    x, y = b.param("x", (N,), F32), b.param("y", (N,), F32)
    shared = b.local("shared", (N,), F32)
    b.map(shared, lambda i: load(x, i) + 1.0)
    b.map(y, lambda i: load(shared, i) + 1.0)
    given = Input("x", VECTOR)
    call = CallLoops(parallel(b.function()), (given,), (VECTOR,))
    _, function, kernels = lowered(graph_of({"y": call}, {}, given))
    assert [buffer.name for buffer in function.allocs] == ["shared"]
    assert [len(kernel.params) for kernel in kernels.values()] == [3]


def test_launches_that_do_not_need_each_other_share_a_phase() -> None:
    x = Input("x", VECTOR)
    left, right = apply("neg", x), apply("sqrt", x)
    graph = graph_of({"y": apply("add", apply("neg", left), apply("neg", right))}, {}, x)
    _, function, _ = lowered(graph)
    assert [len(phase) for phase in launches_of(function)] == [2, 2, 1]


def test_an_operator_without_kernel_is_refused() -> None:
    x = Input("x", VECTOR)
    graph = graph_of({"y": twice(x)}, {}, x)
    with pytest.raises(IRError) as caught:
        lower_host(graph, Kernels(), OPERATORS)
    assert str(caught.value) == (
        "graph 'g' still has operator 'add', which no kernel computes; "
        "the fuse stage must put it into a loop function"
    )


def test_layouts_are_aligned_and_agree() -> None:
    programs = [lowered(small_model())[0], lowered(small_model("decode", 1))[0]]
    layout = weight_layout(programs)
    assert layout.offsets == {"table": 0, "mix.weight": 1280}
    assert layout.size == 1280 + 256
    assert state_layout(programs).sizes == {"keys": 512}
    other = graph_of({"y": twice(Weight("table", VECTOR))}, {})
    with pytest.raises(IRError, match="weight 'table' has different types in two entry points"):
        weight_layout([programs[0], lowered(other)[0]])
    with pytest.raises(IRError, match="weight 'table' needs a constant shape"):
        weight_layout([lowered(other)[0]])


@pytest.mark.parametrize(
    ("position", "wanted"),
    [
        (lambda t: t, (0, 39)),
        (lambda t: t // 4, (0, 159)),
        (lambda t: t + 3, (0, 36)),
        (lambda t: minimum(t, index(39)), (0, 39)),
    ],
)
def test_values_of_integer_inputs(position: Any, wanted: tuple[int, int]) -> None:
    b = LoopBuilder("k", dims=(N,))
    ids, table = b.param("ids", (N,), I32), b.param("table", (40,), F32)
    y = b.param("y", (N,), F32)
    b.map(y, lambda i: load(table, position(cast(load(ids, i), index(0).dtype))))
    x = Input("ids", tensor(I32, N))
    call = CallLoops(b.function(), (x, Weight("table", tensor(F32, 40))), (VECTOR,))
    program, function, kernels = lowered(graph_of({"y": call}, {}, x))
    assert value_range(function, kernels, program.inputs[0]) == wanted


def test_values_are_followed_through_copies() -> None:
    ids, table = Input("ids", tensor(I32, N)), Weight("table", tensor(F32, 40, 8))
    moved = apply("concat", apply("reshape", ids, shape=(N, index(1))), axis=0)
    graph = graph_of({"y": apply("gather", table, moved)}, {}, ids)
    program, function, kernels = lowered(graph)
    assert len(kernels) == 2
    assert value_range(function, kernels, program.inputs[0]) == (0, 39)


def test_an_input_that_indexes_nothing_may_hold_anything() -> None:
    x = Input("x", tensor(U8, N))
    program, function, kernels = lowered(graph_of({"y": apply("cast", x, dtype=F32)}, {}, x))
    assert value_range(function, kernels, program.inputs[0]) == (0, 255)


SHAPE = (1, 8, 1, 1)
FLAT = (index(8),)


@st.composite
def graphs(draw: st.DrawFn) -> GraphFunction:
    """Caches that are read, viewed, overwritten, given away and exchanged in any order."""
    whole = tuple([index(extent) for extent in SHAPE])
    x = Input("x", tensor(F32, *SHAPE))
    past = apply("full", value=2, dtype=I32, shape=(index(1),))
    new = apply("full", value=9.0, dtype=F32, shape=(index(1),) * 4)
    values: list[Value] = [x, State("a", x.type), State("b", x.type)]
    for _ in range(draw(st.integers(1, 7))):
        value = draw(st.sampled_from(values))
        kind = draw(st.sampled_from(("append", "append", "add", "neg", "view")))
        if kind == "append":
            values.append(apply("cache_append", value, new, past))
        elif kind == "add":
            values.append(apply("add", value, draw(st.sampled_from(values))))
        elif kind == "neg":
            values.append(apply("neg", value))
        else:
            flat = apply("reshape", value, shape=FLAT)
            values.append(apply("reshape", apply("neg", flat), shape=whole))
    results = {"y": draw(st.sampled_from(values)), "z": draw(st.sampled_from(values))}
    updates = {name: draw(st.sampled_from(values)) for name in draw(st.sets(st.sampled_from("ab")))}
    return graph_of(results, dict(sorted(updates.items())), x)


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_any_graph_means_the_same_as_a_program(graph: GraphFunction) -> None:
    used = {value.name for value in values_of(graph) if isinstance(value, State)}
    used |= {name for name, _ in graph.updates}
    state = {
        name: np.arange(8, dtype=np.float32).reshape(SHAPE) + 10 * number
        for number, name in enumerate(sorted(used))
    }
    check(graph, None, **state)
