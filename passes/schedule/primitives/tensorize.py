"""tensorize: the innermost reduction of a block becomes one instruction."""

from __future__ import annotations

from passes.ir.arith import free_vars, linear, simplify, substitute
from passes.ir.dtypes import DType
from passes.ir.expr import Add, Cast, Const, Expr, Mul, Ramp, Var
from passes.ir.expr_text import print_expr
from passes.ir.loop.nodes import Block, BlockIter, Function, Load, Store
from passes.schedule.accesses import ranges
from passes.schedule.intrinsics import INTRINSICS, DotIntrinsic
from passes.schedule.tree import Refusal, fresh_ordinal, get_loop, replace, spell


def tensorize(function: Function, loop: Var, intrinsic: str) -> Function:
    """Replaces `loop` and the block directly inside it by an instruction of the table.

        for b in range(4): block s: k = reduce(32, g*4 + b); t[] += i32(w[k]) * i32(x[k])
        → block s: k = reduce(8, g)
              t[] = dot4(t[], reinterpret(w[ramp(k*4, 1, 4)], u32), reinterpret(…, i32))

    The loop is the innermost part of the one reduce iterator it drives, and both operands are
    contiguous along that iterator.
    """
    at = get_loop(function, loop, "tensorize")
    refuse = Refusal("tensorize", f"loop {spell(loop)} by '{intrinsic}'", function, loop)
    chosen = INTRINSICS.get(intrinsic)
    if chosen is None:
        raise refuse(f"there is no such intrinsic; known: {', '.join(sorted(INTRINSICS))}")
    block = at.body
    if not isinstance(block, Block):
        raise refuse("no block stands directly inside it")
    if not isinstance(at.extent, Const) or at.extent.value != chosen.extent:
        raise refuse(f"its extent is {print_expr(at.extent)}, the instruction's {chosen.extent}")
    number = _driven(function, block, loop, chosen.extent)
    if number is None:
        raise refuse("it is not the innermost part of one reduce iterator")
    old, binding = block.iters[number], block.bindings[number]
    if block.predicate is not None and loop in free_vars(block.predicate):
        raise refuse(f"the block's predicate {print_expr(block.predicate)} depends on it")
    base = simplify(substitute(binding, {loop: Const(0, loop.dtype)}))
    new = BlockIter(
        Var(old.var.name, fresh_ordinal(function)), simplify(old.extent // chosen.extent), "reduce"
    )
    store = _matched(block, chosen, old.var, new.var)
    if store is None or (block.init is not None and old.var in free_vars(block.init)):
        wanted = f"acc + cast({chosen.a_type}) * cast({chosen.b_type}) of contiguous operands"
        raise refuse(f"its body does not store {wanted}")
    iters = tuple([new if k == number else it for k, it in enumerate(block.iters)])
    quotient = simplify(base // chosen.extent)
    bindings = tuple([quotient if k == number else e for k, e in enumerate(block.bindings)])
    return replace(function, at, block.replace(iters=iters, bindings=bindings, body=store))


def _driven(function: Function, block: Block, loop: Var, extent: int) -> int | None:
    """The reduce iterator whose binding is `extent * something + loop`, if it is the only one."""
    found = None
    for number, (it, e) in enumerate(zip(block.iters, block.bindings, strict=True)):
        form = linear(e, [loop])
        if form is None:
            return None
        coefficients, rest = form
        if not coefficients:
            continue
        aligned = simplify(rest % extent, ranges(function))
        unit = simplify(coefficients[loop])
        if found is not None or it.kind != "reduce" or not _is(unit, 1) or not _is(aligned, 0):
            return None
        found = number
    return found


def _matched(block: Block, chosen: DotIntrinsic, old: Var, new: Var) -> Store | None:
    """The block's store with the instruction, or None if it is not the one described."""
    store = block.body
    if not isinstance(store, Store) or not isinstance(store.value, Add):
        return None
    acc = Load(store.buffer, store.indices)
    terms = [b for a, b in (store.value.values(), store.value.values()[::-1]) if a is acc]
    if not terms or acc.dtype != chosen.acc_type or old in free_vars(acc):
        return None
    term = terms[0]
    for a, b in [(term.a, term.b), (term.b, term.a)] if isinstance(term, Mul) else []:
        left = _operand(a, chosen.a_type, chosen, old, new)
        right = _operand(b, chosen.b_type, chosen, old, new)
        if left is not None and right is not None:
            return store.replace(value=chosen.call(acc, left, right))
    return None


def _operand(e: Expr, dtype: DType, chosen: DotIntrinsic, old: Var, new: Var) -> Expr | None:
    """`cast(x[…, k, …])` as the short vector `x[…, ramp(k'*extent, 1, extent), …]`."""
    if not isinstance(e, Cast) or e.dtype != chosen.acc_type or not isinstance(e.value, Load):
        return None
    load = e.value
    strides = load.buffer.strides
    if load.buffer.dtype != dtype or (strides is not None and not _is(simplify(strides[-1]), 1)):
        return None
    *outer, last = load.indices
    form = linear(last, [old])
    if form is None or not _is(simplify(form[0].get(old, last)), 1):
        return None
    if any(old in free_vars(i) for i in outer):
        return None
    ramp = Ramp(simplify(form[1] + new * chosen.extent), 1, chosen.extent)
    return Load(load.buffer, (*outer, ramp))


def _is(e: Expr, value: int) -> bool:
    return isinstance(e, Const) and e.value == value
