"""Random loop functions that run: for the laws of everything that prints, checks or rewrites them.

`loop_programs()` draws programs that are verified, run without error and whose results are exact
in any order of summation: small integers throughout.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from passes.ir import expr as ir
from passes.ir.arith import dims_of
from passes.ir.dtypes import F32, I32, INDEX, DType
from passes.ir.evaluate import integer
from passes.ir.expr import (
    Dim,
    Expr,
    Var,
    both,
    cast,
    ceildiv,
    const,
    index,
    maximum,
    minimum,
)
from passes.ir.loop import nodes
from passes.ir.loop.builder import LoopBuilder, identity, load
from passes.ir.loop.interpret import interpret
from passes.ir.loop.nodes import Buffer, Function

Draw = Callable[[st.SearchStrategy[Any]], Any]
Recipe = Callable[[Sequence[Expr], Sequence[Expr]], Expr]  # a value, from iterators and extents
_LIMIT = 6  # what is read from a temporary is clamped to -6..6


@dataclass(frozen=True)
class LoopProgram:
    """A function, extents for its dims, and contents for its parameters (outputs are zero)."""

    function: Function
    dims: dict[str, int]
    arrays: tuple[np.ndarray, ...]

    def run(self, function: Function | None = None, **options: Any) -> list[np.ndarray]:
        """The parameters after running `function`, this program's own if none is given."""
        arrays = [a.copy() for a in self.arrays]
        interpret(function or self.function, self.dims, arrays, **options)
        return arrays


@st.composite
def loop_programs(draw: Draw, max_stages: int = 3, grid: bool = False) -> LoopProgram:
    """A chain of maps, reductions (of tuples too), gathers and hand-written nests over one or two
    dims, with views, while loops and asynchronous copies; with `grid`, thread blocks as well."""
    dims = [Dim("n", 1, 9)] + ([Dim("m", 1, 7)] if draw(st.booleans()) else [])
    b = LoopBuilder("program", dims=dims)
    extents: list[Expr] = [*dims, index(4), index(6), dims[0] + 3]
    readable = [
        b.param(name, draw(_shapes(extents)), draw(st.sampled_from([F32, F32, I32])))
        for name in "xw"[: draw(st.integers(1, 2))]
    ]
    inputs = len(readable)
    rows = b.param("rows", (dims[0],), I32)  # for gathers: values below every extent
    for stage in range(draw(st.integers(1, max_stages))):
        last = stage > 0 and draw(st.booleans())
        shape, dtype = draw(_shapes(extents)), draw(st.sampled_from([F32, F32, I32]))
        name = "yzu"[stage]
        made = b.param(name, shape, dtype) if last else b.local(name, shape, dtype)
        _stage(draw, b, made, readable, rows, extents, grid)
        readable.append(made)
    out = b.param("out", readable[-1].shape, readable[-1].dtype)
    last_made = readable[-1]
    b.map(out, lambda *i: load(last_made, *i), label="out")
    function = b.function()
    sizes = {d.name: draw(st.integers(d.lo, d.hi)) for d in dims}
    random = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    arrays = []
    for number, param in enumerate(function.params):
        shape = tuple([_size(e, sizes) for e in param.shape])
        filled = param is rows or number < inputs
        low, high = (0, 1) if param is rows else (-2, 3)
        values = random.integers(low, high, shape) if filled else np.zeros(shape)
        arrays.append(values.astype(param.dtype.numpy))
    return LoopProgram(function, sizes, tuple(arrays))


def _shapes(extents: Sequence[Expr]) -> st.SearchStrategy[tuple[Expr, ...]]:
    return st.lists(st.sampled_from(extents), min_size=1, max_size=2).map(tuple)


def _size(e: Expr, sizes: dict[str, int]) -> int:
    return integer(e, {d: sizes[d.name] for d in dims_of(e)})


def _stage(
    draw: Draw,
    b: LoopBuilder,
    target: Buffer,
    readable: Sequence[Buffer],
    rows: Buffer,
    extents: Sequence[Expr],
    grid: bool,
) -> None:
    """One computation that fills `target`."""
    kind = draw(st.sampled_from(["plain", "nest", "nest", "tuple", "staged"]))
    over = [draw(st.sampled_from(extents))] if kind == "tuple" or draw(st.booleans()) else []
    over = [] if kind == "staged" else over
    sizes = [*target.shape, *over]
    recipe = draw(_values(readable, rows, target.dtype, len(sizes)))
    combine = draw(st.sampled_from(["add", "max", "min"]))
    if kind == "nest":
        _nest(draw, b, target, over, recipe, combine, grid)
    elif kind == "tuple":
        _tuple(draw, b, target, over, recipe)
    elif kind == "staged":
        _staged(draw, b, target, recipe, grid)
    elif over:
        b.reduce(target, over, lambda *iters: recipe(iters, sizes), combine)
    else:
        b.map(target, lambda *iters: recipe(iters, sizes))


