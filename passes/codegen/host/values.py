"""What an integer input may hold, from what kernels do with it: they index other arrays with it.

Bounds of the arrays -> bounds of the values:

    y[i, k] = table[tokens[i], k]      table: f32[49152, 576]      ->   tokens in 0..49151

An index that is clamped cannot leave its array; there, the values are those that need no clamp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from passes.codegen.host.barriers import launches_of
from passes.ir.arith import free_vars, prove
from passes.ir.expr import Cast, Expr, Max, Min, Var, both, index
from passes.ir.loop.nodes import BlockIter, Buffer, For, Function, Load, Store, View
from passes.ir.node import IRError, Node, postorder, rewrite


def value_range(host: Function, kernels: Mapping[str, Function], param: Buffer) -> tuple[int, int]:
    """The smallest and largest value with which every access is proven to stay inside its array.

    Values are followed where they are copied to other buffers. Raises IRError if there is none.
    """
    bits, signed = param.dtype.bits, param.dtype.is_signed
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    carriers = {param}
    for launch in [launch for phase in launches_of(host) for launch in phase]:
        kernel = kernels[launch.kernel]
        pairs = list(zip(kernel.params, launch.buffers, strict=True))
        own = _copies(kernel, {inner for inner, outer in pairs if outer in carriers})
        for buffer in own:
            low, high = _narrowed(kernel, buffer, low, high)
        carriers |= {outer for inner, outer in pairs if inner in own}
    return low, high


def _copies(kernel: Function, carriers: set[Buffer]) -> list[Buffer]:
    """The buffers of a kernel that hold elements of `carriers`, these included."""
    found = [buffer for buffer in (*kernel.params, *kernel.allocs) if buffer in carriers]
    stores = [node for node in postorder(kernel.body) if isinstance(node, Store)]
    grown = bool(found)
    while grown:
        grown = False
        for store in stores:
            value = store.value
            while isinstance(value, Cast) and value.dtype.is_int:
                value = value.value
            copied = isinstance(value, Load) and value.buffer in found
            if copied and store.buffer.dtype.is_int and store.buffer not in found:
                found.append(store.buffer)
                grown = True
    return found


def _narrowed(kernel: Function, param: Buffer, low: int, high: int) -> tuple[int, int]:
    value = Var("value", -1, param.dtype)
    nodes = postorder(kernel.body)
    ranges: dict[Var, tuple[Expr | int, Expr | int]] = {
        node.var: (0, node.extent - 1) for node in nodes if isinstance(node, For | BlockIter)
    }
    ends = [n.at(tuple([e - 1 for e in n.buffer.shape])) for n in nodes if isinstance(n, View)]
    for node in (*nodes, *ends):
        if not isinstance(node, Load | Store):
            continue
        for place, extent in zip(node.indices, node.buffer.shape, strict=True):
            position = rewrite(place, lambda n: value if _reads(n, param) else None)
            if position is place:
                continue
            inside = both(index(0) <= position, position < extent, *_unclamped(position, value))

            def holds(least: int, most: int, inside: Expr | None = inside) -> bool:
                return inside is None or prove(inside, {**ranges, value: (least, most)})

            if not holds(0, 0):
                raise IRError(
                    f"kernel '{kernel.name}' indexes '{node.buffer.name}{node.buffer.ordinal}' by "
                    f"values of its parameter '{param.name}{param.ordinal}', and not even 0 is "
                    "proven to be inside; clamp the index"
                )
            if low < 0 and not holds(low, 0):
                low = 0
            high = _largest(low, high, holds)
    return low, high


def _largest(low: int, high: int, holds: Callable[[int, int], bool]) -> int:
    """The largest `most` up to `high` with which low..most holds; 0 always does."""
    good, bad = 0, high + 1
    while bad - good > 1:
        # The whole range first: it is what holds for most accesses.
        middle = high if bad == high + 1 and good == 0 else (good + bad) // 2
        if holds(low, middle):
            good = middle
        else:
            bad = middle
    return good


def _unclamped(position: Expr, value: Var) -> list[Expr]:
    """The conditions under which no minimum or maximum inside changes what comes of `value`."""
    found = []
    for node in postorder(position):
        if isinstance(node, Min | Max):
            moving, fixed = node.a, node.b
            if value not in free_vars(moving):
                moving, fixed = fixed, moving
            if value in free_vars(moving) and value not in free_vars(fixed):
                found.append(moving <= fixed if isinstance(node, Min) else fixed <= moving)
    return found


def _reads(node: Node, param: Buffer) -> bool:
    return isinstance(node, Load) and node.buffer is param
