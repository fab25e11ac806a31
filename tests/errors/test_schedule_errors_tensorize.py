"""Refusals of blocks around loops and of instructions: what the program would have to be."""

from __future__ import annotations

import pytest

from passes.schedule.schedule import Schedule
from passes.schedule.tensorization.apply import apply
from passes.schedule.tensorization.candidates import candidates
from passes.schedule.tree import ScheduleError
from tests.unit.schedule.steps import Case, Steps, program, refusals
from tests.unit.schedule.tensor_workloads import contraction
from tests.unit.schedule.texts import DOT, DOTS

OUTERS = "x: f32[n, 40], w: f32[40, 80], y: f32[n, 80], *, n: dim[1, 64]"
OUTER = """
for k in range(40):
    for i in range(4):
        for j in range(16):
            with block("mm"):
                v = spatial(n, i)
                l = spatial(80, j)
                u = reduce(40, k)
                y[v, l] = y[v, l] + x[v, u]*w[u, l]
"""
UNSTARTED = DOT.replace("            with init():\n                y[0] = i32(0)\n", "")
TWICE = UNSTARTED.replace("            y[0] = y", "            y[0] = i32(1)\n            y[0] = y")
PAIRS = """
t = alloc(u8[8])
for i in range(8):
    with block("unpack"):
        v = spatial(8, i)
        t[v] = w[v] & u8(255)
""" + UNSTARTED.replace("w[u]", "t[u]")
# Rows of a product that get longer from tile to tile
LONGER = """
for h in range(4):
    for i in range(2):
        for j in range(h*8 + 8):
            for k in range(3):
                for b in range(4):
                    with block("dot"):
                        g = spatial(4, h)
                        r = spatial(2, i)
                        l = spatial(32, j)
                        u = reduce(3, k)
                        s = reduce(4, b)
                        y[g, r, l] = y[g, r, l] + cast(x[r, u, s], i32)*cast(w[u, l, s], i32)
"""
LONG = "x: i8[2, 3, 4], w: i8[3, 32, 4], y: i32[4, 2, 32]"
SCALED = """
for i in range(4):
    for j in range(8):
        for k in range(5):
            with block("sum"):
                v = spatial(4, i)
                w = spatial(8, j)
                u = reduce(5, k)
                with init():
                    y[v, w] = f32(0.0)
                y[v, w] = y[v, w] + x[u, v]*s[u, v]*z[u, w]
"""
BARE = """
for i in range(8):
    y[0] = i32(0)
"""
MEETING = """
for i in range(8):
    barrier()
    for k in range(8):
        with block("dot"):
            u = reduce(8, k)
            y[0] = y[0] + cast(q[u], i32)
"""


def dot(t: Steps) -> None:
    t.s.tensorize(t.b, "dot4_u8_i8")


def outer(t: Steps) -> None:
    t.s.tensorize(t.i, "fma_f32_x16")


DOT4 = "tensorize of loop b4 by 'dot4_u8_i8'"
FMA = "tensorize of loop i4 by 'fma_f32_x16'"

