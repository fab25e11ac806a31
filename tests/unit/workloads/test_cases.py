"""Shipped workloads, and what becomes of a case: graph, values, reference, work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passes.importers.workload import graph_of, random_fields, run
from passes.ir.dtypes import BF16
from passes.ir.graph.text import print_graph
from passes.ir.module import Module
from passes.ir.weights import Weights
from passes.ops import OPERATORS
from pipeline.workloads.json_schema import FILE, schema_text
from pipeline.workloads.load import WORKLOADS, load_workload, workload_names
from pipeline.workloads.reference import expected, inputs_of, max_error, tolerance
from pipeline.workloads.schema import Case
from pipeline.workloads.work import Work, work_of

ROOT = Path(__file__).resolve().parents[3]


def case(**facts: Any) -> dict[str, Any]:
    return Case.model_validate({"name": "one", **facts}).data()


PRODUCT = {
    "operator": "contract",
    "attributes": {"equation": "mk,kn->mn"},
    "inputs": {"a": "f32[rows, 8]", "b": "f32[8, 4]", "bias": "f32[4]"},
    "constant": ["b"],
    "epilogue": [{"operator": "add", "with": ["bias"]}, {"operator": "relu"}],
    "dims": {"rows": {"min": 1, "max": 64}},
    "sizes": [{"rows": 3}],
}


def test_shipped_workloads() -> None:
    assert workload_names(ROOT) == ["conv", "gemm", "llm", "metaschedule"]
    names = {}
    for name in workload_names(ROOT):
        loaded = load_workload(ROOT / WORKLOADS / f"{name}.yaml", ROOT)
        names[name] = [case.name for case in loaded.cases]
    assert set(names["metaschedule"]) == {
        "C1D", "C2D", "C3D", "CAP", "DEP", "DIL", "GMM", "GRP", "T2D", "CBR", "TBG", "NRM", "SFM",
    }  # fmt: skip


def test_the_json_schema_is_fresh() -> None:
    assert (ROOT / "configs" / FILE).read_text() == schema_text(), (
        "configs/workload.schema.json is stale: run python -m pipeline.workloads.json_schema"
    )


def test_the_graph_of_a_case() -> None:
    assert (
        print_graph(graph_of(case(**PRODUCT)))
        == """\
def one(a: f32[rows, 8], bias: f32[4], *, rows: dim[1, 64]):
    v0: f32[8, 4] = weight("b")
    v1: f32[rows, 4] = contract(a, v0, equation="mk,kn->mn")
    v2: f32[rows, 4] = add(v1, bias)
    v3: f32[rows, 4] = relu(v2)
    return {"out": v3}
