"""tensorize: the innermost reduction of a block becomes one instruction."""

from __future__ import annotations

from passes.ir.arith import linear, simplify, substitute
from passes.ir.dtypes import DType
from passes.ir.expr import Add, Cast, Const, Expr, Mul, Ramp, Var
from passes.ir.loop.nodes import Block, BlockIter, For, Function, Load, Store
from passes.ir.node import Node
from passes.schedule.intrinsics import INTRINSICS, DotIntrinsic
from passes.schedule.tree import ScheduleError, fresh_ordinal, get_loop, replace, spell


def tensorize(function: Function, loop: Var, intrinsic: str) -> Function:
    """Replaces `loop` and the block directly inside it by an instruction of the table.

        for b in range(4): block s: k = reduce(32, g*4 + b); t[] += i32(w[k]) * i32(x[k])
        → block s: k = reduce(8, g)
              t[] = dot4(t[], reinterpret(w[ramp(k*4, 1, 4)], u32), reinterpret(…, i32))

    The loop is the innermost part of the reduce iterator it drives, and both operands are
    contiguous along that iterator.
    """
    at = get_loop(function, loop, "tensorize")
    place = f"loop {spell(loop)} by '{intrinsic}'"
    chosen = INTRINSICS.get(intrinsic)
    if chosen is None:
        reason = f"there is no such intrinsic; known: {', '.join(sorted(INTRINSICS))}"
        raise ScheduleError("tensorize", place, reason, function)
    block = at.body
    if not isinstance(block, Block) or not isinstance(at.extent, Const):
        raise ScheduleError("tensorize", place, "no block directly inside it", function)
    if at.extent.value != chosen.extent:
        reason = f"its extent is {at.extent.value}, the instruction's {chosen.extent}"
        raise ScheduleError("tensorize", place, reason, function)
    number = _driven(block, loop, chosen.extent)
    if number is None:
        reason = "it is not the innermost part of one reduce iterator"
        raise ScheduleError("tensorize", place, reason, function)
    old, binding = block.iters[number], block.bindings[number]
    base = simplify(substitute(binding, {loop: Const(0, loop.dtype)}))
    new = BlockIter(
        Var(old.var.name, fresh_ordinal(function)), simplify(old.extent // chosen.extent), "reduce"
    )
    store = _matched(block, chosen, old.var, new.var)
    if store is None:
        wanted = f"acc += cast({chosen.a_type}) * cast({chosen.b_type}), contiguous operands"
        raise ScheduleError("tensorize", place, f"its body is not {wanted}", function)
    iters = tuple([new if k == number else it for k, it in enumerate(block.iters)])
    quotient = simplify(base // chosen.extent)
    bindings = tuple([quotient if k == number else e for k, e in enumerate(block.bindings)])
    return replace(function, at, block.replace(iters=iters, bindings=bindings, body=store))


def _driven(block: Block, loop: Var, extent: int) -> int | None:
    """The reduce iterator whose binding is `extent * something + loop`, if it is the only one."""
    found = None
    for number, (it, e) in enumerate(zip(block.iters, block.bindings, strict=True)):
        form = linear(e, [loop])
        if form is None:
            return None
        coefficients, rest = form
        if not coefficients:
            continue
        aligned = simplify(rest % extent)
        unit = simplify(coefficients[loop])
        if found is not None or it.kind != "reduce" or not _is(unit, 1) or not _is(aligned, 0):
            return None
        found = number
    return found


def _matched(block: Block, chosen: DotIntrinsic, old: Var, new: Var) -> Store | None:
    store = block.body
    if not isinstance(store, Store) or not isinstance(store.value, Add):
        return None
    acc, term = store.value.a, store.value.b
    if acc is not Load(store.buffer, store.indices) or not isinstance(term, Mul):
        return None
    operands = [(term.a, term.b), (term.b, term.a)]
    for a, b in operands:
        left = _operand(a, chosen.a_type, chosen, old, new)
        right = _operand(b, chosen.b_type, chosen, old, new)
        if left is not None and right is not None and acc.dtype == chosen.acc_type:
            return store.replace(value=chosen.call(acc, left, right))
    return None


def _operand(e: Expr, dtype: DType, chosen: DotIntrinsic, old: Var, new: Var) -> Expr | None:
    """`cast(x[…, k, …])` as the short vector `x[…, ramp(k'*extent, 1, extent), …]`."""
    if not isinstance(e, Cast) or e.dtype != chosen.acc_type or not isinstance(e.value, Load):
        return None
    load = e.value
    if load.buffer.dtype != dtype:
        return None
    indices: list[Expr] = []
    spread = 0
    for axis, i in enumerate(load.indices):
        form = linear(i, [old])
        if form is None:
            return None
        coefficients, rest = form
        if not coefficients:
            indices.append(i)
            continue
        last = axis == len(load.indices) - 1
        if not _is(simplify(coefficients[old]), 1) or not last:
            return None
        spread += 1
        indices.append(Ramp(simplify(rest + new * chosen.extent), 1, chosen.extent))
    return Load(load.buffer, tuple(indices)) if spread == 1 else None


def _is(e: Node, value: int) -> bool:
    return isinstance(e, Const) and e.value == value