CASES: dict[str, Case] = {
    "unknown": (program(DOT, DOTS), lambda t: t.s.tensorize(t.b, "fma_f32"),
        "tensorize of loop b4 by 'fma_f32'", "there is no such intrinsic; like it:"
        " dot2_bf16_fma_x8, fma_f32_x16, fma_f32_x4, fma_f32_x8", "for b4 in range(4):"),
    "nothing like it": (program(DOT, DOTS), lambda t: t.s.tensorize(t.b, "??"),
        "tensorize of loop b4 by '??'", "there is no such intrinsic", "for b4 in range(4):"),
    "no block": (program(BARE, DOTS), lambda t: t.s.tensorize(t.i, "dot4_u8_i8"),
        "tensorize of loop i3 by 'dot4_u8_i8'", "no block is under it", "for i3 in range(8):"),
    "extent": (program(DOT.replace("range(4)", "range(3)").replace("k*4", "k*3"), DOTS), dot,
        DOT4, "its loops (b to 3) do not run as those described (k to 4)", "for b4"),
    "more loops": (program(DOT, DOTS), lambda t: t.s.tensorize(t.k, "dot4_u8_i8"),
        "tensorize of loop k3 by 'dot4_u8_i8'",
        "it has more loops (k to 2, b to 4) than described", "for k3"),
    "backwards": (program(DOT.replace("q[u]", "q[7 - u]"), DOTS), dot, DOT4,
        "elements of q1 along axis 0 of 'b' are -1 apart, not 1", "for b4"),
    "spread": (program(UNSTARTED.replace("k*4 + b", "b*2 + k"), DOTS), dot, DOT4,
        "elements of w0 along axis 0 of 'a' are 2 apart, not 1", "for b4"),
    "started inside": (program(DOT.replace("k*4 + b", "b*2 + k"), DOTS), dot, DOT4,
        "block 'dot' starts its reduction inside, not before", "for b4"),
    "guarded": (program(DOT.replace("with init", "where(b < 3)\n            with init"), DOTS), dot,
        DOT4, "block 'dot' is guarded by a predicate", "for b4"),
    "types": (program(DOT, DOTS.replace("u8", "i8")), dot, DOT4,
        "it computes w0[u5] where a0[v4] is described", "for b4"),
    "value": (program(OUTER.replace("+ x", "- x"), OUTERS), outer, FMA,
        "it computes y2[v6, l7] - x0[v6, u10]*w1[u10, l7] where c2[r5, l6] + a0[r5]*b1[l6] is"
        " described", "for i4"),
    "ordered": (program(UNSTARTED.replace("reduce", "ordered"), DOTS), dot, DOT4,
        "its loops (b to 4) do not run as those described (k to 4)", "for b4"),
    "sequence": (program(TWICE, DOTS), dot, DOT4,
        "it has a sequence where a store is described", "for b4"),
    "not linear": (program(DOT.replace("q[u]", "q[u*u%8]"), DOTS), dot, DOT4,
        "index (u6*4 + b4)*(u6*4 + b4)%8 is not linear in the loops inside", "for b4"),
    "columns": (program(OUTER.replace("range(16)", "range(24)"), OUTERS), outer, FMA,
        "n%16 == 0 is not known to hold: False", "for i4"),
    "rows": (program(OUTER.replace("range(4)", "range(n*2)"), OUTERS), outer, FMA,
        "m would be n*2, not within 1..64", "for i4"),
    "transposed": (program(OUTER.replace("w[u, l]", "w[l//2, u]"), OUTERS), outer, FMA,
        "index j5//2 is not linear in the loops inside", "for i4"),
    "along": (program(OUTER.replace("w[u, l]", "w[u, l + v]"), OUTERS), outer, FMA,
        "w1[u10, l7 + v6] moves with loop i4, along which b is described to stay", "for i4"),
    "stride": (program(OUTER.replace("w[u, l]", "w[u, l*2]"), OUTERS), outer, FMA,
        "elements of w1 along axis 0 of 'b' are 2 apart, not 1", "for i4"),
    "in place": (program(OUTER.replace("w[u, l]", "y[u, l]"), OUTERS), outer, FMA,
        "'y2', which it stores to, is another operand too", "for i4"),
    "range": (program(PAIRS, DOTS),
        lambda t: t.s.tensorize(t.b, "dot4_u8_i8_pairs"),
        "tensorize of loop b7 by 'dot4_u8_i8_pairs'",
        "elements of 't3' are not known to be within 0..127", "for b7"),
    "range of a parameter": (program(DOT, DOTS),
        lambda t: t.s.tensorize(t.b, "dot4_u8_i8_pairs"),
        "tensorize of loop b4 by 'dot4_u8_i8_pairs'",
        "elements of 'w0' are not known to be within 0..127", "for b4"),
    "a temporary": (program(LONGER, LONG), lambda t: t.s.tensorize(t.i, "dot4_i8_i8_x8"),
        "tensorize of loop i4 by 'dot4_i8_i8_x8'",
        "a temporary of the implementation would have a size for each instance", "for i4"),
    "no such block": (program(DOT, DOTS), lambda t: t.s.tensorize("dots", "dot4_u8_i8"),
        "tensorize of block 'dots'", "there is no such block", ""),
    "a whole block": (program(DOT, DOTS), lambda t: t.s.tensorize("dot", "dot4_u8_i8"),
        "tensorize of block 'dot' by 'dot4_u8_i8'",
        "its loops (none) do not run as those described (k to 4)", 'with block("dot"):'),
    "blockize nothing": (program(BARE, DOTS), lambda t: t.s.blockize(t.i),
        "blockize of loop i3", "no block is under it", "for i3"),
    "blockize barrier": (program(MEETING, DOTS), lambda t: t.s.blockize(t.i),
        "blockize of loop i3", "threads meet under it, which they may not inside a block",
        "for i3"),
}  # fmt: skip

test_refusal = refusals(CASES)


MATMUL = contraction("mk,kn->mn", {"m": 8, "k": 4, "n": 16})


@pytest.mark.parametrize(
    ("intrinsic", "sizes", "reason"),
    [
        ("fma", {}, "there is no such intrinsic"),
        ("fma_f32_x8", {"q": 2}, "it has no size 'q'; those it has: m, n"),
        ("dot4_u8_i8", {"q": 2}, "it has no size 'q'; those it has: none"),
        ("fma_f32_x8", {"m": 65}, "size m is 65, not within 1..64"),
        ("fma_f32_x8", {"n": 20}, "it does not take the sizes m = 1, n = 20"),
    ],
)
def test_refusal_of_candidates(intrinsic: str, sizes: dict[str, int], reason: str) -> None:
    with pytest.raises(ScheduleError) as error:
        candidates(MATMUL, "sum", intrinsic, sizes)
    first = str(error.value).split("\n")[0]
    assert first == f"candidates of block 'sum' by '{intrinsic}' in 'contraction': {reason}"


def test_refusal_of_apply() -> None:
    """Mappings of other blocks, and of a factor that is itself a product: the schedule stays as it
    was, whichever step does not fit."""
    scaled = program(SCALED, "x: f32[5, 4], s: f32[5, 4], z: f32[5, 8], y: f32[4, 8]")
    batched = contraction("bmk,bkn->bmn", {"b": 2, "m": 8, "k": 4, "n": 16})
    narrow = contraction("mk,kn->mn", {"m": 4, "k": 4, "n": 16})
    best = candidates(MATMUL, "sum", "fma_f32_x8", {"m": 8})[0]
    own = candidates(scaled, "sum", "fma_f32_x8", {"m": 4})[0]
    for function, mapping, reason in (
        (batched, best, "apply of block 'sum' by 'fma_f32_x8' in 'contraction': the mapping is of"
            " another block"),
        (narrow, best, "tensorize of loop m10 by 'fma_f32_x8' in 'contraction': block 'sum' is"
            " guarded by a predicate"),
        (scaled, own, "apply of block 'sum' by 'fma_f32_x8' in 'f': x0[u9, v7]*s1[u9, v7] is no"
            " factor of a product that it sums up"),
    ):  # fmt: skip
        s = Schedule(function)
        with pytest.raises(ScheduleError) as error:
            apply(s, "sum", mapping)
        assert str(error.value).split("\n")[0] == reason
        assert s.function is function and not len(s.trace)
