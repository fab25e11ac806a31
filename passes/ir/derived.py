"""Facts of nodes that follow from their fields and the same facts of their children.

A fact is computed once a node and kept on it: of a program that a step has changed, only the
nodes on the way to the change are looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from passes.ir.node import Node

T = TypeVar("T")
E = TypeVar("E")


class Derived(Generic[T]):
    """`rule(node, facts of its children)` for a node and all below it, calling it on a node.

        size = Derived("size", lambda node, below: 1 + sum(below))
        size(a + b)  ->  3

    With `into`, only children of that class count. `name` is unique among all facts.
    """

    def __init__(
        self, name: str, rule: Callable[[Node, Sequence[T]], T], into: type[Node] = Node
    ) -> None:
        self.memo, self.rule, self.into = f"_{name}", rule, into

    def __call__(self, root: Node) -> T:
        memo = self.memo
        if memo not in root.__dict__:
            self._compute(root)
        found: T = root.__dict__[memo]
        return found

    def _compute(self, root: Node) -> None:
        memo, rule, into = self.memo, self.rule, self.into
        stack = [root]
        while stack:
            node = stack[-1]
            below: list[T] = []
            ready = True
            for child in node.children:
                if into is not Node and not isinstance(child, into):
                    continue
                if memo in child.__dict__:
                    below.append(child.__dict__[memo])
                else:
                    stack.append(child)
                    ready = False
            if ready:
                stack.pop()
                node.__dict__[memo] = rule(node, below)


_NONE: frozenset[object] = frozenset()


def union(sets: Iterable[frozenset[E]]) -> frozenset[E]:
    """The union of the sets; one of them itself where it holds the others."""
    whole: frozenset[E] = _NONE  # type: ignore[assignment]
    for found in sets:
        if found and not found <= whole:
            whole = found if whole <= found else whole | found
    return whole
