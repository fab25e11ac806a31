"""Strict YAML: text -> a tree in which every key and value knows its place.

Read from PyYAML's events, without its recursive composer, so that depth and size are bounded
before anything is built. Refused, each with its place: duplicate keys, keys that are not
text, anchors, aliases, merge keys, tags, directives, several documents, scalars that YAML 1.1
and 1.2 read differently (`scalars` says which). All of a file's errors are reported, except
that a syntax error ends the reading.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.recipe.diagnostics import Diagnostic, Phase, Source, Span, shown
from pipeline.recipe.scalars import ScalarError, plain_value
from pipeline.recipe.tree import Broken, Entry, Map, Node, Scalar, Sequence

MAX_BYTES = 64 * 1024
MAX_DEPTH = 16


@dataclass(frozen=True)
class Loaded:
    """The tree of a text, None if there is none, and everything that was wrong with it."""

    tree: Node | None
    diagnostics: list[Diagnostic]


class LoadError(Exception):
    """A file whose text cannot be had at all (missing, too large, not UTF-8)."""

    def __init__(self, reason: str, cure: str, span: Span | None = None):
        super().__init__(reason)
        self.reason = reason
        self.cure = cure
        self.span = span


def read_source(path: Path, label: str) -> Source:
    """The text of a file; raises LoadError if it is no regular, small UTF-8 file."""
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise LoadError(f"{label} {what}", "check the name and the folder it is looked up in")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LoadError(
            f"{label} cannot be read: {error.strerror}", "check the permissions of the file"
        ) from None
    if len(data) > MAX_BYTES:
        raise LoadError(
            f"{label} is larger than {MAX_BYTES // 1024} KiB",
            "a recipe is a short text; is this another kind of file?",
        )
    try:
        return Source(label, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        source = Source(label, data.decode("utf-8-sig", "replace"))
        raise LoadError(
            f"byte 0x{data[error.start]:02x} is not UTF-8",
            "save the file as UTF-8",
            _span_at(source, before),
        ) from None


def load_tree(source: Source, skip: int = 0) -> Loaded:
    """The tree of a source's text; its first `skip` characters are left out, columns kept."""
    builder = _Builder(source)
    text = " " * skip + source.text[skip:]
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if not builder.take(event):
                break
    except yaml.reader.ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        builder.error(
            _span_at(source, source.text[:position]),
            f"character U+{ord(source.text[position]):04X} is not allowed in YAML",
            "remove it, or write it as an escape in double quotes",
        )
        builder.root = None
    except yaml.MarkedYAMLError as error:
        builder.root = None
        builder.syntax_error(error)
    return Loaded(builder.root, builder.found)


@dataclass
class _Frame:
    """A map or a list whose end has not been met yet."""

    start: Any
    is_map: bool
    key: tuple[str | None, Span] | None = None  # a key that waits for its value; None: refused
    entries: dict[str, Entry] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)


class _Builder:
    def __init__(self, source: Source):
        self.source = source
        self.found: list[Diagnostic] = []
        self.root: Node | None = None
        self.stack: list[_Frame] = []
        self.documents = 0

    def error(self, span: Span, reason: str, cure: str) -> None:
        self.found.append(Diagnostic(reason, cure, span, Phase.SYNTAX))

    def span(self, start: Any, end: Any) -> Span:
        return Span(self.source, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def take(self, event: yaml.Event) -> bool:
        """Takes the next event; False: nothing after it is worth reading."""
        span = self.span(event.start_mark, event.end_mark)
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    self.error(span, "a second document starts here", "one file, one document")
                    self.root = None
                    return False
                if event.version or event.tags:
                    self.error(span, "YAML directives are not allowed", "remove the `%` line")
            case yaml.AliasEvent():
                self.error(
                    span,
                    f"alias `*{shown(event.anchor or '')}`: a recipe has no anchors and aliases",
                    "write the value out, or share it through `extends`",
                )
                self.put(Broken(span), span)
            case yaml.ScalarEvent():
                self.scalar(event, span)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                return self.open(event, span)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self.close(event)
        return True

    def refuse_properties(self, event: Any, span: Span) -> bool:
        """Reports an anchor or a tag; True: there was a tag, the value has no known meaning."""
        if event.anchor is not None:
            self.error(
                span,
                f"anchor `&{shown(event.anchor)}`: a recipe has no anchors and aliases",
                "remove the anchor, or share values through `extends`",
            )
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.error(
                span,
                f"tag `{shown(tag)}`: a recipe has no tags",
                "remove the tag; quote a value to make it text",
            )
        return event.tag is not None

    def scalar(self, event: yaml.ScalarEvent, span: Span) -> None:
        frame = self.stack[-1] if self.stack else None
        is_key = frame is not None and frame.is_map and frame.key is None
        node: Node
        if self.refuse_properties(event, span):
            node = Broken(span)
        elif any("\ud800" <= c <= "\udfff" for c in event.value):
            self.error(span, "half of a surrogate pair is no text", "write the character itself")
            node = Broken(span)
        elif event.style is not None:
            node = Scalar(event.value, span)
        elif is_key and event.value == "<<":
            self.error(span, "`<<`: a recipe has no merge keys", "share values through `extends`")
            node = Broken(span)
        else:
            try:
                node = Scalar(plain_value(event.value), span)
            except ScalarError as error:
                self.error(span, error.reason, error.cure)
                node = Broken(span)
        self.put(node, span)

    def open(self, event: Any, span: Span) -> bool:
        self.refuse_properties(event, span)
        if len(self.stack) == MAX_DEPTH:
            self.error(
                span,
                f"maps and lists nested more than {MAX_DEPTH} deep",
                "a recipe is flat: check the brackets and the indentation",
            )
            self.root = None
            return False
        self.stack.append(_Frame(event.start_mark, isinstance(event, yaml.MappingStartEvent)))
        return True

    def close(self, event: yaml.Event) -> None:
        frame = self.stack.pop()
        span = self.span(frame.start, event.end_mark)
        node = Map(frame.entries, span) if frame.is_map else Sequence(tuple(frame.items), span)
        self.put(node, span)

    def put(self, node: Node, span: Span) -> None:
        """Hands a finished node to what holds it: as a key, a value, an item or the root."""
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        if not frame.is_map:
            frame.items.append(node)
        elif frame.key is None:
            frame.key = (self.key(node, span), span)
        else:
            key, key_span = frame.key
            frame.key = None
            if key is not None and key in frame.entries:
                first = frame.entries[key].key_span.line
                self.error(
                    key_span,
                    f"duplicate key `{shown(key)}`, first given in line {first}",
                    "keep one of the two",
                )
            elif key is not None:
                frame.entries[key] = Entry(key_span, node)

    def key(self, node: Node, span: Span) -> str | None:
        if isinstance(node, Broken):
            return None
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return node.value
        self.error(span, "a key must be text", "write a name, or put the key in quotes")
        return None

    def syntax_error(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        span = Span.start_of(self.source) if mark is None else self.span(mark, mark)
        reason = f"not YAML: {error.problem or 'unreadable text'}"
        if error.context:
            reason += f" ({error.context})"
        tab = error.problem is not None and r"'\t'" in error.problem
        cure = (
            "indent with spaces, not tabs"
            if tab
            else "check the quotes, brackets and indentation up to here"
        )
        self.error(span, shown(reason, 200), cure)


def _span_at(source: Source, before: str) -> Span:
    """The place of the character that follows the text `before`."""
    lines = (before + "x").splitlines()
    line, column = len(lines), len(lines[-1])
    return Span(source, line, column, line, column + 1)
