"""cells: products with weights stored in panels of cells, tiled over registers.

for panel of 16 columns, in parallel:
    for tile of rows:                       # then the rows that are left, one by one
        acc = 0                             # rows x 16, in registers
        for cell along K:                   # integer path: dot products of the cell's codes
            …                               # float path: one step of k at a time
        epilogue
"""

from __future__ import annotations

from dataclasses import dataclass

from passes.fuse.panel import ROWS
from passes.ir.arith import free_vars
from passes.ir.expr import Cast, Const, Expr, FloorDiv, Mul, Var
from passes.ir.loop.nodes import Block, For, Function, Load, Scope, Store
from passes.ir.node import postorder
from passes.schedule.combiner import combiner_of
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_block, loaded, written
from passes.search.defaults.shape import (
    blocks,
    constant,
    driven,
    extent,
    inline_maps,
    is_map,
    own_loops,
    reduces,
    top_nests,
    vectorize_lanes,
)
from passes.search.defaults.target import Target

_QUAD = 4  # codes that one dot-product lane takes


@dataclass(frozen=True)
class Product:
    """A sum over the weight's blocks, the dot products that feed it on the integer path, and
    which factor of the innermost product is the weight."""

    label: str
    dots: str | None
    weight: int


def schedule(function: Function, target: Target) -> Schedule | None:
    """None unless the function is products [rows, N] of whole panels and one map that ends it."""
    s = Schedule(function)
    inline_maps(s)
    last = _epilogue(s)
    if last is None:
        return None
    loops = own_loops(s, last)
    products = _products(s, last)
    columns = constant(extent(s, loops[-1])) if loops else None
    if len(loops) != 2 or not products or columns is None or columns % ROWS:
        return None
    integer = products[0].dots is not None
    staged = [] if integer else [_stage_values(s, p) for p in products if not _is_dense(s, p)]
    tiles = _cut_rows(s, extent(s, loops[0]), tile_rows(target, integer), staged)
    panels = [_tile(s, suffix, height, last, products, target) for suffix, height in tiles]
    for other in panels[1:]:
        s.merge(panels[0], other)
    for label in staged:
        s.compute_at(label, panels[0])
        _, column = own_loops(s, label)
        vectorize_lanes(s, column, target.lanes)
    s.parallel(panels[0])
    return s


