"""Interned immutable nodes: the ground both IRs and the expression language stand on.

Every node class is a frozen dataclass whose instances are hash-consed: building the same node
twice gives the same object, so equality is identity, sharing is free, and a memo may be keyed on
a node. `digest` names a node's content the same way in every process.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, cast, dataclass_transform
from weakref import WeakValueDictionary

T = TypeVar("T", bound="Node")


def _key(value: Any) -> Any:
    """A hashable key that tells `1`, `True` and `1.0` (and `0.0`, `-0.0`) apart."""
    kind = type(value)
    if kind is tuple:
        return tuple([_key(item) for item in value])
    if isinstance(value, Node):
        return value
    if kind is float:
        return (kind, value.hex())
    return (kind, value)


@dataclass_transform(frozen_default=True, eq_default=False)
class _Interned(type):
    """Metaclass: makes each subclass a frozen dataclass and interns its instances."""

    _table: ClassVar[WeakValueDictionary[Any, Node]] = WeakValueDictionary()

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        made: Any = super().__new__(mcs, name, bases, namespace)
        made = dataclass(frozen=True, eq=False, repr=False)(made)
        made._fields = tuple(field.name for field in dataclasses.fields(made))
        return made

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        node = super().__call__(*args, **kwargs)
        values = node.__dict__
        key = (cls, *[_key(values[name]) for name in cls._fields])  # type: ignore[attr-defined]
        found = _Interned._table.get(key)
        if found is not None:
            return found
        node.check()
        _Interned._table[key] = node
        return node


class Node(metaclass=_Interned):
    """Base of all IR nodes. Fields are nodes, scalars, strings, or (nested) tuples of those."""

    def check(self) -> None:
        """Raises `IRError` if the fields do not fit together. Runs once per distinct node."""

    @property
    def children(self) -> tuple[Node, ...]:
        """The nodes held directly in the fields, in field order; computed once."""
        found = self.__dict__.get("_children")
        if found is None:
            found = tuple(_nodes_in(self.values()))
            self.__dict__["_children"] = found
        return cast("tuple[Node, ...]", found)

    def values(self) -> tuple[Any, ...]:
        """The field values in declaration order."""
        return tuple([self.__dict__[name] for name in type(self)._fields])  # type: ignore[attr-defined]

    def replace(self: T, **changes: Any) -> T:
        """The same node with some fields changed."""
        fields = {name: self.__dict__[name] for name in type(self)._fields}  # type: ignore[attr-defined]
        return type(self)(**{**fields, **changes})

    @property
    def digest(self) -> str:
        """128-bit content digest in hex, equal across processes; computed without recursion."""
        found = self.__dict__.get("_digest")
        if found is None:
            for node in postorder(self):
                if "_digest" not in node.__dict__:
                    text = f"{type(node).__name__}{_spell(node.values())}"
                    hashed = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
                    node.__dict__["_digest"] = hashed
            found = self.__dict__["_digest"]
        return cast(str, found)

    def __repr__(self) -> str:
        fields = type(self)._fields  # type: ignore[attr-defined]
        inner = ", ".join(f"{name}={self.__dict__[name]!r}" for name in fields)
        return f"{type(self).__name__}({inner})"


class IRError(ValueError):
    """A node, function or module that breaks a rule of its IR; the text says which and where."""


def _nodes_in(values: tuple[Any, ...]) -> Iterator[Node]:
    for value in values:
        if isinstance(value, Node):
            yield value
        elif type(value) is tuple:
            yield from _nodes_in(value)


def _spell(value: Any) -> str:
    if isinstance(value, Node):
        return "#" + cast(str, value.__dict__["_digest"])
    if type(value) is tuple:
        return "(" + ",".join(_spell(item) for item in value) + ")"
    if type(value) is float:
        return value.hex()
    return f"{type(value).__name__}:{value!r}"


def postorder(*roots: Node) -> list[Node]:
    """All nodes below `roots`, children before parents, each once; iterative."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.children) if child not in seen)
    return order


Rule = Callable[[Node], Node | None]


def rewrite(root: T, rule: Rule, memo: dict[Node, Node] | None = None) -> T:
    """Rebuilds the DAG bottom-up, `rule` giving a node's replacement or None to keep it.

    `rule` sees a node whose children are already rewritten. Nodes it builds are not revisited.
    Pass the same `memo` to share work between roots.
    """
    done: dict[Node, Node] = {} if memo is None else memo
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, expanded = stack.pop()
        if node in done:
            continue
        if not expanded:
            stack.append((node, True))
            stack.extend((child, False) for child in node.children if child not in done)
            continue
        rebuilt = node
        if any(done[child] is not child for child in node.children):
            fields = zip(type(node)._fields, node.values(), strict=True)  # type: ignore[attr-defined]
            rebuilt = type(node)(**{name: _mapped(value, done) for name, value in fields})
        replacement = rule(rebuilt)
        done[node] = rebuilt if replacement is None else replacement
    return cast(T, done[root])


def keep(node: Node) -> Node | None:
    """The rule that changes nothing: for a rewrite whose memo holds the replacements."""
    return None


def _mapped(value: Any, done: dict[Node, Node]) -> Any:
    if isinstance(value, Node):
        return done[value]
    if type(value) is tuple:
        return tuple([_mapped(item, done) for item in value])
    return value