def _combiner(draw: Draw, b: LoopBuilder, dtype: DType) -> nodes.TupleCombiner:
    """One that is exact on small integers, in any order; each reads its left side otherwise."""
    zero, one = const(0, dtype), const(1, dtype)

    def extremes(a: Sequence[Expr], c: Sequence[Expr]) -> Sequence[Expr]:
        first = ir.Or(a[0] > c[0], ir.And(a[0].equal(c[0]), a[1] < c[1]))
        return ir.Max(a[0], c[0]), ir.Select(first, a[1], c[1])

    def sums(a: Sequence[Expr], c: Sequence[Expr]) -> Sequence[Expr]:
        return a[0] + c[0], a[1] + c[1]

    def pairs(a: Sequence[Expr], c: Sequence[Expr]) -> Sequence[Expr]:
        return a[0] + c[0], a[1] + c[1] + a[0] * c[0]  # of a sum, the products of its terms

    def products(a: Sequence[Expr], c: Sequence[Expr]) -> Sequence[Expr]:
        return a[0] * c[0] - a[1] * c[1], a[0] * c[1] + a[1] * c[0]  # of complex numbers

    low = identity("max", dtype)
    kinds = [("argmax", [low, low], extremes), ("sums", [zero, zero], sums)]
    kinds += [("pairs", [zero, zero], pairs)]
    if dtype == I32:
        kinds += [("products", [one, zero], products)]
    return b.combiner(*draw(st.sampled_from(kinds)))


def _tuple(draw: Draw, b: LoopBuilder, target: Buffer, over: list[Expr], recipe: Recipe) -> None:
    """A reduction of tuples, of which the target is one part."""
    combiner = _combiner(draw, b, target.dtype)
    second = b.local("second", target.shape, target.dtype)
    targets = draw(st.permutations([target, second]))
    sizes, name = [*target.shape, *over], target.name

    def values(*iters: Var) -> list[Expr]:
        return [recipe(iters, sizes), cast(iters[-1] % 3, target.dtype)]

    b.reduce_tuple(targets, over, values, combiner, label=name)


def _staged(draw: Draw, b: LoopBuilder, target: Buffer, recipe: Recipe, grid: bool) -> None:
    """Row by row: computed into a temporary, copied on while the next row is on its way.

    A row is written through a view; its elements are counted by a while loop.
    """
    last = target.shape[-1]
    rows = target.shape[0] if len(target.shape) > 1 else index(2)
    at = b.local("at", (1,), I32)
    depth = draw(st.integers(2, 3))
    ring = b.local("ring", (depth, last), target.dtype, "shared" if grid else "global")
    done = b.local("done", (rows, last), target.dtype)
    copied = b.local("copied", (rows, last), target.dtype, align=draw(st.sampled_from([None, 64])))
    b.map(done, lambda i, j: recipe((i, j)[-len(target.shape) :], target.shape))
    queue = draw(st.sampled_from(["", "a b "])) + target.name
    wide = st.sampled_from(["thread.x", "serial"] if grid else ["serial"])
    kinds: list[Any] = [draw(wide) for _ in range(2)]

    def fetch(row: Expr) -> None:
        with b.async_group(queue), b.loop("j", last, kinds[0]) as j:
            b.store(ring, (row % depth, j), load(done, row, j))

    ahead = draw(st.integers(1, depth - 1))
    for row in range(ahead):
        with b.when(index(row) < rows):
            fetch(index(row))
    with b.loop("r", rows, in_order=True) as r:
        with b.when(r + ahead < rows):
            fetch(r + ahead)
        b.async_wait(queue, minimum(rows - 1 - r, ahead), [ring])
        with b.loop("j", last, kinds[1]) as j, b.block("copy", [(rows, r), (last, j)]) as (o, c):
            whole = b.view(copied, (o, 0), (None, last))
            b.store(whole, (c,), load(ring, o % depth, c))
    b.store(at, (0,), const(0, I32))
    with b.loop_while(cast(load(at, 0), INDEX) < last):
        here = cast(load(at, 0), INDEX)
        with b.loop("r", target.shape[0] if len(target.shape) > 1 else index(1)) as r:
            b.store(target, (r, here)[-len(target.shape) :], load(copied, r, here))
        b.store(at, (0,), load(at, 0) + 1)


