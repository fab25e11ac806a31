"""Recipe file + everything it extends -> one tree; each value still knows where it was written.

    recipes/b.yaml              recipes/a.yaml
    extends: a.yaml             shapes: {new: {max: 128}, past: {max: 256}}
    shapes: {new: {max: 64}}
                           ->   shapes: {new: {max: 64}, past: {max: 256}}

Maps are merged key by key; anything else, lists too, is replaced. Of several files in `extends`
a later one wins over an earlier one, and the file itself over all of them. A file with a `kind`
is a building block: it fills the section of that name and nothing else. Every file is checked by
itself as well, so an error is not hidden by a value that replaces it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.recipe.diagnostics import Phase, Report, Span, name_cure, shown, suggestion
from pipeline.recipe.loader import LoadError, load_tree, read_source
from pipeline.recipe.schema import KINDS, SCHEMA_VERSION, Recipe, keys_of
from pipeline.recipe.tree import Broken, Entry, Map, Node, Scalar, Sequence, describe
from pipeline.recipe.validate import check

HEADER = ("kind", "extends")
LEVEL_KIND = "target-level"
MAX_CHAIN = 16
MAX_FILES = 64


@dataclass(frozen=True)
class Part:
    """A file with all it extends. Not complete: some of it could not be read."""

    tree: Map
    kind: str | None
    complete: bool


def merge(base: Map, over: Map) -> Map:
    """`base` with the values of `over` laid on it: maps key by key, all else replaced."""
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        below = base.entries.get(key)
        if below is not None and isinstance(below.value, Map) and isinstance(entry.value, Map):
            entry = Entry(entry.key_span, merge(below.value, entry.value))
        entries[key] = entry
    return Map(entries, over.span)


def label_of(path: Path, root: Path) -> str:
    """A path as messages show it: relative to the project's root where it is below it."""
    absolute = Path(os.path.abspath(path))
    base = Path(os.path.abspath(root))
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else str(path)


def read_map(path: Path, label: str, report: Report, asked: Span | None) -> Map | None:
    """The map that a file holds; None if it cannot be read, then `report` says why.

    `asked`: the place that names the file, if a file does.
    """
    try:
        source = read_source(path, label)
    except LoadError as error:
        report.add(Phase.SYNTAX, error.span or asked, error.reason, error.cure)
        return None
    report.saw(source)
    loaded = load_tree(source)
    report.extend(loaded.diagnostics)
    if isinstance(loaded.tree, Map):
        return loaded.tree
    if not loaded.diagnostics:
        found = "the file is empty" if loaded.tree is None else _not_a_map(loaded.tree)
        report.add(Phase.SYNTAX, Span.start_of(source), found, "start it with the line `schema: 1`")
    return None


def check_schema_version(tree: Map, report: Report) -> bool:
    """Whether a file says that it is written in the schema that is read here."""
    entry = tree.entries.get("schema")
    if entry is None:
        near = suggestion("schema", [k for k in tree.entries if k not in keys_of(Recipe)])
        report.add(
            Phase.HEADER,
            tree.entries[near].key_span if near else tree.span,
            "missing key `schema`" + (f", found `{shown(near)}`" if near else ""),
            f"add `schema: {SCHEMA_VERSION}` as the first line"
            if near is None
            else f"write `schema: {SCHEMA_VERSION}`",
        )
        return False
    value = entry.value
    if isinstance(value, Broken):
        return False
    if isinstance(value, Scalar) and type(value.value) is int and value.value == SCHEMA_VERSION:
        return True
    report.add(
        Phase.HEADER,
        value.span if isinstance(value, Scalar) else entry.key_span,
        f"`schema` must be the number {SCHEMA_VERSION}, found {describe(value)}",
        f"write `schema: {SCHEMA_VERSION}`; a newer schema needs a newer tensorkiln",
    )
    return False


def _not_a_map(node: Node) -> str:
    return f"the file must hold a map, found {describe(node)}"


