"""What is wrong with a recipe, and where: places, messages, their rendering.

Diagnostic(reason, cure, span)  ->  recipes/a.yaml:4:3: error: unknown key `sorce` in `model`
                                      4 |   sorce: file:weights.gguf
                                        |   ^~~~~
                                    cure: did you mean `source`?
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

MAX_LINE_SHOWN = 100
MAX_ERRORS_SHOWN = 50


@dataclass(frozen=True)
class Source:
    """A text that values come from: a file, or one override of the command line.

    `label` is what a reader is shown: a file's path relative to the project root, or the
    words "override `a.b=v`".
    """

    label: str
    text: str
    is_file: bool = True

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def place(self, line: int, column: int) -> str:
        return f"{self.label}:{line}:{column}" if self.is_file else self.label


@dataclass(frozen=True)
class Span:
    """A piece of a source; lines and columns count from 1, the end is exclusive."""

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return self.source.place(self.line, self.column)

    @classmethod
    def start_of(cls, source: Source) -> Span:
        return cls(source, 1, 1, 1, 1)


@dataclass(frozen=True)
class Origin:
    """Where a value of a resolved recipe was written; no span: the schema's default."""

    span: Span | None

    def __str__(self) -> str:
        return "default" if self.span is None else str(self.span)


DEFAULT = Origin(None)


class Phase(IntEnum):
    """What was being done when an error was met; earlier phases cause errors in later ones."""

    SYNTAX = 0
    HEADER = 1
    STRUCTURE = 2
    MEANING = 3


@dataclass(frozen=True)
class Diagnostic:
    """One error: the reason, what to do about it, and the place (if it is in a text)."""

    reason: str
    cure: str
    span: Span | None = None
    phase: Phase = Phase.STRUCTURE

    def render(self) -> str:
        """The error as text; lines of the source are shown with control characters masked."""
        if self.span is None:
            return f"error: {self.reason}\ncure: {self.cure}"
        head = f"{self.span}: error: {self.reason}"
        return "\n".join([head, *_excerpt(self.span), f"cure: {self.cure}"])


class RecipeError(Exception):
    """A recipe that cannot be used; `diagnostics` has every error found, root cause first."""

    def __init__(self, diagnostics: Sequence[Diagnostic]):
        super().__init__(tuple(diagnostics))
        self.diagnostics = list(diagnostics)

    def __str__(self) -> str:
        texts = [diagnostic.render() for diagnostic in self.diagnostics[:MAX_ERRORS_SHOWN]]
        more = len(self.diagnostics) - len(texts)
        return "\n\n".join([*texts, f"and {more} more errors"] if more else texts)


class Report:
    """Collects errors over the phases of loading one recipe.

    `raise_errors` orders them by phase, then by the order in which their texts were read,
    then by place. The same error met twice (in a file, and in what extends it) is kept once.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Diagnostic] = {}
        self._order: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, phase: Phase, span: Span | None, reason: str, cure: str) -> None:
        self._found.setdefault((_place_key(span), reason), Diagnostic(reason, cure, span, phase))

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        for found in diagnostics:
            self.add(found.phase, found.span, found.reason, found.cure)

    def saw(self, source: Source) -> None:
        self._order.setdefault(source.label, len(self._order))

    def raise_errors(self) -> None:
        """Raises RecipeError if anything was found."""
        if self._found:
            raise RecipeError(sorted(self._found.values(), key=self._rank))

    def _rank(self, found: Diagnostic) -> tuple[int, int, int, int]:
        if found.span is None:
            return found.phase, -1, 0, 0
        order = self._order.get(found.span.source.label, len(self._order))
        return found.phase, order, found.span.line, found.span.column


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """The known name closest to a misspelt one, None if none is close."""
    matches = difflib.get_close_matches(word[:200], sorted(known), n=1)
    return matches[0] if matches else None


def name_cure(word: str, known: Iterable[str], what: str) -> str:
    """The cure for an unknown name: the closest known one, or all of them."""
    names = sorted(known)
    close = suggestion(word, names)
    listing = ", ".join(names) if names else "none"
    return f"did you mean `{close}`? ({what}: {listing})" if close else f"{what}: {listing}"


def shown(text: str, limit: int = 60) -> str:
    """Text as it may stand inside a message: printable and short."""
    clipped = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else "�" for c in clipped)


def _place_key(span: Span | None) -> tuple[object, ...]:
    return () if span is None else (span.source.label, span.line, span.column)


def _excerpt(span: Span) -> list[str]:
    lines = span.source.lines
    line = lines[span.line - 1] if span.line <= len(lines) else ""
    start = min(span.column - 1, len(line))
    end = span.end_column - 1 if span.end_line == span.line else len(line.rstrip())
    end = max(end, start + 1)
    line, start, end = _window(line, start, end)
    # Tabs stay tabs and wide characters count double, so the caret stands under its text.
    lead = "".join("\t" if c == "\t" else " " * _width(c) for c in line[:start])
    marked = sum(_width(c) for c in line[start:end]) or 1
    clean = "".join(c if c.isprintable() or c == "\t" else "�" for c in line)
    gutter = f"{span.line:>4}"
    return [
        f"{gutter} | {clean}".rstrip(),
        f"{' ' * len(gutter)} | {lead}^{'~' * (marked - 1)}",
    ]


def _window(line: str, start: int, end: int) -> tuple[str, int, int]:
    """A long line cut to the part around [start, end): line, start, end -> the same, shorter."""
    if len(line) <= MAX_LINE_SHOWN:
        return line, start, end
    first = max(0, min(start - MAX_LINE_SHOWN // 3, len(line) - MAX_LINE_SHOWN))
    last = first + MAX_LINE_SHOWN
    cut = ("…" if first else "") + line[first:last] + ("…" if last < len(line) else "")
    shift = first - (1 if first else 0)
    return cut, start - shift, max(min(end, last) - shift, start - shift + 1)


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
