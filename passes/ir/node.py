"""Interned immutable nodes: the ground both IRs and the expression language stand on.

Every node class is a frozen dataclass whose instances are hash-consed: building the same node
twice gives the same object, so equality is identity, sharing is free, and a memo may be keyed on
a node. `digest` names a node's content the same way in every process.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar, cast, dataclass_transform
from weakref import ref

T = TypeVar("T", bound="Node")


_AMBIGUOUS = frozenset([bool, int, float, tuple])


def key_of(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A hashable key of values that tells `1`, `True` and `1.0` (and `0.0`, `-0.0`) apart."""
    if _AMBIGUOUS.isdisjoint(map(type, values)):
        return values
    key: list[Any] = []
    for value in values:
        kind = type(value)
        if kind is tuple:
            key.append(key_of(value))
        elif kind is float:
            key.append((kind, value.hex()))
        else:
            key.append((kind, value) if kind in _AMBIGUOUS else value)
    return tuple(key)


class _Entry(ref["Node"]):
    """A node of the table, which does not keep it alive."""

    __slots__ = ("key",)
    key: Any


_table: dict[Any, _Entry] = {}


def _forget(entry: _Entry) -> None:
    if _table.get(entry.key) is entry:
        del _table[entry.key]


@dataclass_transform(frozen_default=True, eq_default=False)
class Node:
    """Base of all IR nodes. Fields are nodes, scalars, strings, or (nested) tuples of those.

    Each subclass becomes a frozen dataclass whose instances are interned.
    """

    children: tuple[Node, ...]
    """The nodes held directly in the fields, in field order."""

    _fields: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[tuple[Any, ...]] = ()

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, eq=False, repr=False, init=False)(cls)
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        cls._fields = tuple([field.name for field in fields])
        cls._defaults = tuple([f.default for f in fields if f.default is not dataclasses.MISSING])

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        fields = cls._fields
        if kwargs or len(args) != len(fields):
            args = cls._complete(args, kwargs)
        key = (cls, *key_of(args))
        entry = _table.get(key)
        found = entry() if entry is not None else None
        if found is not None:
            return cast("Self", found)
        node = object.__new__(cls)
        values = node.__dict__
        values.update(zip(fields, args, strict=True))
        values["children"] = tuple(_nodes_in(args))
        node.check()
        entry = _Entry(node, _forget)
        entry.key = key
        _table[key] = entry
        return node

    @classmethod
    def _complete(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The values of all fields in order. Raises TypeError as a call of a function would."""
        names = cls._fields
        absent = len(names) - len(args)
        if not kwargs and 0 < absent <= len(cls._defaults):
            return args + cls._defaults[-absent:]
        values = dict(zip(names[len(names) - len(cls._defaults) :], cls._defaults, strict=True))
        given = dict(zip(names, args, strict=False))
        wrong = [name for name in kwargs if name not in names or name in given]
        values.update(given, **kwargs)
        missing = [name for name in names if name not in values]
        if wrong or missing or len(args) > len(names):
            wanted = f"{cls.__name__}({', '.join(names)})"
            raise TypeError(f"{wanted}: {len(args)} values and {sorted(kwargs)} do not fit")
        return tuple([values[name] for name in names])

    def check(self) -> None:
        """Raises `IRError` if the fields do not fit together. Runs once per distinct node."""

    def values(self) -> tuple[Any, ...]:
        """The field values in declaration order."""
        own = self.__dict__
        return tuple([own[name] for name in self._fields])

    def replace(self: T, **changes: Any) -> T:
        """The same node with some fields changed."""
        if not changes.keys() <= self.__dict__.keys():
            raise TypeError(f"{type(self).__name__} has no fields {sorted(changes)}")
        own = self.__dict__
        return type(self)(*[changes.get(name, own[name]) for name in self._fields])

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
        inner = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._fields)
        return f"{type(self).__name__}({inner})"


class IRError(ValueError):
    """A node, function or module that breaks a rule of its IR; the text says which and where."""


def _nodes_in(values: tuple[Any, ...]) -> list[Node]:
    found = []
    for value in values:
        if isinstance(value, Node):
            found.append(value)
        elif type(value) is tuple:
            found.extend(_nodes_in(value))
    return found


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
            if not node.children:
                order.append(node)
                continue
            stack.append((node, True))
            stack.extend([(child, False) for child in reversed(node.children) if child not in seen])
    return order


Rule = Callable[[Node], Node | None]


def rewrite(
    root: T,
    rule: Rule,
    memo: dict[Node, Node] | None = None,
    where: Callable[[Node], bool] | None = None,
) -> T:
    """Rebuilds the DAG bottom-up, `rule` giving a node's replacement or None to keep it.

    `rule` sees a node whose children are already rewritten. Nodes it builds are not revisited.
    Pass the same `memo` to share work between roots. What is not `where` stays as it is, with
    all that is below it.
    """
    done: dict[Node, Node] = {} if memo is None else memo
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, expanded = stack.pop()
        if node in done:
            continue
        if not expanded:
            if where is not None and not where(node):
                done[node] = node
                continue
            if node.children:
                stack.append((node, True))
                stack.extend([(child, False) for child in node.children if child not in done])
                continue
        rebuilt = node
        for child in node.children:
            if done[child] is not child:
                rebuilt = type(node)(*[_mapped(value, done) for value in node.values()])
                break
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
