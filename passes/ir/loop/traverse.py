"""Statements in the order of their text, and what they store to."""

from __future__ import annotations

from collections.abc import Iterator

from passes.ir.loop.nodes import (
    AsyncWait,
    Block,
    Buffer,
    Load,
    Stmt,
    Store,
    TupleCombiner,
    Update,
    View,
)
from passes.ir.node import Node, postorder


def in_text_order(stmt: Stmt) -> Iterator[Stmt]:
    """The statement and all below it as text lists them: outer ones first, an init before its
    body."""
    yield stmt
    children = (stmt.init, stmt.body) if isinstance(stmt, Block) else stmt.children
    for child in children:
        if isinstance(child, Stmt):
            yield from in_text_order(child)


def combiners_in(stmt: Stmt) -> list[TupleCombiner]:
    """The combiners of the updates below a statement, each once, in the order of the text."""
    updates = [s for s in in_text_order(stmt) if isinstance(s, Update)]
    return list(dict.fromkeys([update.combiner for update in updates]))


def views_in(root: Node) -> dict[Buffer, View]:
    """The views below a node by the buffer they define."""
    return {node.buffer: node for node in postorder(root) if isinstance(node, View)}


def stored_in(root: Node) -> frozenset[Buffer]:
    """The buffers stored to below a node: views and, where such a view is of one, its source."""
    stored = [buffer for node in postorder(root) for buffer in targets_of(node)]
    return _with_sources(stored, views_in(root))


def loaded_in(root: Node) -> frozenset[Buffer]:
    """The buffers read below a node, in the same way; a view alone reads nothing."""
    loaded: list[Buffer] = []
    seen: set[Node] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, Load):
            loaded.append(node.buffer)
        stack.extend(node.source.indices if isinstance(node, View) else node.children)
    return _with_sources(loaded, views_in(root))


def _with_sources(buffers: list[Buffer], views: dict[Buffer, View]) -> frozenset[Buffer]:
    found: set[Buffer] = set()
    for buffer in buffers:
        while buffer not in found:
            found.add(buffer)
            buffer = views[buffer].source.buffer if buffer in views else buffer
    return frozenset(found)


def targets_of(node: Node) -> tuple[Buffer, ...]:
    """The buffers that a statement itself (not one inside it) changes."""
    match node:
        case Store(buffer):
            return (buffer,)
        case Update(targets):
            return tuple([target.buffer for target in targets])
        case AsyncWait(_, _, buffers):
            return buffers
    return ()


def resolved(load: Load, views: dict[Buffer, View]) -> Load:
    """The element of a buffer that is no view of which `load` speaks."""
    while load.buffer in views:
        load = views[load.buffer].at(load.indices)
    return load
