"""reverse_compute_inline: an elementwise consumer dissolves into its producer."""

from __future__ import annotations

from passes.ir.loop.nodes import Function, Store
from passes.schedule.consumer import consumer_of
from passes.schedule.tree import Refusal, get_block, loaded


def reverse_compute_inline(function: Function, label: str) -> Function:
    """The producer stores what the block makes of its output; block and temporary go away.

        for i: block a: t[i] = x[i] + 1.0
        for h: for d in range(16): block b: y[d, h] = exp(t[h*16 + d])
        → for i: block a: y[i%16, i//16] = exp(x[i] + 1.0)

    The block reads one element of a temporary that it alone reads and one other block stores to,
    by a plain store; its iterators follow from the element's indices. Elements without an
    instance of the block are not computed any more. Nothing between the two may use what the
    block changes, or change what it uses.

    Raises ScheduleError otherwise.
    """
    block = get_block(function, label, "reverse_compute_inline")
    refuse = Refusal("reverse_compute_inline", f"block '{label}'", function, label)
    consumer = consumer_of(refuse, function, block)
    producer, made = consumer.producer, consumer.made
    if producer.init is not None or any(it.kind == "reduce" for it in producer.iters):
        raise refuse(f"block '{producer.label}' is a reduction, whose values come by and by")
    if any(it.kind != "spatial" for it in producer.iters):
        raise refuse(f"block '{producer.label}' has iterators that are not spatial")
    if made.buffer in loaded(producer):
        raise refuse(f"block '{producer.label}' reads what it stores")
    body = Store(consumer.target, consumer.indices, consumer.of(made.value))
    return consumer.into(producer.replace(body=body))
