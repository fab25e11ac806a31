"""Rules of design spaces: whatever is decided, the program means the same and can be replayed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from passes.codegen.lower import lower
from passes.ir.dtypes import BF16, F32, I8, U8
from passes.ir.expr import Call, Const, Dim, IntLike, cast, index
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import For, Function
from passes.ir.loop.text import print_function
from passes.ir.node import postorder
from passes.ops import OPERATORS
from passes.ops.define import define
from passes.plugins import PluginError, names
from passes.schedule.replay import replay
from passes.schedule.sampling import Decide, seeded, suggested
from passes.schedule.schedule import Schedule
from passes.schedule.trace import Trace
from passes.schedule.tree import ScheduleError
from passes.search.defaults.shape import blocks
from passes.search.space.decisions import Opening, decisions_of
from passes.search.space.postprocess import postprocessed
from passes.search.space.rule import Context, Rule, composed
from passes.search.space.rules import rules_for
from passes.search.space.rules.attempts import refusals
from passes.search.space.rules.cross_thread_reduction import CrossThreadReduction
from passes.search.space.rules.custom_rule import CustomRule
from tests.property.operator_cases import CASES
from tests.unit.codegen.running import check_lowering, interpreted, random_arrays
from tests.unit.search.test_contraction import AVX512, VNNI, gated, product

N, M, K = Dim("n", 1, 700), Dim("m", 1, 300), Dim("k", 1, 90)
CONTEXT = Context(AVX512, threads=2)


def made(
    function: Function, decide: Decide, context: Context = CONTEXT, off: Collection[str] = ()
) -> Schedule:
    return composed(Schedule(function, decide), rules_for(context.target, off), context)


def deciding(seed: int) -> Decide:
    """The suggested decisions, then drawn ones."""
    return suggested if seed == 0 else seeded(seed)


def check(
    function: Function, dims: Mapping[str, int], seeds: Sequence[int], context: Context = CONTEXT
) -> None:
    """What the space makes with these seeds computes the same, lowered too, and so do replays."""
    given = random_arrays(function, dims)
    wanted = interpreted(function, dims, given)
    for seed in seeds:
        s = made(function, deciding(seed), context)
        close(wanted, interpreted(s.function, dims, given), f"seed {seed}")
        close(wanted, interpreted(lower(s.function), dims, given, threads=3), f"seed {seed}")
        again = replay(function, Trace.from_json(s.trace.as_json(), function))
        assert print_function(again.function) == print_function(s.function)


def close(wanted: Sequence[np.ndarray], got: Sequence[np.ndarray], what: str) -> None:
    """Equal but for the order of sums."""
    for a, b in zip(wanted, got, strict=True):
        one, other = (np.asarray(array).astype(np.float64) for array in (a, b))
        size = max(1.0, float(np.abs(one).max(initial=0.0)))
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=4e-6 * size, err_msg=what)


def case(name: str) -> tuple[Function, dict[str, int]]:
    """An operator of the property tests, as loops, and its sizes."""
    found = CASES[name](np.random.default_rng(0))
    function = define(found.call, OPERATORS)
    return function, {dim.name: found.dims[dim.name] for dim in function.dims}


PRODUCTS = {
    "exact": (product(6, 16, 72), {}),
    "left over": (product(5, 35, 70, relu=True), {}),
    "across": (product(13, 40, 9, turned=True), {}),
    "two in one": (gated(13, 33, 20), {}),
    "rows": (product(N, 20, 9, relu=True), {"n": 7}),
    "one column": (product(17, 1, 8), {}),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name: str) -> None:
    function, dims = PRODUCTS[name]
    check(function, dims, range(5))


def test_all_extents_symbolic() -> None:
    check(product(N, M, K), {"n": 9, "m": 27, "k": 7}, range(1, 3))


@pytest.mark.parametrize("types", [(U8, I8), (I8, I8), (BF16, BF16)], ids=str)
def test_sums_by_instructions(types: tuple) -> None:
    context = Context(VNNI, frozenset([1]), 2)
    for function in (product(9, 32, 8, types=types), product(5, 20, 8, types=types, turned=True)):
        check(function, {}, range(3), Context(VNNI, threads=2))
        s = made(function, suggested, context)
        assert [step.name for step in s.trace].count("tensorize") >= 1


OPERATORS_TRIED = (
    "softmax", "layer_norm", "group_norm", "rms_norm", "exp", "add", "reduce_sum keep=False",
    "argmax", "transpose", "concat", "conv padded", "conv groups", "conv depthwise",
    "conv_transposed 4 / 2 - 1 + 0", "max_pool", "contract bik,bkj->bij", "contract k,k->",
    "matmul Q4_0", "matmul_q Q8_0 32", "attention 1x4",
)  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS_TRIED)
def test_operators(name: str) -> None:
    function, dims = case(name)
    check(function, dims, range(3))


@pytest.mark.parametrize("name", ["exact", "rows"])
def test_native_code(name: str) -> None:
    function, dims = PRODUCTS[name]
    memory = random_arrays(function, dims)
    wanted = interpreted(function, dims, memory)
    for seed in range(2):
        s = postprocessed(made(function, deciding(seed)), CONTEXT)
        close(wanted, interpreted(check_lowering(s.function, dims, memory), dims, memory), name)


def test_numbers_may_stay_open() -> None:
    function = product(64, 96, 128)
    opening = Opening(suggested)
    s = made(function, opening)
    assert {"product: levels along 0", "product: levels along 1"} <= set(opening.numbers)
    assert not s.trace.notes
    dims = {dim.name: 1 for dim in s.function.dims}
    given = random_arrays(function, {})
    close(interpreted(function, {}, given), interpreted(s.function, dims, given), "open")
    closed = made(function, suggested)
    left = [step.name for step in s.trace if step.sampling is None]
    assert left == [step.name for step in closed.trace if step.sampling is None]


def test_the_same_decisions_make_the_same_schedule() -> None:
    function = product(N, 48, 32, relu=True)
    one, two = (made(function, seeded(3)) for _ in range(2))
    assert one.trace == two.trace
    sites = [site for step in one.trace for key, site in step.options if key == "site"]
    assert len(set(sites)) == len(sites) and len(decisions_of(one.trace)) == len(sites)


# One rule at a time


def test_groups_are_left_out() -> None:
    groups = {rule.group for rule in rules_for(AVX512)}
    for group in groups:
        rest = rules_for(AVX512, off=(group,))
        assert group not in {rule.group for rule in rest}
    assert rules_for(AVX512, off=groups) == []
    function = product(9, 50, 70, relu=True)
    for group in sorted(groups):
        given = random_arrays(function, {})
        s = made(function, suggested, off=(group,))
        close(interpreted(function, {}, given), interpreted(s.function, {}, given), group)


def test_every_rule_is_offered() -> None:
    offered = set(names("schedule_rules"))
    assert {rule.name for rule in rules_for(AVX512)} | {"cross_thread_reduction"} == offered


def test_constants_lie_as_tiles_read_them() -> None:
    function = product(64, 96, 32, turned=True)
    s = made(function, suggested, Context(AVX512, frozenset([1]), 2))
    _, w, _ = s.function.params
    lanes = w.shape[-1]
    assert isinstance(lanes, Const) and lanes.value % AVX512.lanes == 0
    assert [e.value for e in w.shape[:-1]] == [96 // lanes.value, 32]  # type: ignore[attr-defined]
    assert not any(b.scope == "global" for b in s.function.allocs)
    off = made(function, suggested, Context(AVX512, frozenset([1]), 2), off=("layout",))
    assert off.function.params == function.params


def test_temporaries_of_a_row_are_computed_in_it() -> None:
    function, _ = case("softmax")
    s = made(function, suggested)
    assert sum(isinstance(n, For) and n.kind == "parallel" for n in postorder(s.function)) == 1


def long_sum(count: IntLike) -> Function:
    b = LoopBuilder("long_sum", dims=(count,) if isinstance(count, Dim) else ())
    x, y = b.param("x", (2, count), F32), b.param("y", (2,), F32)
    b.reduce(y, (count,), lambda i, k: load(x, i, k), label="sum")
    return b.function()


@pytest.mark.parametrize("count", [4096, 1 << 18, Dim("n", 1, 1 << 18)], ids=str)
def test_long_sums_in_chunks(count: IntLike) -> None:
    for seed in range(3):
        s = made(long_sum(count), deciding(seed))
        cut = decisions_of(s.trace).get("sum: chunks")
        assert cut is not None and (seed or cut == int(count != 4096))
    if count == 4096:
        check(long_sum(count), {}, range(3))


def test_threads_of_a_block_share_terms() -> None:
    function = long_sum(200)
    for seed in range(3):
        (s,) = CrossThreadReduction().apply(Schedule(function, deciding(seed)), "sum", CONTEXT)
        kinds = {n.kind for n in postorder(s.function) if isinstance(n, For)}
        assert {"block.x", "thread.x"} <= kinds
        given = random_arrays(function, {})
        wanted = interpreted(function, {}, given)
        close(wanted, interpreted(s.function, {}, given, threads=4), "threads")


def test_costly_maps_stay_or_dissolve() -> None:
    b = LoopBuilder("twice")
    x, y = b.param("x", (4, 8), F32), b.param("y", (4, 8), F32)
    t, half = b.local("t", (4, 8), F32), b.local("half", (8,), F32)
    b.map(half, lambda j: Const(0.5, F32) + cast(index(0), F32), label="half")
    b.map(t, lambda i, j: Call("exp", (load(x, i, j),), F32) * load(half, j), label="t")
    b.map(y, lambda i, j: load(t, i, j) * load(t, i, 0), label="y")
    function = b.function()
    for decided, labels in ((0, ["y"]), (1, ["t", "y"])):
        s = made(function, lambda q, k=decided: k if q.site == "t: auto_inline" else suggested(q))
        assert [block.label for block in blocks(s)] == labels
    check(function, {}, range(3))


@dataclass(frozen=True)
class Refusing:
    """A rule whose steps cannot be taken."""

    name: str = "refusing"
    group: str = "none"

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        raise ScheduleError("split", f"block '{label}'", "it will not", s.function)


def test_blocks_name_their_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    from passes.search.space.rules import custom_rule

    rules: dict[str, type[Rule]] = {"mine": Refusing}
    monkeypatch.setattr(custom_rule, "load", lambda group, name: rules[name])
    s = Schedule(product(4, 16, 4))
    s.annotate("product", "schedule_rule", "mine")
    before = len(s.trace)
    (s,) = CustomRule().apply(s, "product", CONTEXT)
    assert [step.name for step in s.trace][before:] == ["unannotate"]
    assert s.trace.notes == [
        "refused to rule refusing at block 'product': split of block 'product': it will not"
    ]
    assert refusals(s.trace.notes) == {"refusing: split": 1}


def test_a_block_that_names_no_rule() -> None:
    s = Schedule(product(4, 16, 4))
    s.annotate("product", "schedule_rule", "nobodys")
    with pytest.raises(PluginError, match="no schedule_rules plugin 'nobodys'; known: add_rfactor"):
        CustomRule().apply(s, "product", CONTEXT)