def _nest(
    draw: Draw,
    b: LoopBuilder,
    target: Buffer,
    over: list[Expr],
    recipe: Recipe,
    combine: Any,
    grid: bool,
) -> None:
    """The same with some loops split, in any order and of any kind."""
    serial, any_kind = ["serial", "vectorized", "unrolled"], ["serial", "parallel", "vectorized"]
    rank, sizes = len(target.shape), [*target.shape, *over]
    loops: list[tuple[Var, Expr, Any]] = []
    axes: list[tuple[Expr, Expr]] = []
    guard: Expr | None = None
    for number, extent in enumerate(sizes):
        kinds = st.sampled_from(any_kind if number < rank else serial)
        if draw(st.booleans()):
            factor = draw(st.sampled_from([2, 4]))
            outer, inner = b.var("io"), b.var("ii")
            at = outer * factor + inner
            loops.append((outer, ceildiv(extent, factor), draw(kinds)))
            loops.append((inner, index(factor), draw(kinds)))
            guard = both(guard, at < extent)
        else:
            at = b.var("i")
            loops.append((at, extent, draw(kinds)))
        axes.append((extent, at))
    with b.block(target.name, axes[:rank], axes[rank:], where=guard) as iters:
        place, value = iters[:rank], recipe(iters, sizes)
        if over:
            with b.init():
                b.store(target, place, identity(combine, target.dtype))
            kind = {"add": ir.Add, "max": ir.Max, "min": ir.Min}[combine]
            value = kind(load(target, *place), value)
        b.store(target, place, value)
    loops = draw(st.permutations(loops))
    if grid:  # what may run at the same time is bound to blocks, then to threads
        axes_of_grid = iter([*nodes.BLOCK_AXES, *nodes.THREAD_AXES][draw(st.integers(0, 4)) :])
        loops = [
            (var, size, next(axes_of_grid, "serial") if kind == "parallel" else kind)
            for var, size, kind in loops
        ]
    b.wrap(loops)


def _values(
    readable: Sequence[Buffer], rows: Buffer, dtype: DType, count: int
) -> st.SearchStrategy[Recipe]:
    """A function from iterators (and their extents) to a value of `dtype`."""

    @st.composite
    def one(draw: Draw) -> Recipe:
        def read() -> Recipe:
            buffer = draw(st.sampled_from(list(readable)))
            ways = [
                (draw(st.sampled_from("iiircg")), draw(st.integers(0, count - 1)))
                for _ in buffer.shape
            ]

            def at(iters: Sequence[Expr], sizes: Sequence[Expr]) -> Expr:
                places = [
                    _place(way, iters[n], sizes[n], extent, rows)
                    for (way, n), extent in zip(ways, buffer.shape, strict=True)
                ]
                value = load(buffer, *places)
                low, high = const(-_LIMIT, buffer.dtype), const(_LIMIT, buffer.dtype)
                return cast(minimum(maximum(value, low), high), dtype)

            return at

        first, second = read(), read()
        shape = draw(st.sampled_from(["one", "add", "mul", "sub", "max", "select"]))
        number = const(draw(st.integers(-3, 3)), dtype)

        def value(iters: Sequence[Expr], sizes: Sequence[Expr]) -> Expr:
            a = first(iters, sizes)
            if shape == "one":
                return a + number
            c = second(iters, sizes)
            if shape == "select":
                return ir.Select(iters[0] < iters[-1] + 1, a, c * number)
            if shape == "max":
                return ir.Max(a, c)
            return {"add": a + c, "sub": a - c, "mul": a * c}[shape]

        return value

    return one()


def _place(way: str, i: Expr, size: Expr, extent: Expr, rows: Buffer) -> Expr:
    """An index that is inside `extent` whatever the iterator `i` below `size` is."""
    if way == "c":
        return index(0)
    if way == "g":
        return cast(load(rows, i % rows.shape[0]), INDEX)
    inside = i if size is extent else i % extent
    return extent - 1 - inside if way == "r" else inside