"""
    )


def test_attributes_may_speak_of_dims_and_types() -> None:
    made = case(
        operator="reshape",
        attributes={"shape": ["rows * 2", 3]},
        inputs={"x": "f32[rows, 6]"},
        epilogue=[{"operator": "cast", "attributes": {"dtype": "f16"}}],
        dims={"rows": {"min": 1, "max": 4}},
        sizes=[{"rows": 1}],
    )
    assert "f16[rows*2, 3] = cast(v0, dtype=f16)" in print_graph(graph_of(made))


def test_a_call_of_several_results() -> None:
    made = case(operator="quantise_blocks", inputs={"x": "f32[4, 64]"})
    assert [name for name, _ in graph_of(made).results] == ["out0", "out1", "out2"]


def test_values_are_the_same_everywhere() -> None:
    made = case(
        operator="gather",
        inputs={"table": "Q4_1[64, 32]", "ids": "i32[5]", "free": "i32[5]", "bytes": "i8[999]"},
        constant=["table"],
        values={"ids": [7, 9]},
        of=["table", "ids"],
    )
    (ids,), (free,), (small,) = (random_fields(made, n, {}) for n in ("ids", "free", "bytes"))
    assert set(ids) <= {7, 8, 9} and 0 <= free.min() <= free.max() <= 99
    assert small.min() < -100 and small.max() > 100
    told = case(operator="select", inputs={"m": "bool[99]", "x": "f32[99]", "y": "f32[99]"})
    (mask,) = random_fields(told, "m", {})
    assert mask.dtype == np.bool_ and 0 < mask.sum() < 99
    (a,) = random_fields(case(**PRODUCT), "a", {"rows": 2})
    assert a.shape == (2, 8) and a.dtype == np.float32 and abs(a).max() <= 1
    assert [int(value) for value in a[0, :3] * 2**23] == [7415995, 8244978, -5675021]


def test_the_stage_writes_a_module(tmp_path: Path) -> None:
    made = case(**PRODUCT)
    run(
        inputs={}, sources={}, options={"case": made}, target={}, out=tmp_path,
        progress=lambda done, text: None,
    )  # fmt: skip
    module = Module.load(tmp_path)
    module.verify(OPERATORS)
    assert module.meta["tokenizer"] is None and module.meta["model"]["name"] == "one"
    stored = Weights(tmp_path).operand(module.weights["b"])
    np.testing.assert_array_equal(stored, random_fields(made, "b", {})[0])


def test_the_reference_is_in_double_precision() -> None:
    made, sizes = case(**PRODUCT), {"rows": 3}
    given = inputs_of(made, sizes)
    wide = {name: array.astype(np.float64) for name, array in given.items()}
    want = np.maximum(wide["a"] @ wide["b"] + wide["bias"], 0)
    (got,) = expected(made, sizes).values()
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, want, rtol=1e-15)
    assert tolerance(made, got, "f32") == 1e-4
    assert max_error(got.astype(np.float32), got) < 1e-6
    assert max_error(got + 0.5 * got.max(), got) == pytest.approx(0.5)
    assert max_error(got * np.nan, got) == max_error(got[:1], got) == np.inf


def test_integers_have_no_tolerance() -> None:
    made = case(
        operator="contract",
        attributes={"equation": "mk,nk->mn"},
        inputs={"a": "u8[3, 8]", "b": "i8[2, 8]"},
    )
    (got,) = expected(made, {}).values()
    assert got.dtype == np.int32 and tolerance(made, got, "i32") == 0


def test_a_result_is_as_precise_as_its_type() -> None:
    made, rng = case(**PRODUCT), np.random.default_rng(0)
    wanted = rng.uniform(-1, 1, (64, 64))
    for given, numpy in (("bf16", BF16.numpy), ("f16", np.dtype(np.float16))):
        allowed = tolerance(made, wanted, given)
        assert 1e-4 < max_error(wanted.astype(numpy), wanted) < allowed
        assert max_error(wanted.astype(numpy) * 1.01, wanted) > allowed
    # Where the case itself rounds to a type, what is compared with is rounded too.
    rounds = case(
        operator="cast",
        attributes={"dtype": "bf16"},
        inputs={"x": "f32[4, 8]"},
        epilogue=[{"operator": "cast", "attributes": {"dtype": "f32"}}],
    )
    (got,) = expected(rounds, {}).values()
    assert tolerance(rounds, got, "f32") == 1e-4 + 2 * 2.0**-8


def test_codes_that_floats_are_rounded_to_differ_by_one() -> None:
    made = case(operator="quantise_blocks", inputs={"x": "f32[4, 64]"})
    codes, scale, _ = expected(made, {}).values()
    assert codes.dtype == np.int8 and tolerance(made, codes, "i8") == 1 / 127
    assert tolerance(made, scale, "f32") == 3e-2  # what codes a unit apart stand for
    looked_up = case(operator="argmax", attributes={"axis": 1}, inputs={"x": "f32[4, 64]"})
    (place,) = expected(looked_up, {}).values()
    assert tolerance(looked_up, place, "i32") == 0


def work(**facts: Any) -> Work:
    made = case(**facts)
    size = facts.get("sizes", [{}])[0]
    return work_of(made, size, inputs_of(made, size))


def test_work_is_the_arithmetic_of_the_loops() -> None:
    product, rest = 2 * 3 * 8 * 4, 2 * 3 * 4
    moved = 4 * (3 * 8 + 8 * 4 + 4 + 3 * 4)
    assert work(**PRODUCT) == Work(product + rest, moved, "f32")
    conv = work(
        operator="conv",
        attributes={"padding": [1, 1]},
        inputs={"x": "i8[1, 5, 5, 4]", "w": "i8[3, 3, 4, 2]"},
    )
    assert conv == Work(2 * 25 * 2 * 9 * 4, 5 * 5 * 4 + 3 * 3 * 4 * 2 + 25 * 2 * 4, "int8")


def test_work_counts_no_decoding_and_what_is_looked_up() -> None:
    facts = {"operator": "matmul", "inputs": {"x": "f32[2, 64]", "w": "Q4_1[32, 64]"}}
    packed = 32 * 2 * (2 + 2 + 16)
    made = work(constant=["w"], compute="int8", **facts)
    assert made == Work(2 * 2 * 32 * 64, 4 * 2 * 64 + packed + 4 * 2 * 32, "int8")
    rows = work(operator="gather", inputs={"t": "f32[1000, 64]", "ids": "i32[3]"})
    assert rows == Work(0, 3 * 64 * 4 + 3 * 4 + 3 * 64 * 4, "f32")


def test_extents_may_depend_on_what_inputs_hold() -> None:
    facts = {
        "operator": "attention",
        "attributes": {"scale": 0.5},
        "inputs": {
            "q": "f32[1, 2, 2, 4]", "k": "f32[1, 64, 1, 4]", "v": "f32[1, 64, 1, 4]",
            "past": "i32[1]",
        },
    }  # fmt: skip
    few, many = (work(values={"past": [past, past]}, **facts) for past in (0, 62))
    assert few.operations < many.operations < 2.2 * few.operations
