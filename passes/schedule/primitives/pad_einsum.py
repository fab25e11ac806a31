"""pad_einsum: a contraction over whole tiles, whatever its extents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from passes.ir.arith import free_vars, linear, prove, simplify, symbolic_max, symbolic_min
from passes.ir.dtypes import BOOL, INDEX
from passes.ir.expr import (
    Add,
    Cast,
    Const,
    Expr,
    Mul,
    Select,
    Var,
    both,
    ceildiv,
    const,
    index,
    minimum,
)
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import (
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    Load,
    Scope,
    Stmt,
    Store,
    seq,
)
from passes.ir.node import Node, postorder, rewrite
from passes.schedule.accesses import accesses, ranges
from passes.schedule.combiner import Combiner, combiner_of
from passes.schedule.faults import divisors
from passes.schedule.footprints import unfilled
from passes.schedule.legality import checked
from passes.schedule.tree import (
    Refusal,
    blocks_in,
    fresh_label,
    fresh_ordinal,
    loaded,
    loops_in,
    own_nest,
    path_to_block,
    replace,
    spell,
)


def pad_einsum(
    function: Function, label: str, padding: Sequence[int]
) -> tuple[Function, tuple[str, ...]]:
    """Pads each iterator of a reduction to a multiple; gives the labels of the blocks that copy.

        for i in range(n): for k in range(40): block c: y[i] = y[i] + a[i, k]*x[k]     16, 16
        → for i in range(ceildiv(n, 16)*16): for k in range(48):
              block c_a: a_pad[i, k] = select(i < n and k < 40, a[min(i, n - 1), min(k, 39)], 0.0)
          for k in range(48): block c_x: x_pad[k] = select(k < 40, x[min(k, 39)], 0.0)
          for i in range(ceildiv(n, 16)*16): for k in range(48):
              block c: y_pad[i] = y_pad[i] + a_pad[i, k]*x_pad[k]
          for i in range(n): block c_y: y[i] = y_pad[i]

    `padding` has a number for each iterator, in order; where it provably divides the extent,
    nothing is padded. The block has one loop for each iterator and no other, and stores at its own
    spatial iterators. Along a padded reduce iterator padding must combine to nothing: it alone
    indexes an axis of a factor of each product of integers, of all factors of a product of floats
    (infinity times zero is not zero), or of the operand of a maximum or minimum. Where a spatial
    iterator is padded, the reduction is never empty. Raises ScheduleError if one of these does not
    hold.
    """
    found = path_to_block(function, label, "pad_einsum")
    block = found[-1]
    assert isinstance(block, Block)
    refuse = Refusal("pad_einsum", f"block '{label}'", function, label)
    nest = own_nest(found)
    combiner = _contraction(refuse, block)
    _check_loops(refuse, block, loops_in(nest))
    if len(padding) != len(block.iters) or any(m < 1 for m in padding):
        raise refuse(
            f"its {len(block.iters)} iterators need as many positive numbers, not {padding}"
        )
    sizes = {
        it.var: simplify(ceildiv(it.extent, m) * m)
        for it, m in zip(block.iters, padding, strict=True)
        if not prove((it.extent % m).equal(0))
    }
    _check_neutral(refuse, block, combiner, set(sizes))
    _check_filled(refuse, block, set(sizes))
    new, labels = _Padding(refuse, function, block, combiner, sizes).around(nest)
    return checked(new, refuse), labels


def _contraction(refuse: Refusal, block: Block) -> Combiner:
    combiner, init = combiner_of(block), block.init
    if combiner is None or not isinstance(init, Store):
        raise refuse("it does not combine by +, max or min, or has no init")
    if block.predicate is not None or block.views:
        raise refuse("it has a predicate or views")
    axes = [it.var for it in block.iters if it.kind == "spatial"]
    if sorted(map(spell, axes)) != sorted(print_expr(i) for i in combiner.indices):
        raise refuse("it does not store at its own spatial iterators, each once")
    if any(it.kind not in ("spatial", "reduce") for it in block.iters):
        raise refuse("it has iterators that are neither spatial nor reduce")
    if combiner.target in loaded(init):
        raise refuse("its init reads what it stores")
    for divisor in (d for e in (combiner.value, init.value) for d in divisors(e, {})):
        raise refuse(f"the divisor {print_expr(divisor)} may be 0 in the padding")
    return combiner


def _check_loops(refuse: Refusal, block: Block, loops: Sequence[For]) -> None:
    extents: dict[Expr, Expr] = {one.var: one.extent for one in loops}
    for it, e in zip(block.iters, block.bindings, strict=True):
        if e not in extents or not prove(extents.pop(e).equal(it.extent)):
            raise refuse(f"iterator {spell(it.var)} has no loop of its own over its extent")
        if free_vars(it.extent) or loaded(it.extent) or it.var.dtype != INDEX:
            raise refuse(f"the extent {print_expr(it.extent)} is not known at the start")
        for divisor in divisors(it.extent, {}):
            raise refuse(f"the divisor {print_expr(divisor)} of an extent may be 0")
    if extents:
        raise refuse("it has loops that drive no iterator alone")


def _check_neutral(refuse: Refusal, block: Block, combiner: Combiner, padded: set[Var]) -> None:
    """Padding along reduce iterators combines to nothing."""
    summing = isinstance(combiner.combine(combiner.identity, combiner.identity), Add)
    for it in block.iters:
        if it.kind != "reduce" or it.var not in padded:
            continue
        for term in _operands(combiner.value, Add) if summing else [combiner.value]:
            factors = _operands(term, Mul) if summing else [term]
            neutral = [_alone(factor, it.var, casts=summing) for factor in factors]
            if not (all(neutral) if combiner.target.dtype.is_float else any(neutral)):
                reason = f"{print_expr(term)} may not be {print_expr(combiner.identity)}"
                raise refuse(f"{reason} in the padding along reduce iterator {spell(it.var)}")


def _check_filled(refuse: Refusal, block: Block, padded: set[Var]) -> None:
    """What is copied back has been stored: a reduction that is empty stores nothing."""
    if not any(it.kind == "spatial" and it.var in padded for it in block.iters):
        return
    for it in block.iters:
        if it.kind == "reduce" and not prove(it.extent >= 1):
            raise refuse(f"the reduction along {spell(it.var)} may be empty, and start nothing")


def _operands(e: Expr, kind: type[Add | Mul]) -> list[Expr]:
    return _operands(e.a, kind) + _operands(e.b, kind) if isinstance(e, kind) else [e]


def _alone(factor: Expr, v: Var, *, casts: bool) -> bool:
    """Whether the factor is an element with `v` alone as one of its indices."""
    while casts and isinstance(factor, Cast):
        factor = factor.value
    return isinstance(factor, Load) and v in factor.indices


class _Padding:
    """Builds the function in which the block runs over larger extents, those in `sizes`."""

    def __init__(
        self,
        refuse: Refusal,
        function: Function,
        block: Block,
        combiner: Combiner,
        sizes: Mapping[Var, Expr],
    ) -> None:
        self.refuse, self.function, self.block = refuse, function, block
        self.combiner = combiner
        self.extents = {it.var: it.extent for it in block.iters}
        self.sizes = {**self.extents, **sizes}
        self.padded = frozenset(sizes)
        self.labels: list[str] = []

    def around(self, nest: Sequence[Stmt]) -> tuple[Function, tuple[str, ...]]:
        """The function with the block's `nest` padded and the copies around it; their labels."""
        update, init = self.block.body, self.block.init
        assert isinstance(update, Store) and isinstance(init, Store)
        old, axes = update.buffer, update.indices
        swaps: dict[Node, Node] = {}
        for load in postorder(self.combiner.value, init.value):
            if isinstance(load, Load) and free_vars(load) & self.padded:
                swaps[load] = self._operand(load, nest[0])
        new = old
        if self.padded.intersection(axes):
            scope = old.scope if old in self.function.allocs else "global"
            new = self._buffer(old, [self.sizes[v] for v in axes if isinstance(v, Var)], scope)
            swaps[Load(old, axes)] = Load(new, axes)
        block = self.block.replace(
            iters=tuple([it.replace(extent=self.sizes[it.var]) for it in self.block.iters]),
            body=Store(new, axes, rewrite(update.value, swaps.get)),
            init=Store(new, axes, rewrite(init.value, swaps.get)),
        )
        sizes = {e: it.extent for it, e in zip(block.iters, block.bindings, strict=True)}
        grown: Stmt = block
        for one in reversed(loops_in(tuple(nest))):
            grown = one.replace(extent=sizes[one.var], body=grown)
        self.function = replace(self.function, nest[0], grown)
        if new is not old:
            extents = [self.extents[v] for v in axes if isinstance(v, Var)]
            result = self._nest(old, extents, lambda *place: Load(new, place))
            self.function = replace(self.function, grown, seq(grown, result))
        return self.function, tuple(self.labels)

    def _operand(self, load: Load, before: Stmt) -> Load:
        """The load from a padded copy, which is made before that statement."""
        source = load.buffer
        known = {v: (index(0), e - 1) for v, e in self.sizes.items()}
        shape: list[Expr] = []
        bounds: list[Expr | None] = []
        for i, extent in zip(load.indices, source.shape, strict=True):
            if isinstance(i, Var) and i in self.sizes:
                shape.append(self.sizes[i])
                bounds.append(self.extents[i] if i in self.padded else None)
            elif not free_vars(i) & self.padded:
                shape.append(extent)
                bounds.append(None)
            else:
                low, high = symbolic_min(i, self.sizes), symbolic_max(i, self.sizes)
                plain = linear(i, list(self.sizes), known) is not None and not loaded(i)
                if not plain or low is None or high is None or not prove(low >= 0):
                    raise self.refuse(
                        f"the reach of index {print_expr(i)} in the padding is unknown"
                    )
                if not prove(extent >= 1):
                    raise self.refuse(f"'{name_of(source)}' may be empty along {print_expr(i)}")
                shape.append(simplify(high + 1))
                bounds.append(None if prove(high < extent) else extent)
        copy = self._buffer(source, shape, "global")

        def value(*place: Var) -> Expr:
            pairs = list(zip(place, bounds, strict=True))
            inside = [v < bound for v, bound in pairs if bound is not None]
            at = [v if bound is None else minimum(v, simplify(bound - 1)) for v, bound in pairs]
            cond = both(*inside)
            element = Load(source, tuple(at))
            return element if cond is None else Select(cond, element, self._padding(load))

        nest = self._nest(copy, shape, value)
        self.function = replace(self.function, before, seq(nest, before))
        found = accesses(self.function.body)
        read = next(a for a in found if a.block in blocks_in(nest) and a.buffer is source)
        stores = [a for a in found if a.is_store and a.buffer is source]
        around = ranges(self.function)
        if source in self.function.allocs and unfilled([read], stores, around):
            raise self.refuse(f"temporary '{name_of(source)}' may not be all computed before it")
        return Load(copy, load.indices)

    def _padding(self, load: Load) -> Const:
        """What a copy has outside: what combines to nothing where it is the operand itself."""
        if load is self.combiner.value:
            assert isinstance(self.combiner.identity, Const)
            return self.combiner.identity
        return Const(False, BOOL) if load.dtype == BOOL else const(0, load.dtype)

    def _buffer(self, like: Buffer, shape: Sequence[Expr], scope: Scope) -> Buffer:
        first = fresh_ordinal(self.function)
        made = Buffer(f"{like.name}_pad", first, tuple(shape), like.dtype, scope)
        self.function = self.function.replace(allocs=(*self.function.allocs, made))
        return made

    def _nest(self, target: Buffer, extents: Sequence[Expr], value: Callable[..., Expr]) -> Stmt:
        """Loops over the extents with a block that stores `value(place)` at each place."""
        first, rank = fresh_ordinal(self.function), len(extents)
        names = "ijklmn"
        loops = [Var(names[k % 6], first + k) for k in range(rank)]
        own = [v.replace(ordinal=v.ordinal + rank) for v in loops]
        self.labels.append(fresh_label(self.function, f"{self.block.label}_{target.name}"))
        iters = tuple([BlockIter(v, e) for v, e in zip(own, extents, strict=True)])
        store = Store(target, tuple(own), value(*own))
        nest: Stmt = Block(self.labels[-1], iters, tuple(loops), store)
        for var, extent in zip(reversed(loops), reversed(extents), strict=True):
            nest = For(var, extent, nest)
        return nest
