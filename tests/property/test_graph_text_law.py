"""parse(print(f)) is f, for random graphs."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from passes.ir.dtypes import F32
from passes.ir.expr import Dim, index
from passes.ir.graph.nodes import GraphFunction, Input, State, TensorType, Value, Weight
from passes.ir.graph.parse import parse_graph
from passes.ir.graph.text import print_graph
from passes.ir.graph.verify import verify
from passes.ops import OPERATORS, apply, results

N, M = Dim("n", 1, 512), Dim("m", 0, 1535)
TYPE = TensorType((N, index(32)), F32)


@st.composite
def graphs(draw: st.DrawFn) -> GraphFunction:
    names = st.text(min_size=1, max_size=5)
    params = [Input(name, TYPE) for name in ("a", "b")]
    pool: list[Value] = [*params, Weight(draw(names), TYPE), State(draw(names), TYPE)]
    states = [pool[-1]]
    for _ in range(draw(st.integers(0, 12))):
        x, y = draw(st.sampled_from(pool)), draw(st.sampled_from(pool))
        match draw(st.integers(0, 4)):
            case 0:
                pool.append(apply("add", x, y))
            case 1:
                split = apply("reshape", x, shape=(N, 4, 8))
                pool.append(apply("reshape", split, shape=(N, 32)))
            case 2:
                scale = draw(st.floats(allow_nan=False))
                pool.append(apply("full", value=scale, dtype=F32, shape=(N, 32)))
            case 3:
                _, scales, _ = results(apply("quantise_blocks", x))
                pool.append(apply("mul", x, scales))
            case 4:
                length = apply("full", value=N * 2 + M, dtype=F32, shape=(1,))
                pool.append(apply("mul", y, length))
    ends = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3))
    outs = tuple((f"r{i}", value) for i, value in enumerate(ends))
    updates = tuple((s.name, draw(st.sampled_from(pool))) for s in states)  # type: ignore
    return GraphFunction("f", (N, M), tuple(params), outs, updates, (N + M <= 1536,))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_text_comes_back(function: GraphFunction) -> None:
    verify(function, OPERATORS)
    assert parse_graph(print_graph(function)) is function