class Composer:
    """Reads one recipe and what it extends; every error goes to `report`."""

    def __init__(self, recipe: Path, root: Path, report: Report):
        self.root = root
        self.report = report
        self.folders = (root.resolve(), recipe.resolve().parent)
        self.parts: dict[Path, Part] = {}
        self.files: list[Path] = []

    def part(
        self, path: Path, chain: tuple[Path, ...] = (), asked: Span | None = None
    ) -> Part | None:
        """A file with all it extends; None if it cannot be read."""
        identity = path.resolve()
        if identity not in self.parts:
            self.files.append(path)
            tree = read_map(path, label_of(path, self.root), self.report, asked)
            if tree is None:
                return None
            self.parts[identity] = self.compose(path, tree, (*chain, identity))
        return self.parts[identity]

    def compose(self, path: Path, tree: Map, chain: tuple[Path, ...]) -> Part:
        kind, known = self.kind(tree)
        if not check_schema_version(tree, self.report) or not known or kind == LEVEL_KIND:
            return Part(Map({}, tree.span), kind, complete=False)
        body = Map({k: e for k, e in tree.entries.items() if k not in HEADER}, tree.span)
        if kind is not None:
            self.check_block(kind, body)
        check(Recipe, body, self.report, partial=True, header=HEADER)
        merged, complete = Map({}, tree.span), True
        for below, span in self.extended(path, tree, chain):
            if below is None or not below.complete:
                complete = False
            if below is None or not self.may_extend(kind, below.kind, span):
                complete = False
                continue
            merged = merge(merged, below.tree)
        return Part(merge(merged, body), kind, complete)

    def kind(self, tree: Map) -> tuple[str | None, bool]:
        """The kind of a file (None: a recipe), and whether such a kind exists."""
        entry = tree.entries.get("kind")
        if entry is None:
            return None, True
        if isinstance(entry.value, Broken):
            return None, False
        name = entry.value.value if isinstance(entry.value, Scalar) else None
        kinds = (*KINDS, LEVEL_KIND)
        if isinstance(name, str) and name in kinds:
            return name, True
        self.report.add(
            Phase.HEADER,
            entry.value.span if isinstance(entry.value, Scalar) else entry.key_span,
            f"unknown kind of building block: {describe(entry.value)}",
            name_cure(str(name), kinds, "kinds") + "; a recipe has no `kind`",
        )
        return None, False

    def check_block(self, kind: str, body: Map) -> None:
        for key, entry in body.entries.items():
            if key in keys_of(Recipe) and key not in ("schema", kind):
                self.report.add(
                    Phase.HEADER,
                    entry.key_span,
                    f"a building block of kind `{kind}` may not fill `{key}`",
                    "move it to the recipe"
                    + (f", or to a building block of kind `{key}`" if key in KINDS else ""),
                )

    def may_extend(self, kind: str | None, below: str | None, span: Span) -> bool:
        if below == LEVEL_KIND:
            self.report.add(
                Phase.HEADER,
                span,
                "this file describes a CPU level, it is no building block",
                "name the level in `target.levels` instead",
            )
            return False
        if kind is None or kind == below:
            return True
        found = "a recipe" if below is None else f"of kind `{below}`"
        self.report.add(
            Phase.HEADER,
            span,
            f"a building block of kind `{kind}` may only extend its own kind, this file is {found}",
            "extend both from the recipe",
        )
        return False

    def extended(
        self, path: Path, tree: Map, chain: tuple[Path, ...]
    ) -> list[tuple[Part | None, Span]]:
        """The files that `extends` names, each read (None: it cannot be), and where it is named."""
        entry = tree.entries.get("extends")
        if entry is None:
            return []
        value = entry.value
        items = value.items if isinstance(value, Sequence) else (value,)
        return [(self.one_extended(path, item, entry.key_span, chain), item.span) for item in items]

    def one_extended(
        self, path: Path, item: Node, key_span: Span, chain: tuple[Path, ...]
    ) -> Part | None:
        if isinstance(item, Broken):
            return None
        name = item.value if isinstance(item, Scalar) else None
        if not isinstance(name, str) or not name:
            self.wrong_extends(
                item.span if isinstance(item, Scalar) else key_span,
                f"`extends` must be a path or a list of paths, found {describe(item)}",
                "write the path of a file, relative to this one",
            )
            return None
        target = Path(os.path.normpath(path.parent / name))
        identity = self.inside(target)
        if "\\" in name or PurePosixPath(name).is_absolute() or identity is None:
            self.wrong_extends(
                item.span,
                f"`{shown(name)}` is no path inside the project",
                "write a path relative to this file, with `/` between folders",
            )
        elif identity in chain:
            cycle = [*chain[chain.index(identity) :], identity]
            self.wrong_extends(
                item.span,
                "`extends` goes in a circle: "
                + " -> ".join(label_of(step, self.root.resolve()) for step in cycle),
                "remove one of these `extends`",
            )
        elif len(chain) == MAX_CHAIN or len(self.files) == MAX_FILES:
            self.wrong_extends(
                item.span,
                f"more than {MAX_CHAIN} files extend each other in a row, or {MAX_FILES} in all",
                "put what they share into one file",
            )
        elif not target.is_file():
            near = suggestion(target.name, (file.name for file in target.parent.glob("*.yaml")))
            self.wrong_extends(
                item.span,
                f"there is no file {label_of(target, self.root)}",
                f"did you mean `{PurePosixPath(name).with_name(near)}`?"
                if near
                else "paths in `extends` are relative to the file they stand in",
            )
        else:
            return self.part(target, chain, item.span)
        return None

    def inside(self, target: Path) -> Path | None:
        """The one true path of a file, None if it is not in the project (or cannot be a path)."""
        try:
            identity = target.resolve()
            identity.is_file()
        except (OSError, ValueError, RuntimeError):  # too long, a null character, a link to itself
            return None
        return identity if any(identity.is_relative_to(f) for f in self.folders) else None

    def wrong_extends(self, span: Span, reason: str, cure: str) -> None:
        self.report.add(Phase.HEADER, span, reason, cure)
