"""Features against programs that are run: every store, access and iteration counted."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from passes.ir.evaluate import evaluate
from passes.ir.expr import Expr, Var
from passes.ir.loop.nodes import Block, Buffer, For, Function, If, Seq, Stmt, Store
from passes.ir.loop.parse import parse_function
from passes.schedule.accesses import loads_in
from passes.search.defaults import default_schedule
from passes.search.defaults.target import Target
from passes.search.features import columns, features_of
from passes.search.features.columns import access, column, operations

TARGET = Target(512, 32, 32768, 1 << 20)
LINE = 64

TILED = """
def tiled(x0: f32[16, 8], w1: f32[8, 64], y2: f32[16, 64]):
    sums3 = alloc(f32[16, 64], scope="register")
    for f4 in parallel(8):
        for i5 in unrolled(4):
            for j6 in unrolled(2):
                for l7 in vectorized(16):
                    with block("dot_init"):
                        i8 = spatial(16, f4//2*4 + i5)
                        j9 = spatial(64, f4%2*32 + (j6*16 + l7))
                        sums3[i8, j9] = f32(0.0)
        for k10 in range(8):
            for i11 in unrolled(4):
                for j12 in unrolled(2):
                    for l13 in vectorized(16):
                        with block("dot"):
                            i14 = spatial(16, f4//2*4 + i11)
                            j15 = spatial(64, f4%2*32 + (j12*16 + l13))
                            k16 = reduce(8, k10)
                            sums3[i14, j15] = sums3[i14, j15] + x0[i14, k16]*w1[k16, j15]
        for i17 in unrolled(4):
            for j18 in unrolled(2):
                for l19 in vectorized(16):
                    with block("write"):
                        i20 = spatial(16, f4//2*4 + i17)
                        j21 = spatial(64, f4%2*32 + (j18*16 + l19))
                        y2[i20, j21] = max(sums3[i20, j21], f32(0.0))
"""
STRIDED = """
def strided(x0: f32[64, 16], w1: f32[3, 16], y2: f32[31, 16]):
    for i3 in parallel(31):
        for c4 in vectorized(16):
            for u5 in range(3):
                with block("conv"):
                    i6 = spatial(31, i3)
                    c7 = spatial(16, c4)
                    u8 = reduce(3, u5)
                    with init():
                        y2[i6, c7] = f32(0.0)
                    y2[i6, c7] = y2[i6, c7] + x0[i6*2 + u8, c7]*w1[u8, c7]
"""
RAGGED = """
def ragged(x0: f32[13, 100], y1: f32[13, 100]):
    for i2 in range(4):
        for i3 in range(4):
            for j4 in range(7):
                for j5 in vectorized(16):
                    with block("scale"):
                        i6 = spatial(13, i2*4 + i3)
                        j7 = spatial(100, j4*16 + j5)
                        where(i2*4 + i3 < 13 and j4*16 + j5 < 100)
                        y1[i6, j7] = exp(x0[i6, j7])*f32(2.0)
"""
TRANSPOSED = """
def transposed(x0: f32[32, 16], y1: f32[16, 32]):
    for i2 in range(16):
        for j3 in vectorized(32):
            with block("copy"):
                i4 = spatial(16, i2)
                j5 = spatial(32, j3)
                y1[i4, j5] = x0[j5, i4]
"""
STENCIL = """
def stencil(x0: f32[34, 64], y1: f32[32, 64]):
    for i2 in range(8):
        for i3 in range(4):
            for j4 in vectorized(64):
                with block("blur"):
                    i5 = spatial(32, i2*4 + i3)
                    j6 = spatial(64, j4)
                    y1[i5, j6] = x0[i5, j6] + x0[i5 + 1, j6] + x0[i5 + 2, j6]
"""
CONTRACTION = """
def contraction(a0: f32[10, 6], b1: f32[6, 80], out2: f32[10, 80]):
    for i3 in range(10):
        for j4 in range(80):
            for k5 in range(6):
                with block("contract"):
                    i6 = spatial(10, i3)
                    j7 = spatial(80, j4)
                    k8 = reduce(6, k5)
                    with init():
                        out2[i6, j7] = f32(0.0)
                    out2[i6, j7] = out2[i6, j7] + a0[i6, k8]*b1[k8, j7]
"""


PROGRAMS = {
    "tiled": parse_function(TILED),
    "strided": parse_function(STRIDED),
    "ragged": parse_function(RAGGED),
    "transposed": parse_function(TRANSPOSED),
    "stencil": parse_function(STENCIL),
    "plain": parse_function(CONTRACTION),
    "scheduled": default_schedule(parse_function(CONTRACTION), TARGET, frozenset()).function,
}


class Counted:
    """A program's stores as they run. Rows are called as features call them."""

    def __init__(self, function: Function) -> None:
        self.runs: Counter[str] = Counter()
        self.iterations: Counter[Var] = Counter()
        self.around: dict[str, set[Var]] = {}
        self.bytes: dict[str, Counter[Buffer]] = {}
        self.places: dict[str, dict[Buffer, set[int]]] = {}
        self.trace: list[tuple[Buffer, int]] = []
        self._loops: list[For] = []
        self._stmt(function.body, {}, "")

    def _stmt(self, stmt: Stmt, values: Mapping[Var, int], label: str) -> None:
        match stmt:
            case Seq(stmts):
                for inner in stmts:
                    self._stmt(inner, values, label)
            case For():
                self._loops.append(stmt)
                extent = number(stmt.extent, values)
                counted = extent > 1 and stmt.kind not in ("vectorized", "unrolled")
                for k in range(extent):
                    lanes = [values[v.var] for v in self._loops[:-1] if v.kind == "vectorized"]
                    if counted and not any(lanes):
                        self.iterations[stmt.var] += 1  # lanes run together
                    self._stmt(stmt.body, {**values, stmt.var: k}, label)
                self._loops.pop()
            case If(cond, then, None):
                if number(cond, values):
                    self._stmt(then, values, label)
            case Block():
                if stmt.predicate is not None and not number(stmt.predicate, values):
                    return
                pairs = zip(stmt.iters, stmt.bindings, strict=True)
                bound = {it.var: number(e, values) for it, e in pairs}
                first = all(bound[it.var] == 0 for it in stmt.iters if it.kind == "reduce")
                if stmt.init is not None and first:
                    self._stmt(stmt.init, bound, f"{stmt.label}.init")
                self._stmt(stmt.body, bound, stmt.label)
            case Store():
                self._store(stmt, values, label)

    def _store(self, stmt: Store, values: Mapping[Var, int], label: str) -> None:
        self.runs[label] += 1
        self.around[label] = {loop.var for loop in self._loops}
        touched = [(load.buffer, load.indices) for load in loads_in(stmt.value)]
        for buffer, indices in (*touched, (stmt.buffer, stmt.indices)):
            shape = [number(e, {}) for e in buffer.shape]
            place = 0
            for index, extent in zip(indices, shape, strict=True):
                place = place * extent + number(index, values)
            self.bytes.setdefault(label, Counter())[buffer] += buffer.dtype.bytes
            self.places.setdefault(label, {}).setdefault(buffer, set()).add(place)
            if buffer.scope == "global":
                self.trace.append((buffer, place * buffer.dtype.bytes // LINE))


def number(e: Expr, values: Mapping[Var, int]) -> int:
    return int(evaluate(e, values))


@pytest.fixture(scope="module", params=PROGRAMS)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Function, Counted]]:
    function = PROGRAMS[request.param]
    yield function, Counted(function)


def rows_of(function: Function) -> dict[str, NDArray[np.float32]]:
    found = features_of(function, TARGET, threads=1)
    return dict(zip(found.labels, found.evaluate({}, 1)[0], strict=True))


def test_every_store_has_a_row(pair: tuple[Function, Counted]) -> None:
    function, counted = pair
    assert set(rows_of(function)) == set(counted.runs)


def test_runs_and_iterations_are_those_that_happen(pair: tuple[Function, Counted]) -> None:
    function, counted = pair
    for label, row in rows_of(function).items():
        assert column(row, columns.RUNS) == pytest.approx(counted.runs[label], rel=1e-5)
        if label.endswith(".init") or function.name == "ragged":
            continue  # loops that it shares with others, or that conditions end
        loops = sum(counted.iterations[var] for var in counted.around[label])
        assert column(row, columns.ITERATIONS) == pytest.approx(loops, rel=1e-5)


def test_bytes_are_those_that_are_touched(pair: tuple[Function, Counted]) -> None:
    function, counted = pair
    for label, row in rows_of(function).items():
        wanted, got = [], []
        for buffer, count in counted.bytes[label].items():
            places = counted.places[label][buffer]
            if buffer.scope == "global":
                unique = len(places) * buffer.dtype.bytes
                lines = len({p * buffer.dtype.bytes // LINE for p in places})
                wanted.append((count, unique, lines))
        for k in range(len(counted.bytes[label])):
            if not column(row, access(k, "register")):
                found = [column(row, access(k, w)) for w in ("bytes", "unique", "lines")]
                got.append(tuple(float(count) for count in found))
        for one, other in zip(sorted(wanted), sorted(got), strict=True):
            assert other == pytest.approx(one, rel=1e-5)


OPERATIONS = {
    "tiled": {"dot_init": {}, "dot": {"fma": 1}, "write": {"max": 1}},
    "strided": {"conv.init": {}, "conv": {"fma": 1}},
    "ragged": {"scale": {"exp": 1, "mul": 1}},
    "transposed": {"copy": {}},
    "stencil": {"blur": {"add": 2}},
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_those_of_every_run(name: str) -> None:
    function = PROGRAMS[name]
    counted = Counted(function)
    for label, row in rows_of(function).items():
        found = {k: float(column(row, operations(k))) for k in columns.OPERATIONS}
        wanted = {k: n * counted.runs[label] for k, n in OPERATIONS[name][label].items()}
        assert {k: n for k, n in found.items() if n} == pytest.approx(wanted, rel=1e-5)


def missed(trace: list[tuple[Buffer, int]], capacity: int) -> int:
    """Bytes that come into a cache that forgets what was used longest ago."""
    held: OrderedDict[tuple[Buffer, int], None] = OrderedDict()
    count = 0
    for line in trace:
        if line in held:
            held.move_to_end(line)
            continue
        count += LINE
        held[line] = None
        if len(held) > capacity // LINE:
            held.popitem(last=False)
    return count


@cache
def matmul(tile: int) -> tuple[Function, Counted]:
    """A product of matrices in square tiles of the result."""
    function = parse_function(f"""
def matmul(x0: f32[16, 16], w1: f32[16, 32], y2: f32[16, 32]):
    for i3 in range({16 // tile}):
        for j4 in range({32 // tile}):
            for k5 in range(16):
                for i6 in range({tile}):
                    for j7 in range({tile}):
                        with block("dot"):
                            i8 = spatial(16, i3*{tile} + i6)
                            j9 = spatial(32, j4*{tile} + j7)
                            k10 = reduce(16, k5)
                            y2[i8, j9] = y2[i8, j9] + x0[i8, k10]*w1[k10, j9]
""")
    return function, Counted(function)


@pytest.mark.parametrize("tile", [1, 8])
@pytest.mark.parametrize("capacity", [512, 1024, 2048, 4096, 16384])
def test_traffic_is_near_that_of_a_cache(tile: int, capacity: int) -> None:
    """Of a cache without sets; between the sizes where a loop begins to fit, it is a mixture."""
    function, counted = matmul(tile)
    found = features_of(function, replace(TARGET, l1d_bytes=capacity), 1)
    (row,) = found.evaluate({}, 1)[0]
    assert 0.5 <= column(row, columns.TRAFFIC_L2) / missed(counted.trace, capacity) <= 2.0
    every = (16 * 16 + 16 * 32 + 16 * 32) * 4
    assert column(row, columns.TRAFFIC_MEMORY) == pytest.approx(every, rel=1e-5)
