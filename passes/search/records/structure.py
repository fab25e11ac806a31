"""What kernels that differ only in sizes have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from passes.ir.dtypes import INDEX
from passes.ir.expr import Add, Compare, Const, Dim, FloorDiv, FloorMod, Max, Min, Mul
from passes.ir.loop.nodes import Block, BlockIter, Buffer, For, Function, View
from passes.ir.loop.text import print_function
from passes.ir.loop.traverse import in_text_order
from passes.ir.node import Node, postorder, rewrite

Change = Callable[[Node], Node]

_SIZE = Dim("size", 0, 0)
_EXTENTS: dict[type[Node], tuple[str, ...]] = {
    For: ("extent",),
    BlockIter: ("extent",),
    Buffer: ("shape", "strides"),
    View: ("extents",),
}
"""Fields in which every constant is a size."""
_BOUNDED = (FloorDiv, FloorMod, Min, Max, Compare)
"""What wraps, clamps and guards indices: its constants are sizes."""
_PLACED = (Mul, Add)
"""What lays indices out: its constants are sizes where a loop is as long."""


class Structure(NamedTuple):
    """`digest` names the program without its sizes, `kind` its blocks, which are called after
    operators; `extents` are the constant ones of its loops in the order of the text."""

    digest: str
    kind: str
    extents: tuple[int, ...]


@lru_cache(maxsize=256)
def structure_of(function: Function) -> Structure:
    """What a kernel is like; of one digest are those that do the same to tensors of other shapes.

        for i2 in range(64):                       for i2 in range(size):
            y1[i2] = x0[i2*2 + 1]*f32(0.5)    →        y1[i2] = x0[i2*2 + 1]*f32(0.5)

    Bounds of dims are sizes too; strides, padding and elements are not.
    """
    statements = list(in_text_order(function.body))
    found = [s.extent for s in statements if isinstance(s, For)]
    extents = tuple([int(e.value) for e in found if isinstance(e, Const)])
    labels = [s.label for s in statements if isinstance(s, Block)]
    text = print_function(_without_sizes(function, frozenset(extents) - {0, 1}))
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return Structure(digest, "+".join(labels), extents)


def _without_sizes(function: Function, extents: frozenset[int]) -> Function:
    """The function, whatever its name, with one dim for all its sizes."""
    done: dict[Node, Node] = {}
    for node in postorder(function):
        operand = done.__getitem__
        if isinstance(node, _BOUNDED):
            operand = _constants_of(done, lambda size: True)
        elif isinstance(node, _PLACED):
            operand = _constants_of(done, extents.__contains__)
        sizes = _EXTENTS.get(type(node), ())
        values = [
            _changed(node.__dict__[name], _all_sizes(done) if name in sizes else operand)
            for name in node._fields
        ]
        done[node] = Dim(node.name, 0, 0) if isinstance(node, Dim) else type(node)(*values)
    made = done[function]
    assert isinstance(made, Function)
    return made.replace(name="kernel")


def _constants_of(done: dict[Node, Node], is_size: Callable[[Any], bool]) -> Change:
    """The size for an index that is such a constant; what is `done` for others."""
    return lambda node: _SIZE if _is_index(node) and is_size(node.values()[0]) else done[node]


def _all_sizes(done: dict[Node, Node]) -> Change:
    return lambda node: rewrite(done[node], lambda n: _SIZE if _is_index(n) else None)


def _is_index(node: Node) -> bool:
    return isinstance(node, Const) and node.dtype == INDEX


def _changed(value: Any, change: Change) -> Any:
    if isinstance(value, Node):
        return change(value)
    if type(value) is tuple:
        return tuple([_changed(item, change) for item in value])
    return value