def tile_rows(target: Target, integer: bool) -> int:
    """Rows of a tile whose accumulators, and on the integer path dot products, fit in registers."""
    vectors = ROWS // target.lanes
    each = 2 * vectors if integer else vectors
    return max(1, min(8, (target.vector_registers - 8) // each))


def _epilogue(s: Schedule) -> str | None:
    """The one block that stores to parameters, split off its reduction if it is one itself."""
    ends = [b for b in blocks(s) if not written(b) <= set(s.function.allocs)]
    if len(ends) != 1:
        return None
    (end,) = ends
    if combiner_of(end) is not None and reduces(end):
        return s.cache_write(end.label, "register")
    return end.label if is_map(end) else None


def _products(s: Schedule, last: str) -> list[Product]:
    """The products that the epilogue reads; empty if anything else is in the program."""
    rest = [b for b in blocks(s) if b.label != last]
    wanted = loaded(get_block(s.function, last, "contraction"))
    found = []
    for block in rest:
        if not written(block) <= wanted:
            continue
        feeds = [b for b in rest if b is not block and written(b) <= loaded(block)]
        inner = feeds[0] if feeds else block
        weight = _weight_factor(inner)
        if len(feeds) > 1 or not reduces(block) or weight is None:
            return []
        found.append(Product(block.label, feeds[0].label if feeds else None, weight))
    known = {p.label for p in found} | {p.dots for p in found}
    uniform = len({p.dots is None for p in found}) == 1
    return found if uniform and all(b.label in known for b in rest) else []


def _weight_factor(block: Block) -> int | None:
    """Which factor of the reduced product does not depend on the row, if the other one does."""
    combiner = combiner_of(block)
    if combiner is None or not isinstance(combiner.value, Mul) or len(combiner.indices) < 2:
        return None
    row, column = combiner.indices[:2]
    if not isinstance(row, Var) or not isinstance(column, Var):
        return None
    factors = (combiner.value.a, combiner.value.b)
    used = [free_vars(e) for e in factors]
    for weight, activation in ((0, 1), (1, 0)):
        apart = row not in used[weight] and column not in used[activation]
        if apart and row in used[activation] and _in_panels(factors[weight], column):
            return weight
    return None


def _in_panels(factor: Expr, column: Var) -> bool:
    """Whether the factor reads panels of `ROWS` columns."""
    panels = [n for n in postorder(factor) if isinstance(n, FloorDiv) and n.a is column]
    return any(isinstance(n.b, Const) and n.b.value == ROWS for n in panels)


def _is_dense(s: Schedule, product: Product) -> bool:
    """Whether the weight's panel holds floats: vectors of it need no decoding."""
    combiner = combiner_of(get_block(s.function, product.label, "contraction"))
    assert combiner is not None and isinstance(combiner.value, Mul)
    value = (combiner.value.a, combiner.value.b)[product.weight]
    while isinstance(value, Cast):
        value = value.value
    return isinstance(value, Load) and value.buffer.dtype.is_float


def _stage_values(s: Schedule, product: Product) -> str:
    """Decodes the weight into a buffer [K, N]; gives the decoding block's label."""
    label = s.reindex_cache_read(product.label, product.weight, "local")
    store = get_block(s.function, label, "contraction").body
    assert isinstance(store, Store)
    s.transform_layout(f"{store.buffer.name}{store.buffer.ordinal}", lambda i: (i[1], i[0]))
    return label


def _cut_rows(s: Schedule, rows: Expr, height: int, staged: list[str]) -> list[tuple[str, int]]:
    """Whole tiles and what is left: (suffix of the labels, rows of a tile) of each part."""
    if isinstance(rows, Const):
        count = int(rows.value)
        return [("", next(r for r in range(min(height, count), 0, -1) if count % r == 0))]
    decoding = {own_loops(s, label)[0] for label in staged}
    nests = [n.var for n in top_nests(s.function) if isinstance(n, For)]
    s.loop_partition([var for var in nests if var not in decoding], rows // height * height)
    return [("", height), ("_tail", 1)]


def _tile(
    s: Schedule, suffix: str, height: int, last: str, products: list[Product], target: Target
) -> Var:
    """Tiles one part of the rows; gives its loop over panels."""
    end = last + suffix
    row, column = own_loops(s, end)
    panel, _ = s.split(column, ROWS)
    if height > 1:
        row, inner = s.split(row, height)
        s.reorder(panel, row, inner)
    else:
        s.reorder(panel, row)
    done = [end]
    for product in products:
        done += _product(s, product, suffix, row, target)
    private: Scope = "register" if len(products) == 1 else "local"
    for product in products:
        store = get_block(s.function, product.label + suffix, "contraction").body
        assert isinstance(store, Store)
        s.set_scope(f"{store.buffer.name}{store.buffer.ordinal}", private)
    for label in done:
        *rows, lanes = own_loops(s, label)
        vectorize_lanes(s, lanes, target.lanes)
        if height > 1:
            s.unroll(rows[-1])
    return panel


def _product(s: Schedule, product: Product, suffix: str, row: Var, target: Target) -> list[str]:
    """Computes one product for each tile; gives the labels of blocks over rows x columns."""
    label = product.label + suffix
    s.compute_at(label, row)
    (step,) = driven(s, label, "reduce")
    s.reorder(step, *driven(s, label, "spatial"))
    done = [s.decompose_reduction(label, step), label]
    if product.dots is None:
        return done
    dots = product.dots + suffix
    s.compute_at(dots, step)
    (along,) = driven(s, dots, "reduce")
    codes = s.reindex_cache_read(dots, product.weight, "register")
    quad, byte = s.split(along, _QUAD)
    s.reorder(quad, *driven(s, dots, "spatial"), byte)
    done += [s.decompose_reduction(dots, quad), dots]
    s.compute_at(codes, quad)
    s.tensorize(byte, target.dot_intrinsic)
    columns, codes_bytes = own_loops(s, codes)
    s.vectorize(codes_bytes)
    vectorize_lanes(s, columns, target.lanes)
    s.unroll(quad)
    buffer = get_block(s.function, dots, "contraction").body
    assert isinstance(buffer, Store)
    s.set_scope(f"{buffer.buffer.name}{buffer.buffer.ordinal}", "register")
    return done
