"""Random schedule steps, legal or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

from passes.ir.expr import Const, Expr, Select, Var, index
from passes.ir.loop.nodes import Block, For, Seq
from passes.ir.node import postorder
from passes.schedule.layouts import IndexMap
from passes.schedule.sampling import PartitionedTile, PerfectTile
from passes.schedule.schedule import Schedule
from passes.schedule.tree import blocks_in, get_block, get_loop, loaded, statements, written
from tests.unit.schedule.programs import N


def random_move(r: Random, s: Schedule) -> str:
    """One step with arguments that exist but need not fit; gives its name."""
    loops = [x for x in statements(s.function) if isinstance(x, For)]
    labels = [block.label for block in blocks_in(s.function.body)]
    allocs = [f"{buffer.name}{buffer.ordinal}" for buffer in s.function.allocs] or ["none"]
    label = r.choice(labels)
    buffers = _touched(s, label) or allocs
    scopes = ("global", "local", "register", "shared")
    loop = r.choice(loops).var
    around = s.loops(label) or [loop]
    own = r.choice(around)
    n = next(iter(s.function.dims), N)
    match r.choice(_MOVES):
        case "split":
            s.split(loop, r.choice([1, 2, 3, 4]))
        case "split_in_parts":
            factors = r.choice([(None, 2, 3), (2, None), (2, None, 2), (3, 2), (1, None, 4)])
            s.split(loop, r.choice([factors, (None, n // 2 + 1), (8, 8)]), r.random() < 0.7)
        case "add_unit_loop":
            s.add_unit_loop(r.choice([label, loop]))
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
        case "bind":
            s.bind(loop, r.choice(["block.x", "thread.x", "thread.y"]))
        case "merge":
            s.merge(*_neighbours(r, s, loop))
        case "cache_read":
            s.cache_read(label, r.choice(buffers), r.choice(scopes))
        case "cache_write":
            s.cache_write(label, r.choice(scopes))
        case "cache_index":
            s.cache_index(label, r.choice(buffers), r.choice(scopes))
        case "reindex":
            s.reindex(label, r.choice(buffers), r.choice(["read", "write"]))
        case "reindex_cache_write":
            s.reindex_cache_write(label, r.choice(scopes), r.choice([None, _turned, _tiled]))
        case "set_scope":
            s.set_scope(r.choice(allocs), r.choice(scopes))
        case "compute_at":
            s.compute_at(label, _near_reader(r, s, label, loop))
        case "compute_inline":
            s.compute_inline(label)
        case "reverse_compute_at":
            s.reverse_compute_at(label, _near_writer(r, s, label, loop))
        case "reverse_compute_inline":
            s.reverse_compute_inline(label)
        case "fuse_reduction_epilogue":
            s.fuse_reduction_epilogue(_writer(r, s, label), label)
        case "decompose_padding":
            choosing = [b.label for b in blocks_in(s.function.body) if _chooses(b)] or [label]
            padding = r.choice(choosing)
            s.decompose_padding(padding, r.choice(s.loops(padding) or [loop]))
        case "pad_einsum":
            count = len(get_block(s.function, label, "test").iters)
            s.pad_einsum(label, r.choices([1, 2, 4, 5], k=count))
        case "rolling_buffer":
            _roll(r, s, label, loop)
        case "place":
            s.place(label, s.sample_compute_location(label))
        case "sample_tile":
            _tile(r, s, loop)
        case "sample_number":
            chosen = r.randrange(3)
            at_once(s, lambda t: t.split(loop, t.sample_categorical([2, 3, 4], choice=chosen)))
        case "software_pipeline":
            s.software_pipeline(*_pipeline(r, loops))
        case "decompose_reduction":
            s.decompose_reduction(label, own)
        case "trim":
            s.trim(label, own)
        case "decompose_and_trim":
            at_once(s, lambda t: (t.decompose_reduction(label, own), t.trim(label, own)))
        case "rfactor":
            s.rfactor(label, own, r.choice(scopes))
        case "reindex_cache_read":
            what = r.choice([r.randint(0, 2), r.choice(buffers)])
            layout = r.choice([None, _turned, _tiled])
            s.reindex_cache_read(label, what, r.choice(scopes), layout)
        case "blockize":
            s.blockize(own)
        case "tensorize":
            s.tensorize(r.choice([own, own, label]), r.choice(["dot4_u8_i8", "dot4_u8_i8_x8"]))
        case "split_and_tensorize":
            at_once(s, lambda t: t.tensorize(t.split(own, 4)[1], "dot4_u8_i8"))
        case "transform_layout":
            what = r.choice(allocs)
            shapes = {f"{b.name}{b.ordinal}": b.shape for b in s.function.allocs}
            layout = r.choice([_turned, _tiled, _backwards(shapes.get(what, ()))])
            s.transform_layout(what, layout, r.choice([None, 0, -7]))
        case "storage_align":
            s.storage_align(r.choice(allocs), r.randint(0, 2), r.choice([4, 5]), r.randint(0, 4))
        case "transform_block_layout":
            extents = [it.extent for it in get_block(s.function, label, "move").iters]
            layout = r.choice([_turned, _tiled, _folded, _backwards(extents)])
            s.transform_block_layout(label, layout)
        case "annotate":
            s.annotate(r.choice([label, loop]), "note", r.choice([1, "two", 0.5, True]))
        case "unannotate":
            s.unannotate(r.choice([label, loop]), "note")
        case "loop_partition":
            first = [x.var for x in loops if x.extent is loops[0].extent]
            group = r.sample(first, r.randint(1, min(3, len(first))))
            s.loop_partition(group, r.choice([index(0), index(1), n // 4 * 4, n // 2]))
    return s.trace.steps[-1].name


_MOVES = (
    "bind", "split", "split", "fuse", "reorder", "reorder", "parallel", "vectorize", "unroll",
    "merge", "merge", "cache_write", "set_scope", "compute_at", "compute_at", "compute_at",
    "compute_inline", "decompose_reduction", "decompose_reduction", "rfactor",
    "reindex_cache_read", "blockize", "tensorize", "transform_layout", "loop_partition",
    "split_in_parts",
    "add_unit_loop", "cache_read", "cache_read", "cache_index", "reindex", "reindex",
    "reindex_cache_write", "storage_align", "transform_block_layout", "transform_block_layout",
    "annotate", "unannotate", "reverse_compute_at", "reverse_compute_at", "reverse_compute_inline",
    "reverse_compute_inline", "fuse_reduction_epilogue", "fuse_reduction_epilogue",
    "decompose_padding", "pad_einsum", "rolling_buffer", "rolling_buffer", "software_pipeline",
    "place", "sample_tile", "sample_number", "split_and_tensorize",
    "trim", "decompose_and_trim",
)  # fmt: skip


def at_once(s: Schedule, steps: Callable[[Schedule], object]) -> None:
    """All the steps, or none of them if one is refused."""
    steps(s.at(len(s.trace)))
    steps(s)


def _roll(r: Random, s: Schedule, label: str, loop: Var) -> None:
    at, axis = _near_reader(r, s, label, loop), r.randint(0, 1)

    def steps(t: Schedule) -> None:
        if at not in t.loops(label):
            t.compute_at(label, at)
        t.rolling_buffer(label, axis)

    at_once(s, steps)


def _tile(r: Random, s: Schedule, loop: Var) -> None:
    """A loop cut by factors that are drawn, two or three."""
    parts = r.randint(2, 3)

    extent = get_loop(s.function, loop, "test").extent
    number = int(extent.value) if isinstance(extent, Const) else None
    if number == 0:
        s.sample_perfect_tile(loop, parts)
    elif r.random() < 0.5:
        perfect = PerfectTile(number, parts, 4, 64).draw(r)
        at_once(s, lambda t: t.split(loop, t.sample_perfect_tile(loop, parts, 4, perfect)))
    else:
        inner = 2 if number is None or number % 2 == 0 else 1
        cut = PartitionedTile(number, parts, 1, inner, 64).draw(r)
        at_once(s, lambda t: t.split(loop, t.sample_partitioned_tile(loop, parts, 1, inner, cut)))


def _chooses(block: Block) -> bool:
    return any(isinstance(n, Select) for n in postorder(block.body))


def _writer(r: Random, s: Schedule, label: str) -> str:
    """A block that stores what the block reads, if there is one."""
    block = get_block(s.function, label, "test")
    writers = [
        b.label for b in blocks_in(s.function.body) if b is not block and written(b) & loaded(block)
    ]
    return r.choice(writers or [label])


def _touched(s: Schedule, label: str) -> list[str]:
    """The buffers that a block speaks of."""
    block = get_block(s.function, label, "test")
    return sorted(f"{b.name}{b.ordinal}" for b in loaded(block) | written(block))


def _turned(i: list[Expr]) -> list[Expr]:
    return list(reversed(i))


def _tiled(i: list[Expr]) -> list[Expr]:
    return [i[-1] // 4, *i[:-1], i[-1] % 4] if i else []


def _folded(i: list[Expr]) -> list[Expr]:
    whole = i[0] * 6 + i[1] if len(i) > 1 else index(0)
    return [whole // 4, whole % 4, *i[2:]]


def _backwards(extents: Sequence[Expr]) -> IndexMap:
    """The last axis counted from its end, and in rows of three."""

    def layout(i: Sequence[Expr]) -> Sequence[Expr]:
        last = [extents[-1] - 1 - i[-1]] if i else []
        return [*i[:-1], *[part for e in last for part in (e // 3, e % 3)]]

    return layout


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


def _near_writer(r: Random, s: Schedule, label: str, loop: Var) -> Var:
    """A loop around a block that stores what the block reads, if there is one."""
    block = get_block(s.function, label, "test")
    writers = [
        b.label for b in blocks_in(s.function.body) if b is not block and written(b) & loaded(block)
    ]
    around = s.loops(r.choice(writers)) if writers else []
    return r.choice(around) if around else loop


def _pipeline(r: Random, loops: list[For]) -> tuple[Var, list[int], list[int], list[int]]:
    """Stages and order for a loop, one of several statements if there is one."""
    several = [x for x in loops if isinstance(x.body, Seq)] or loops
    loop = r.choice(several)
    count = len(loop.body.stmts) if isinstance(loop.body, Seq) else 1
    stages = r.choices([0, 1, 2], k=count)
    stages = sorted(stages) if r.random() < 0.8 else stages
    order = list(range(count)) if r.random() < 0.6 else r.sample(range(count), count)
    return loop.var, [s - min(stages) for s in stages], order, r.choice([[], [], [0]])
