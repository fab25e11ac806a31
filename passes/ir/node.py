"""Interned immutable nodes: the ground both IRs and the expression language stand on.

Every node class is a frozen dataclass whose instances are hash-consed: building the same node
twice gives the same object, so equality is identity, sharing is free, and a memo may be keyed on
a node. `digest` names a node's content the same way in every process.
"""

from __future__ import annotations

import builtins
import dataclasses
import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
)
from weakref import ref

from passes.ir.dtypes import DType

T = TypeVar("T", bound="Node")


_AMBIGUOUS = frozenset([bool, int, float, tuple])


def key_of(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A hashable key of values that tells `1`, `True` and `1.0` (and `0.0`, `-0.0`) apart."""
    if _AMBIGUOUS.isdisjoint(map(type, values)):
        return values
    return tuple([_told_apart(value) for value in values])


def _told_apart(value: Any) -> Any:
    kind = type(value)
    if kind is tuple:
        return key_of(value)
    if kind is float:
        return kind, value.hex()
    return (kind, value) if kind in _AMBIGUOUS else value


class _Entry(ref["Node"]):
    """A node in the table of its class, which does not keep it alive."""

    __slots__ = ("key", "table")
    key: Any
    table: dict[Any, _Entry]


def _forget(entry: _Entry) -> None:
    if entry.table.get(entry.key) is entry:
        del entry.table[entry.key]


@dataclass_transform(frozen_default=True, eq_default=False)
class Node:
    """Base of all IR nodes. Fields are nodes, scalars, strings, or (nested) tuples of those.

    Each subclass becomes a frozen dataclass whose instances are interned.
    """

    children: tuple[Node, ...]
    """The nodes held directly in the fields, in field order."""

    _fields: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:

        def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, eq=False, repr=False, init=False)(cls)
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        cls._fields = tuple([field.name for field in fields])
        cls.__new__ = _constructor(cls, fields)  # type: ignore[method-assign]

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


_CONSTRUCTOR = """
def __new__(cls{params}):
    key = {key}
    entry = table.get(key)
    if entry is not None:
        found = entry()
        if found is not None:
            return found
    node = new(cls)
    own = node.__dict__
    {fields}
    own["children"] = {children}
    node.check()
    entry = table[key] = Entry(node, forget)
    entry.key, entry.table = key, table
    return node
"""


def _constructor(cls: type[Node], fields: Sequence[dataclasses.Field[Any]]) -> Callable[..., Any]:
    """`__new__` of a class, written out for its fields: nothing is called as often.

    Where a field's annotation says nodes, types or strings, or tuples of those, its value tells
    itself apart; where it says one node or a tuple of them, those are the children.
    """
    space: dict[str, Any] = {"new": object.__new__, "table": {}, "Entry": _Entry}
    space |= {"forget": _forget, "told_apart": _told_apart, "nodes_in": _nodes_in}
    params, key, children = "", "", ""
    for field in fields:
        name, said = field.name, str(field.type)
        params += f", {name}"
        if field.default is not dataclasses.MISSING:
            space[f"default_{name}"] = field.default
            params += f"=default_{name}"
        known = _named(said, sys.modules[cls.__module__].__dict__, {})
        nodes = {w for w, k in known.items() if isinstance(k, type) and issubclass(k, Node)}
        plain = {w for w, k in known.items() if k in (str, None, tuple, DType) or _is_word(k)}
        key += f"{name}, " if known.keys() <= nodes | plain else f"told_apart({name}), "
        if said in nodes:
            children += f"{name}, "
        elif said in {f"tuple[{node}, ...]" for node in nodes}:
            children += f"*{name}, "
        elif said in {f"{node} | None" for node in nodes}:
            children += f"*(() if {name} is None else ({name},)), "
        elif not known.keys() <= plain | {"bool", "int", "float"}:
            children += f"*nodes_in(({name},)), "
    names = [f'own["{field.name}"] = {field.name}' for field in fields]
    text = _CONSTRUCTOR.format(
        params=params,
        key=f"({key})",
        fields="; ".join(names) or "pass",
        children="key" if key == children else f"({children})",
    )
    exec(compile(text, f"<{cls.__name__}>", "exec"), space)
    made: Callable[..., Any] = space["__new__"]
    return made


def _named(annotation: str, space: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """What the words of an annotation mean, those of aliases that are strings too."""
    for word in re.findall(r"\w+", annotation):
        if word not in known:
            known[word] = space.get(word, getattr(builtins, word, ...))
            if isinstance(known[word], str):
                _named(known[word], space, known)
    return known


def _is_word(meaning: Any) -> bool:
    """Whether it is an alias, of strings or of other annotations."""
    texts = get_args(meaning) if get_origin(meaning) is Literal else (meaning,)
    return all(isinstance(text, str) for text in texts)


def _nodes_in(values: tuple[Any, ...]) -> list[Node]:
    found: list[Node] = []
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
    if where is not None and not where(root):
        return root
    stack: list[Node] = [root]
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
            continue
        left = [child for child in node.children if child not in done]
        if where is not None and left:
            done.update({child: child for child in left if not where(child)})
            left = [child for child in left if child not in done]
        if left:
            stack.extend(reversed(left))
            continue
        stack.pop()
        rebuilt = node
        if any(done[child] is not child for child in node.children):
            rebuilt = type(node)(*[_mapped(value, done) for value in node.values()])
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
