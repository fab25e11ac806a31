"""transform_layout: a buffer stored in another order."""

from __future__ import annotations

from collections.abc import Mapping

from passes.ir.arith import linear, prove, simplify, substitute, symbolic_min
from passes.ir.expr import Const, Expr, Lt, Not, Var, const, index, maximum
from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import (
    AsyncWait,
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    Load,
    Seq,
    Stmt,
    Store,
    seq,
)
from passes.ir.node import IRError, Node
from passes.schedule.layouts import Image, IndexMap, image_of
from passes.schedule.legality import checked, private_to
from passes.schedule.tree import (
    Refusal,
    blocks_in,
    exchange,
    fresh_label,
    fresh_ordinal,
    get_buffer,
    loaded,
    mentions,
    replace,
    written,
)

__all__ = ["IndexMap", "transform_layout"]


def transform_layout(
    function: Function, buffer: str, layout: IndexMap, pad: bool | int | float | None = None
) -> Function:
    """Element `i` of the buffer moves to `layout(i)`; the shape becomes what that reaches.

        y[i, j] with layout (i, j) → (j//16, i, j%16)
        → y[j//16, i, j%16], shape [n, 64] → [4, n, 16]

        t[i, j] with layout (i, j) → (i, j ^ (i%4)), a swizzle: columns of a row change places

    No two elements may meet in one place. Where the layout does not fill its shape, the places
    between are padding, which the function neither reads nor stores to; with `pad` they hold that
    value. A block `y_pad` stores it before the buffer is used, except to a parameter that is only
    read: its caller does.

    A parameter changes for the function's callers too: weights are folded at build time,
    activations must change in producer and consumer alike. Raises ScheduleError if two may meet,
    for vectors of the buffer, and for views of it.
    """
    old = get_buffer(function, buffer, "transform_layout")
    refuse = Refusal("transform_layout", f"buffer '{buffer}'", function, old)
    if old.pitch is not None:
        raise refuse("its rows are aligned; that comes after its layout")
    if old.strides is not None:
        raise refuse("it is a view with strides of its own")
    if old.distribution is not None:
        raise refuse("its elements are distributed")
    axes = [Var("i", k) for k in range(len(old.shape))]
    image = image_of(refuse, layout, axes, old.shape)
    found = mentions(function.body, old)
    uses = [n for n in found if isinstance(n, Load | Store) and n.buffer is old]
    if any(i.dtype.lanes > 1 for n in uses for i in n.indices):
        raise refuse("it is accessed by vectors")
    for block in blocks_in(function.body):
        for view in block.views:
            if view.source.buffer is old:
                raise refuse(
                    f"block '{block.label}' has view '{name_of(view.buffer)}' of it, whose region"
                    " may not stay one; change the layout before the block gets views"
                )
    new = old.replace(ordinal=fresh_ordinal(function), shape=image.shape)

    def move(node: Node) -> Node | None:
        if isinstance(node, Load | Store) and node.buffer is old:
            indices = tuple([simplify(e) for e in layout(node.indices)])
            return node.replace(buffer=new, indices=indices)
        if isinstance(node, AsyncWait):
            return node.replace(buffers=tuple([new if b is old else b for b in node.buffers]))
        return None

    moved = function.replace(
        body=exchange(function.body, old, move),
        params=tuple([new if b is old else b for b in function.params]),
        allocs=tuple([new if b is old else b for b in function.allocs]),
    )
    if pad is None:
        return moved
    return checked(_padded(refuse, moved, new, image, pad), refuse)


def _padded(
    refuse: Refusal, function: Function, buffer: Buffer, image: Image, pad: bool | int | float
) -> Function:
    """The function with the padding filled before the buffer is used."""
    first = fresh_ordinal(function)
    loops = [Var("p", first + k) for k in range(len(buffer.shape))]
    found = image.back(loops)
    if found is None:
        raise refuse("what is padding is unknown: the layout cannot be turned round")
    try:
        value = const(pad, buffer.dtype)
    except IRError:
        raise refuse(f"its type {buffer.dtype} has no value {pad}") from None
    user = _first_user(function.body, buffer)
    if user is None or (buffer in function.params and buffer not in written(function.body)):
        return function
    first += len(loops)
    for condition in found[1]:
        names = {p: p.replace(ordinal=first + k) for k, p in enumerate(loops)}
        iters = [p.replace(ordinal=first + len(loops) + k) for k, p in enumerate(loops)]
        first += 2 * len(loops)
        label = fresh_label(function, f"{buffer.name}_pad")
        bases = _bases(condition, dict(zip(loops, buffer.shape, strict=True)))
        places: dict[Var, Expr] = {p: simplify(bases[p] + names[p]) for p in loops}
        body: Stmt = Block(
            label,
            tuple([BlockIter(v, e) for v, e in zip(iters, buffer.shape, strict=True)]),
            tuple(places.values()),
            Store(buffer, tuple(iters), value),
            None,
            simplify(substitute(Not(condition), places)),
        )
        for p, extent in reversed(list(zip(loops, buffer.shape, strict=True))):
            body = For(names[p], simplify(extent - bases[p]), body)
        function = replace(function, user, seq(body, user))
    return function


def _first_user(body: Stmt, buffer: Buffer) -> Stmt | None:
    """The first statement with the buffer, inside the loops whose iterations each have it alone."""
    parts = body.stmts if isinstance(body, Seq) else (body,)
    users = [s for s in parts if buffer in written(s) | loaded(s)]
    if not users:
        return None
    only = users[0]
    if len(users) == 1 and isinstance(only, For) and private_to(only.kind, buffer.scope):
        return _first_user(only.body, buffer)
    return only


def _bases(condition: Expr, places: Mapping[Var, Expr]) -> dict[Var, Expr]:
    """Where each place begins that does not meet the condition.

    p*48 + q < 500 with q < 48   →   p from 10 on, q from 0 on
    """
    bases: dict[Var, Expr] = dict.fromkeys(places, index(0))
    form = linear(condition.b - condition.a, list(places)) if isinstance(condition, Lt) else None
    if form is None:
        return bases
    steps = {p: -int(c.value) for p, c in form[0].items() if isinstance(c, Const)}
    if len(steps) < len(form[0]) or max(steps.values(), default=0) < 1:
        return bases
    outer = max(steps, key=lambda p: steps[p])
    rest = form[1]
    for p, step in steps.items():
        if p is not outer:
            rest = rest - p * step
    inner = {p: extent for p, extent in places.items() if p is not outer}
    least = symbolic_min(rest, inner)
    if least is not None:
        base = simplify((least + (steps[outer] - 1)) // steps[outer])
        bases[outer] = base if prove(base >= 0) else maximum(base, 0)
    return bases
