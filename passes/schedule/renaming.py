"""Copies of statements that stand in one program with the original."""

from __future__ import annotations

from collections.abc import Mapping

from passes.ir.expr import Var
from passes.ir.loop.nodes import Block, Buffer, For, Stmt
from passes.ir.node import Node, rewrite
from passes.schedule.tree import statements

_NONE: Mapping[Node, Node] = {}


def renamed(
    root: Stmt, first: int, suffix: str, buffers: Mapping[Node, Node] = _NONE
) -> tuple[Stmt, int]:
    """A copy of `root` with fresh variables from ordinal `first` and suffixed block labels.

    Gives the copy and the next free ordinal. Buffers stay, but for `buffers` and the blocks' own
    views.
    """
    bound: list[Var | Buffer] = []
    for stmt in statements(root):
        if isinstance(stmt, For):
            bound.append(stmt.var)
        elif isinstance(stmt, Block):
            bound.extend(it.var for it in stmt.iters)
            bound.extend(view.buffer for view in stmt.views)
    names: dict[Node, Node] = {v: v.replace(ordinal=first + k) for k, v in enumerate(bound)}
    names.update(buffers)

    def rule(node: Node) -> Node | None:
        if isinstance(node, Block):
            return node.replace(label=node.label + suffix)
        return names.get(node)

    return rewrite(root, rule), first + len(bound)
