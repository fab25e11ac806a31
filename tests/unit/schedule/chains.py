"""Random chains of producers and consumers, and steps that move one along the other."""

from __future__ import annotations

from random import Random

from passes.ir.dtypes import I32
from passes.ir.expr import And, Expr, Select, Var, const, index, maximum, minimum
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Buffer, For, Function, Seq
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, blocks_in, statements
from tests.unit.schedule.moves import random_move
from tests.unit.schedule.programs import N

WIDTH = 4
REACH = 2  # rows that a window reaches beyond the first


def random_chain(r: Random) -> Function:
    """A map, padding or sum into a temporary, then what reads it, then perhaps one more."""
    b = LoopBuilder("chain", dims=(N,))
    rows = N + REACH
    x, w = b.param("x", (rows, WIDTH), I32), b.param("w", (WIDTH, WIDTH), I32)
    c, z = b.param("c", (N, WIDTH), I32), b.param("z", (rows, WIDTH), I32)
    t = b.local("t", (rows, WIDTH), I32)
    _producer(r, b, x, w, t)
    last = _consumer(r, b, t, w, c)
    if r.random() < 0.6:
        y = b.param("y", (N, WIDTH), I32)
        b.map(y, lambda i, j: _finish(r, load(last, i, j), load(c, i, j)), label="end")
    if r.random() < 0.3:
        b.map(z, lambda i, j: load(z, i, j) + load(x, i, j), label="aside")
    return b.function()


def _producer(r: Random, b: LoopBuilder, x: Buffer, w: Buffer, t: Buffer) -> None:
    match r.choice(["map", "pad", "sum"]):
        case "map":
            b.map(t, lambda i, j: load(x, i, j) + 1, label="first")
        case "pad":
            low, left = r.randint(0, 2), r.randint(0, 1)

            def padded(i: Expr, j: Expr) -> Expr:
                inside = And(And(index(low) <= i, i < N + low), index(left) <= j)
                row = minimum(maximum(i - low, 0), N + REACH - 1)
                return Select(inside, load(x, row, maximum(j - left, 0)), const(7, I32))

            b.map(t, padded, label="first")
        case _:
            b.reduce(t, (WIDTH,), lambda i, j, k: load(x, i, k) * load(w, k, j), label="first")


def _consumer(r: Random, b: LoopBuilder, t: Buffer, w: Buffer, c: Buffer) -> Buffer:
    """Reads `t` into a buffer of N rows."""
    own = b.local if r.random() < 0.6 else b.param
    u = own("u", (N, WIDTH), I32)
    match r.choice(["map", "flip", "window", "stencil", "sum", "rows", "flat"]):
        case "map":
            b.map(u, lambda i, j: load(t, i, j) * load(c, i, j), label="second")
        case "flip":
            b.map(u, lambda i, j: load(t, i + 1, WIDTH - 1 - j) + 1, label="second")
        case "window":
            taps = r.randint(2, REACH + 1)
            b.reduce(u, (taps,), lambda i, j, k: load(t, i + k, j) * load(w, k, j), label="second")
        case "stencil":
            b.map(u, lambda i, j: load(t, i, j) - load(t, i + REACH, j), label="second")
        case "sum":
            b.reduce(u, (WIDTH,), lambda i, j, k: load(t, i, k) * load(w, k, j), label="second")
        case "rows":
            b.map(u, lambda i, j: load(t, i, j) + load(w, j, 0), label="second", extents=(N, 2))
            b.map(u, lambda i, j: load(t, i, j) - 1, label="rest", extents=(N, WIDTH))
        case _:
            flat = b.local("f", (N * WIDTH,), I32)
            b.map(flat, lambda i: load(t, i // WIDTH, i % WIDTH) * 2, label="second")
            b.map(u, lambda i, j: load(flat, i * WIDTH + j), label="third")
    return u


def _finish(r: Random, element: Expr, other: Expr) -> Expr:
    return r.choice([element + other, maximum(element, const(0, I32)), element * 3])


def random_tiles(r: Random, s: Schedule) -> None:
    """Some splits, fusions and orders, as far as they are legal."""
    for _ in range(r.randint(0, 4)):
        loops = [x for x in statements(s.function) if isinstance(x, For)]
        one = r.choice(loops)
        try:
            match r.choice(["split", "split", "fuse", "reorder"]):
                case "split":
                    s.split(one.var, r.choice([2, 3, 4]))
                case "fuse" if isinstance(one.body, For):
                    s.fuse(one.var, one.body.var)
                case "reorder" if isinstance(one.body, For):
                    s.reorder(one.body.var, one.var)
                case _:
                    pass
        except ScheduleError:
            continue


def random_step(r: Random, s: Schedule) -> str:
    """A step of placement with arguments that may fit; sometimes any other step."""
    if r.random() < 0.2:
        return random_move(r, s)
    labels = [block.label for block in blocks_in(s.function.body)]
    label, other = r.choice(labels), r.choice(labels)
    loop = r.choice(s.loops(other) or s.loops(label) or [Var("none", 0)])
    match r.choice(STEPS):
        case "compute_at":
            s.compute_at(label, loop)
        case "reverse_compute_at":
            s.reverse_compute_at(label, loop)
        case "compute_inline":
            s.compute_inline(label)
        case "reverse_compute_inline":
            s.reverse_compute_inline(label)
        case "fuse_reduction_epilogue":
            s.fuse_reduction_epilogue(other, label)
        case "decompose_padding":
            s.decompose_padding(label, loop)
        case "pad_einsum":
            s.pad_einsum(label, r.choices([1, 2, 3, 4], k=3))
        case "rolling_buffer":
            s.rolling_buffer(label, r.randint(0, 1))
        case "software_pipeline":
            several = [x for x in statements(s.function) if isinstance(x, For)]
            several = [x for x in several if isinstance(x.body, Seq)]
            if not several:
                return random_move(r, s)
            one = r.choice(several)
            assert isinstance(one.body, Seq)
            count = len(one.body.stmts)
            stages = sorted(r.choices(range(3), k=count))
            order = r.sample(range(count), count) if r.random() < 0.4 else list(range(count))
            copies = r.choice([[], [0]])
            s.software_pipeline(one.var, [x - stages[0] for x in stages], order, copies)
    return s.trace.steps[-1].name


STEPS = (
    "compute_at", "compute_at", "compute_at", "reverse_compute_at", "reverse_compute_at",
    "reverse_compute_at", "compute_inline", "reverse_compute_inline", "fuse_reduction_epilogue",
    "decompose_padding", "pad_einsum", "rolling_buffer", "rolling_buffer", "software_pipeline",
    "software_pipeline",
)  # fmt: skip
