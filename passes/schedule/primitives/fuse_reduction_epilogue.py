"""fuse_reduction_epilogue: a reduction also does what is done with its result."""

from __future__ import annotations

from itertools import pairwise

from passes.ir.arith import free_vars, linear, prove
from passes.ir.expr import Binary, Expr, both
from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import Block, Function, If, Load, Stmt, Store, seq
from passes.ir.node import rewrite
from passes.schedule.accesses import ranges
from passes.schedule.combiner import Combiner, combiner_of
from passes.schedule.consumer import Consumer, consumer_of
from passes.schedule.coverage import runs
from passes.schedule.reductions import driving, only_bounded
from passes.schedule.tree import Refusal, get_block, loaded, loops_in, path_to_block, spell


def fuse_reduction_epilogue(function: Function, reduction: str, epilogue: str) -> Function:
    """The reduction combines into what its epilogue stored; epilogue and temporary go away.

        block dot: init t[i, j] = 0;  t[i, j] = t[i, j] + a[i, k]*b[k, j]
        block out: y[i, j] = t[i, j] + c[j]
        → block dot: init y[i, j] = c[j];  y[i, j] = y[i, j] + a[i, k]*b[k, j]

    An epilogue that combines the result with something else as the reduction does (a sum and a
    bias or residual, a maximum and a lower bound) starts the reduction instead. Any other, as
    the relu of a sum, is applied by its last step; its reduce iterators become ordered then:

        block out: y[i, j] = max(t[i, j], 0)
        → block dot: if k == 0: y[i, j] = 0
                     y[i, j] = y[i, j] + a[i, k]*b[k, j]
                     if k == 63: y[i, j] = max(y[i, j], 0)

    What holds of a consumer for `reverse_compute_inline` must hold of the epilogue; both store the
    same type. The first form reassociates, the second is exact. Raises ScheduleError if one of
    these does not hold.
    """
    block = get_block(function, reduction, "fuse_reduction_epilogue")
    place = f"block '{epilogue}' into block '{reduction}'"
    refuse = Refusal("fuse_reduction_epilogue", place, function, epilogue)
    combiner = combiner_of(block)
    if combiner is None or not isinstance(block.init, Store):
        raise refuse("the reduction does not combine by +, max or min, or has no init")
    if block.init.indices != combiner.indices or loaded(block.init) & {combiner.target}:
        raise refuse("the reduction does not start each element it combines into")
    own = get_block(function, epilogue, "fuse_reduction_epilogue")
    consumer = consumer_of(refuse, function, own, block)
    if consumer.target.dtype != combiner.target.dtype:
        kinds = f"{consumer.target.dtype}, the reduction {combiner.target.dtype}"
        raise refuse(f"the epilogue stores {kinds}")
    if consumer.target in loaded(block):
        raise refuse(f"the reduction reads '{name_of(consumer.target)}', which the epilogue stores")
    outside = driving(block, "reduce") - {one.var for one in consumer.producer_loops()}
    if outside:
        name = min(spell(v) for v in outside)
        raise refuse(f"loop {name}, around both, drives the reduction")
    rest = _rest(consumer, combiner)
    if rest is not None:
        return consumer.into(_started(block, consumer, combiner, rest))
    return consumer.into(_finished(refuse, function, consumer))


def _rest(consumer: Consumer, combiner: Combiner) -> Expr | None:
    """What the epilogue combines the element with, if it does it as the reduction does."""
    kind = type(combiner.combine(consumer.element, combiner.identity))
    e = consumer.value
    if not isinstance(e, Binary) or type(e) is not kind:
        return None
    for element, other in ((e.a, e.b), (e.b, e.a)):
        if element is consumer.element and consumer.element not in free_vars(other):
            return other
    return None


def _started(block: Block, consumer: Consumer, combiner: Combiner, rest: Expr) -> Block:
    """The reduction into the consumer's output, starting with what the consumer adds."""
    start = block.init
    assert isinstance(start, Store)
    value = rest if start.value is combiner.identity else combiner.combine(start.value, rest)
    place = consumer.target, consumer.indices
    init = None if value is Load(*place) else Store(*place, value)
    return block.replace(body=_update(consumer), init=init)


def _finished(refuse: Refusal, function: Function, consumer: Consumer) -> Block:
    """The reduction into the consumer's output, the consumer's work done in its last step."""
    block, start = consumer.producer, consumer.producer.init
    assert isinstance(start, Store)
    if consumer.target in loaded(consumer.value):
        raise refuse("its epilogue reads what it stores, and does not just combine the result")
    _check_in_order(refuse, function, block)
    reduced = [it for it in block.iters if it.kind == "reduce"]
    place = consumer.target, consumer.indices
    first = both(*[it.var.equal(0) for it in reduced])
    last = both(*[it.var.equal(it.extent - 1) for it in reduced])
    begin: Stmt = Store(*place, start.value)
    finish: Stmt = Store(*place, consumer.of(Load(*place)))
    body = seq(
        begin if first is None else If(first, begin),
        _update(consumer),
        finish if last is None else If(last, finish),
    )
    iters = tuple([it.replace(kind="ordered") if it in reduced else it for it in block.iters])
    return block.replace(iters=iters, body=body, init=None)


def _update(consumer: Consumer) -> Store:
    made, new = consumer.made, Load(consumer.target, consumer.indices)
    old = Load(made.buffer, made.indices)
    value = rewrite(made.value, lambda n: new if n is old else None)
    return Store(consumer.target, consumer.indices, value)


def _check_in_order(refuse: Refusal, function: Function, block: Block) -> None:
    """The reduce iterators, over their whole extents, end where all of them are greatest."""
    known = ranges(function)
    loops = loops_in(path_to_block(function, block.label, refuse.primitive))
    pairs = [
        (it, e) for it, e in zip(block.iters, block.bindings, strict=True) if it.kind == "reduce"
    ]
    driving_loops = {v for _, e in pairs for v in free_vars(e)}
    own = [one for one in loops if one.var in driving_loops]
    found = runs([e for _, e in pairs], {one.var: one.extent for one in own}, known)
    whole = found is not None and only_bounded(block)
    for (it, e), run in zip(pairs, found or [], strict=bool(found)):
        whole = whole and prove(run.first.equal(0), known) and prove(run.end >= it.extent, known)
        form = linear(e, driving_loops, known)
        steps = [] if form is None else [form[0][one.var] for one in own if one.var in form[0]]
        whole = whole and form is not None
        whole = whole and all(prove(a >= b, known) for a, b in pairwise(steps))
    if not whole:
        raise refuse("the loops may not run the whole of the reduction in order")
