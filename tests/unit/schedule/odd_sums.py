"""Random sums that start late, several times, never or somewhere in between, and steps for them."""

from __future__ import annotations

from random import Random

from passes.ir.dtypes import I32
from passes.ir.expr import Expr, Var, both, const, index
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Function
from passes.schedule.schedule import Schedule

_KINDS = ("srr", "sro", "ssr", "rro", "sr", "rr", "ro", "r")  # spatial, reduce, ordered


def random_sum(r: Random) -> Function:
    """Three loops around a block `c` whose iterators run backwards, from an offset, or in steps.

    Its predicate may read what it stores. Raises IRError where the signature is not right.
    """
    b = LoopBuilder("odd")
    x, y, z = b.param("x", (16, 16), I32), b.param("y", (16,), I32), b.param("z", (16,), I32)
    extents = [r.choice([2, 3, 4]) for _ in range(3)]
    with b.loop("p", extents[0]) as p, b.loop("q", extents[1]) as q, b.loop("s", extents[2]) as s:
        loops = [(p, extents[0]), (q, extents[1]), (s, extents[2])]
        r.shuffle(loops)
        axes: dict[str, list[tuple[int, Expr]]] = {"s": [], "r": [], "o": []}
        asked = r.choice([p + q < 4, s >= 1, load(z, p) > 0, load(y, s) > 2, *[None] * 6])
        for number, kind in enumerate(r.choice(_KINDS)):
            (a, extent), (c, width) = loops[number], loops[(number + 1) % 3]
            binding = _odd(r, a, extent, c, width) if r.random() < 0.5 else a
            axes[kind].append((16, binding))
            asked = both(asked, binding >= 0)
        with b.block("c", axes["s"], axes["r"], axes["o"], where=asked) as iters:
            own = (*iters[: len(axes["s"])], *iters[len(axes["s"]) + len(axes["r"]) :])
            place: Expr = own[0] if own and r.random() < 0.8 else index(0)
            if r.random() < 0.8:
                with b.init():
                    b.store(y, (place,), r.choice([const(5, I32), load(y, place) * 2, load(z, 0)]))
            b.store(y, (place,), load(y, place) + load(x, iters[0], iters[-1]))
            if r.random() < 0.2:
                b.store(z, (place,), r.choice([load(y, place), const(3, I32)]))
    return b.function()


def _odd(r: Random, a: Var, extent: int, c: Var, width: int) -> Expr:
    whole = a * width + c
    return r.choice(
        [extent - 1 - a, whole, a + c, a + c - 1, a * 2 + c - 2, whole // 2, whole % 2, a // 2,
         a % 2, index(0), a + 1]
    )  # fmt: skip


def odd_step(r: Random, s: Schedule) -> None:
    """A step of those that ask where reductions start. Raises ScheduleError."""
    loops = s.loops("c")
    loop, name = r.choice(loops), r.choice(["y", "z"])
    steps = [
        lambda: s.vectorize(loop),
        lambda: s.unroll(loop),
        lambda: s.parallel(loop),
        lambda: s.reorder(*r.sample(loops, len(loops))),
        lambda: s.decompose_reduction("c", loop),
        lambda: s.transform_block_layout("c", lambda i: r.sample(list(i), len(i))),
        lambda: s.rfactor("c", loop),
        lambda: s.blockize(loop),
        lambda: s.cache_write("c", "local", name),
        lambda: s.reindex_cache_write("c", "local", None, name),
        lambda: s.split(loop, r.choice([2, 3])),
        lambda: s.fuse(*loops[-2:]),
    ]
    r.choice(steps)()
