"""Facts of nodes that follow from their fields and the same facts of their children.

A fact is computed once a node and kept on it: of a program that a step has changed, only the
nodes on the way to the change are looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from passes.ir.node import Node, postorder

T = TypeVar("T")
E = TypeVar("E")
_DEEP = 100


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
        known = root.__dict__
        if self.memo not in known:
            return self._compute(root)
        found: T = known[self.memo]
        return found

    def _compute(self, root: Node, room: int = _DEEP) -> T:
        memo, into = self.memo, self.into
        below: list[T] = []
        for child in root.children:
            if isinstance(child, into):
                known = child.__dict__
                if memo not in known:
                    if room:
                        self._compute(child, room - 1)
                    else:
                        self._from_below(child)
                below.append(known[memo])
        found = root.__dict__[memo] = self.rule(root, below)
        return found

    def _from_below(self, root: Node) -> None:
        """`_compute` without recursion."""
        for node in postorder(root):
            if isinstance(node, self.into) and self.memo not in node.__dict__:
                self._compute(node)


_NONE: frozenset[object] = frozenset()


def union(sets: Iterable[frozenset[E]]) -> frozenset[E]:
    """The union of the sets; one of them itself where it holds the others."""
    whole: frozenset[E] = _NONE  # type: ignore[assignment]
    for found in sets:
        if found and not found <= whole:
            whole = found if whole <= found else whole | found
    return whole
