"""layout_rewrite: constants lie in the order in which tiles read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from passes.ir.arith import free_vars, linear, substitute
from passes.ir.expr import Const, Expr, Var
from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import Block, Buffer, For, Load
from passes.ir.node import postorder
from passes.schedule.layouts import IndexMap
from passes.schedule.schedule import Schedule
from passes.schedule.tree import get_block, loops_in, path_to_block
from passes.search.defaults.choose import choose_whether
from passes.search.defaults.shape import blocks, constant
from passes.search.space.rule import Context
from passes.search.space.rules.attempts import attempted
from passes.search.space.rules.facts import is_in_lanes

_WRITTEN_OUT = ("vectorized", "unrolled")


@dataclass(frozen=True)
class LayoutRewrite:
    """A constant parameter in tiles: what lanes and unrolled code read of it side by side, the
    tiles in the order of the loops. Its values take that layout when the package is built.

    for j_o: for k: for j_i in vectorized(16): … w[j_o*16 + j_i, k]
    → w[j, k] lies at w[j // 16, k, j % 16]
    """

    name: str = "layout_rewrite"
    group: str = "layout"

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        block = get_block(s.function, label, self.name)
        for number in sorted(context.constants):
            buffer = s.function.params[number]
            reading = [b for b in blocks(s) if _loads(b, buffer)]
            last = bool(reading) and reading[-1] is block
            if last and all(is_in_lanes(s, one.label) for one in reading):
                steps = partial(_laid_out, first=reading[0], buffer=buffer)
                attempted(s, self.name, label, steps)
        return [s]


def _loads(block: Block, buffer: Buffer) -> list[Load]:
    return [n for n in postorder(block.body) if isinstance(n, Load) and n.buffer is buffer]


def _laid_out(s: Schedule, first: Block, buffer: Buffer) -> None:
    """As the first block, which is that of the largest tiles, reads the buffer first."""
    load, name = _loads(first, buffer)[0], name_of(buffer)
    around = loops_in(path_to_block(s.function, first.label, "layout_rewrite"))
    bindings: dict[Var, Expr] = dict(
        zip([it.var for it in first.iters], first.bindings, strict=True)
    )
    indices = [substitute(i, bindings) for i in load.indices]
    sizes = [_written_out(i, around) for i in indices]
    tiles = sorted(range(len(sizes)), key=lambda k: (_outermost(indices[k], around, False), k))
    inner = sorted(range(len(sizes)), key=lambda k: (_outermost(indices[k], around, True), k))
    inner = [k for k in inner if sizes[k] > 1]
    plain = [*range(len(sizes))]
    if tiles == plain and (not inner or inner == plain[-1:]) and not _is_cut(tiles, inner):
        return
    if choose_whether(s, f"{name}: in the order of tiles", True):
        s.transform_layout(name, _layout(tiles, inner, sizes), 0)


def _is_cut(tiles: Sequence[int], inner: Sequence[int]) -> bool:
    """Whether anything lies between the tiles of an axis and what is inside them."""
    return bool(inner) and tiles[-1] != inner[0]


def _layout(tiles: Sequence[int], inner: Sequence[int], sizes: Sequence[int]) -> IndexMap:
    def layout(i: Sequence[Expr]) -> list[Expr]:
        return [*[i[k] // sizes[k] for k in tiles], *[i[k] % sizes[k] for k in inner]]

    return layout


def _written_out(index: Expr, around: Sequence[For]) -> int:
    """How many neighbours along an axis lanes and unrolled code read."""
    loops = {loop.var: loop for loop in around if loop.kind in _WRITTEN_OUT}
    form = linear(index, list(loops))
    if form is None:
        return 1
    steps = [(int(c.value), loops[v]) for v, c in form[0].items() if isinstance(c, Const)]
    size = 1
    for step, loop in sorted(steps, key=lambda one: one[0]):
        if step == size:
            size *= constant(loop.extent) or 1
    return size


def _outermost(index: Expr, around: Sequence[For], written_out: bool) -> int:
    """The number of the first loop, of those written out or of the others, that moves an index."""
    used = free_vars(index)
    found = [
        number
        for number, loop in enumerate(around)
        if loop.var in used and (loop.kind in _WRITTEN_OUT) == written_out
    ]
    return found[0] if found else len(around)
