"""Random programs and random schedule steps on them, legal or not."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from passes.ir.dtypes import I32
from passes.ir.expr import Expr, Var, index, maximum, minimum
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Buffer, For, Function, Seq
from passes.schedule.schedule import Schedule
from passes.schedule.tree import blocks_in, get_block, loaded, statements, written
from tests.unit.schedule.programs import N


def random_program(r: Random) -> Function:
    """A few nests of blocks that load and store integer arrays here and there.

    Blocks may touch their neighbours' elements or update in place: kinds of iterators tell the
    truth about what is stored where, and no more.
    """
    b = LoopBuilder("random", dims=(N,))
    pool: list[Buffer] = [b.param(name, (N, 6), I32) for name in ("a", "b", "c")]
    made: list[Buffer] = [b.local(name, (N, 6), I32) for name in ("s", "t", "u")]
    for number in range(r.randint(1, 4)):
        target = made.pop(0) if made and r.random() < 0.5 else None
        _nest(r, b, pool, target, number)
        if target is not None:
            pool.append(target)
    if r.random() < 0.8:
        b.map(pool[0], lambda i, j: load(pool[-1], i, j) + load(pool[0], i, j), label="last")
    return b.function()


def _nest(r: Random, b: LoopBuilder, pool: list[Buffer], target: Buffer | None, n: int) -> None:
    """One nest; a `target` is filled over its whole shape before anything else in it."""
    reduce = r.random() < 0.5
    with b.loop("i", N) as i, b.loop("j", 6) as j:
        if target is not None and not reduce:
            with b.block(f"fill_{'abcdef'[n]}", [(N, i), (6, j)]) as (u, v):
                b.store(target, (u, v), _value(r, pool, u, v))
        for part in range(r.randint(0 if target is not None else 1, 2)):
            _block(r, b, pool, i, j, f"{'abcdef'[n]}{'xyz'[part]}")
    if target is not None and reduce:
        with b.loop("i", N) as i, b.loop("j", 6) as j, b.loop("k", r.choice([1, 4, 6])) as k:
            axes = [(N, i), (6, j)]
            with b.block(f"sum_{'abcdef'[n]}", axes, [(6, k)]) as (u, v, w):
                with b.init():
                    b.store(target, (u, v), r.choice([0, 3]))
                term = _value(r, pool, u, w) * load(r.choice(pool), u, v)
                b.store(target, (u, v), load(target, u, v) + term)


def _block(r: Random, b: LoopBuilder, pool: list[Buffer], i: Var, j: Var, name: str) -> None:
    target = r.choice(pool)
    pattern = r.choice(["ij", "ij", "ij", "i", "j", "half", "next"])
    if pattern in ("ij", "half", "next"):
        with b.block(name, [(N, i), (6, j)]) as (u, v):
            place = {"ij": (u, v), "half": (u, v // 2), "next": (u, minimum(v + 1, 5))}[pattern]
            b.store(target, place, _value(r, pool, u, v))
    elif pattern == "i":
        with b.block(name, [(N, i)], ordered=[(6, j)]) as (u, v):
            b.store(target, (u, index(0)), _value(r, pool, u, v))
    else:
        with b.block(name, [(6, j)], [(N, i)]) as (v, u):
            with b.init():
                b.store(target, (index(0), v), 0)
            b.store(target, (index(0), v), load(target, 0, v) + _value(r, pool, u, v))


def _value(r: Random, pool: list[Buffer], u: Expr, v: Expr) -> Expr:
    places = [
        (u, v), (u, v), (u, v), (u, index(0)), (index(0), v), (u, maximum(v - 1, 0)),
        (u, minimum(v + 1, 5)), (u, v // 3), (maximum(u - 1, 0), v), (u, 5 - v),
    ]  # fmt: skip
    one = load(r.choice(pool), *r.choice(places))
    return one + load(r.choice(pool), *r.choice(places)) if r.random() < 0.5 else one + 1


def random_move(r: Random, s: Schedule) -> str:
    """One step with arguments that exist but need not fit; gives its name."""
    loops = [x for x in statements(s.function) if isinstance(x, For)]
    labels = [block.label for block in blocks_in(s.function.body)]
    allocs = [f"{buffer.name}{buffer.ordinal}" for buffer in s.function.allocs] or ["none"]
    scopes = ("global", "local", "register")
    label, loop = r.choice(labels), r.choice(loops).var
    around = s.loops(label) or [loop]
    own = r.choice(around)
    match r.choice(_MOVES):
        case "split":
            s.split(loop, r.choice([1, 2, 3, 4]))
        case "fuse":
            pair = next((k for k in loops if k.var is own), loops[0])
            s.fuse(own, pair.body.var if isinstance(pair.body, For) else loop)
        case "reorder":
            s.reorder(*r.sample(around, r.randint(1, min(3, len(around)))))
        case "parallel":
            s.parallel(loop)
        case "vectorize":
            s.vectorize(loop)
        case "unroll":
            s.unroll(loop)
        case "merge":
            s.merge(*_neighbours(r, s, loop))
        case "cache_write":
            s.cache_write(label, r.choice(scopes))
        case "set_scope":
            s.set_scope(r.choice(allocs), r.choice(scopes))
        case "compute_at":
            s.compute_at(label, _near_reader(r, s, label, loop))
        case "compute_inline":
            s.compute_inline(label)
        case "decompose_reduction":
            s.decompose_reduction(label, own)
        case "rfactor":
            s.rfactor(label, own, r.choice(scopes))
        case "reindex_cache_read":
            s.reindex_cache_read(label, r.randint(0, 2), r.choice(scopes))
        case "tensorize":
            s.tensorize(own, "dot4_u8_i8")
        case "transform_layout":
            layout = r.choice([_turned, _tiled])
            s.transform_layout(r.choice(allocs), layout)
        case "loop_partition":
            first = [x.var for x in loops if x.extent is loops[0].extent]
            group = r.sample(first, r.randint(1, min(3, len(first))))
            s.loop_partition(group, r.choice([index(0), index(1), N // 4 * 4, N // 2]))
    return s.trace.steps[-1].name


_MOVES = (
    "split", "split", "fuse", "reorder", "reorder", "parallel", "vectorize", "unroll", "merge",
    "merge", "cache_write", "set_scope", "compute_at", "compute_at", "compute_at",
    "compute_inline", "decompose_reduction", "decompose_reduction", "rfactor",
    "reindex_cache_read", "tensorize", "transform_layout", "loop_partition",
)  # fmt: skip


def _turned(i: list[Expr]) -> list[Expr]:
    return list(reversed(i))


def _tiled(i: list[Expr]) -> list[Expr]:
    return [i[-1] // 4, *i[:-1], i[-1] % 4]


def _neighbours(r: Random, s: Schedule, loop: Var) -> tuple[Var, Var]:
    """Two loops side by side, if there are any."""
    pairs = [
        (a.var, b.var)
        for x in statements(s.function)
        if isinstance(x, Seq)
        for a, b in pairwise(x.stmts)
        if isinstance(a, For) and isinstance(b, For)
    ]
    return r.choice(pairs) if pairs and r.random() < 0.9 else (loop, loop)


def _near_reader(r: Random, s: Schedule, label: str, loop: Var) -> Var:
    """A loop around a block that reads what the block stores, if there is one."""
    block = get_block(s.function, label, "test")
    readers = [
        b.label for b in blocks_in(s.function.body) if b is not block and loaded(b) & written(block)
    ]
    around = s.loops(r.choice(readers)) if readers else []
    return r.choice(around) if around else loop
