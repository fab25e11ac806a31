"""What a YAML text holds, each part with its place: maps, sequences, scalars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.recipe.diagnostics import Span, shown
from pipeline.recipe.scalars import PlainValue


@dataclass(frozen=True)
class Scalar:
    value: PlainValue
    span: Span


@dataclass(frozen=True)
class Broken:
    """A value that was refused: its error is reported, nothing else is said about it."""

    span: Span


@dataclass(frozen=True)
class Sequence:
    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True)
class Entry:
    key_span: Span
    value: Node


@dataclass(frozen=True)
class Map:
    entries: dict[str, Entry]
    span: Span


Node = Scalar | Broken | Sequence | Map


def child(node: Node | None, step: str) -> Node | None:
    """The part of a map or a list under a key or an index, None if there is none."""
    if isinstance(node, Map):
        entry = node.entries.get(step)
        return entry.value if entry else None
    if isinstance(node, Sequence) and step.isdecimal() and int(step) < len(node.items):
        return node.items[int(step)]
    return None


def describe(node: Node) -> str:
    """A value as messages name it."""
    match node:
        case Map():
            return "a map" if node.entries else "an empty map"
        case Sequence():
            return "a list" if node.items else "an empty list"
        case Scalar(value=None):
            return "nothing (null)"
        case Scalar(value=bool() as value):
            return "true" if value else "false"
        case Scalar(value=str() as value):
            return f'the text "{shown(value)}"'
        case Scalar(value=value):
            return f"the number {value}"
        case Broken():
            return "a refused value"


def is_broken(node: Node) -> bool:
    """Whether part of the value was refused, so that the whole of it cannot be checked."""
    if isinstance(node, Sequence):
        return any(is_broken(item) for item in node.items)
    return isinstance(node, Broken)


def plain(node: Node) -> Any:
    """The tree as plain dicts, lists and scalars; refused values are left out of their maps."""
    match node:
        case Map():
            return {
                key: plain(entry.value)
                for key, entry in node.entries.items()
                if not is_broken(entry.value)
            }
        case Sequence():
            return [plain(item) for item in node.items]
        case Scalar():
            return node.value
        case Broken():
            return None


def leaves(node: Node, path: str = "") -> Iterator[tuple[str, Span]]:
    """The dotted path and place of every scalar, list and list item of a tree."""
    if isinstance(node, Map):
        for key, entry in node.entries.items():
            yield from leaves(entry.value, f"{path}.{key}" if path else key)
        return
    yield path, node.span
    if isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            yield from leaves(item, f"{path}.{index}")
