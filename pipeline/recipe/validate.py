"""A tree of values -> a typed model, or every error in it with its place and its cure.

pydantic decides what is wrong; here its errors become ours: the place comes from the tree, the
reason says what was expected and what was found, and errors that another one explains are
left out (a misspelt key explains the key that is missing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.recipe.diagnostics import Phase, Report, Span, shown, suggestion
from pipeline.recipe.schema import keys_of, section_of, value_paths
from pipeline.recipe.tree import Map, Node, Scalar, Sequence, child, describe, is_broken, plain

ModelT = TypeVar("ModelT", bound=BaseModel)
_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "model_type": "a map",
    "dict_type": "a map",
    "union_tag_not_found": "`native` or a list",
}
_LIMITS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than_equal": lambda c: f"at least {_number(c['ge'])}",
    "less_than_equal": lambda c: f"at most {_number(c['le'])}",
    "too_short": lambda c: f"{_collection(c)} of at least {c['min_length']}",
    "too_long": lambda c: f"{_collection(c)} of at most {c['max_length']}",
}
_PATTERNS = {
    r"^sha256:[0-9a-f]{64}$": "`sha256:` and 64 hexadecimal digits",
    r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$": "a name of lower-case letters, digits, `.`, `_`, `-`",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "a name of letters, digits and `_`",
}


def check(
    kind: type[ModelT],
    tree: Map,
    report: Report,
    *,
    partial: bool = False,
    header: tuple[str, ...] = (),
    context: Mapping[str, Any] | None = None,
) -> ModelT | None:
    """The typed model of a tree, None if it has errors; they go to `report`.

    `header`: keys that the top of a file may have besides, already taken out of the tree.

    `partial`: the tree is one file of several, so a missing key is no error, and the meaning
    of values (which others may replace) is not judged.
    """
    try:
        model = kind.model_validate(plain(tree), context=dict(context or {}))
    except ValidationError as error:
        _Errors(kind, tree, report, partial, header).add(error.errors(include_url=False))
        return None
    return model


class _Errors:
    def __init__(
        self,
        kind: type[BaseModel],
        tree: Map,
        report: Report,
        partial: bool,
        header: tuple[str, ...],
    ):
        self.kind = kind
        self.header = header
        self.tree = tree
        self.report = report
        self.partial = partial

    def add(self, errors: list[ErrorDetails]) -> None:
        explained: set[str] = set()
        for error in errors:
            if error["type"] == "extra_forbidden":
                explained.add(self.unknown_key(error))
        for error in errors:
            if error["type"] == "missing":
                self.missing(error, explained)
            elif error["type"] == "recipe":
                self.meaning(error)
            elif error["type"] != "extra_forbidden":
                self.wrong_value(error)

    def unknown_key(self, error: ErrorDetails) -> str:
        """Reports an unknown key; gives the path that it was probably meant to be."""
        *above, key = self.path(error)
        section = self.section(above)
        known = [*keys_of(section), *(() if above else self.header)]
        where = f" in `{'.'.join(above)}`" if above else ""
        near = suggestion(key, known)
        elsewhere = [p for p in value_paths(self.kind) if p.rpartition(".")[2] == key]
        meant = ""
        if near is not None:
            meant = ".".join([*above, near])
            cure = f"did you mean `{near}`?"
        elif len(elsewhere) == 1:
            meant = elsewhere[0]
            cure = f"did you mean `{meant}`? Move it there"
        else:
            cure = f"the keys known here are {', '.join(known)}"
        self.report.add(
            Phase.STRUCTURE,
            self.key_span([*above, key]),
            f"unknown key `{shown(key)}`{where}",
            cure,
        )
        return meant

    def missing(self, error: ErrorDetails, explained: set[str]) -> None:
        *above, key = self.path(error)
        path = ".".join([*above, key])
        if self.partial or any(
            p in (path, "extends") or p.startswith(path + ".") for p in explained
        ):
            return
        parent = self.node(above)
        if isinstance(parent, Map) and key in parent.entries:
            return  # it is there, but was refused; that error was reported
        if isinstance(parent, Sequence):
            reason = f"`{'.'.join(above)}` has no item {int(key) + 1}"
            self.report.add(Phase.STRUCTURE, self.span(above), reason, "add it")
            return
        where = f" in `{'.'.join(above)}`" if above else ""
        self.report.add(
            Phase.STRUCTURE,
            self.key_span(above),
            f"missing key `{key}`{where}",
            self.what_to_add(above, key),
        )

    def meaning(self, error: ErrorDetails) -> None:
        if self.partial:
            return
        path = self.path(error)
        context = error["ctx"]
        spans = [self.span([*path, *at.split(".")], exact=True) for at in context["at"]]
        written = [span for span in spans if span is not None]
        # An override is what changed last; else the likeliest of the values that were written.
        overrides = [span for span in written if not span.source.is_file]
        span = next(iter(overrides or written), None) or self.span(path)
        where = f"`{'.'.join(path)}`: " if path else ""
        self.report.add(Phase.MEANING, span, where + context["reason"], context["cure"])

    def wrong_value(self, error: ErrorDetails) -> None:
        path = self.path(error)
        node = self.node(path)
        if node is not None and is_broken(node):
            return
        if error["type"] == "too_short" and isinstance(node, Sequence) and node.items:
            return  # pydantic counts the valid items only; the others have their own errors
        context = error.get("ctx", {})
        kind = error["type"]
        found = describe(node) if node is not None else "nothing"
        cure = None
        example = self.example(path[:-1], path[-1]) if path else None
        if kind == "literal_error":
            example = None
            expected = context["expected"].replace("'", "`")
            if isinstance(node, Scalar) and isinstance(node.value, str):
                names = [word.strip("`") for word in expected.replace(" or ", ", ").split(", ")]
                near = suggestion(node.value, names)
                cure = f"did you mean `{near}`?" if near else None
        elif kind in _EXPECTED:
            expected = _EXPECTED[kind]
        elif kind in _LIMITS:
            expected = _LIMITS[kind](context)
        elif kind == "string_pattern_mismatch":
            expected = _PATTERNS[context["pattern"]]
        else:
            expected = error["msg"]
        self.report.add(
            Phase.STRUCTURE,
            self.span(path),
            f"`{'.'.join(path)}` must be {expected}, found {found}",
            cure or f"write {expected}" + (f", for example `{example}`" if example else ""),
        )

    def path(self, error: ErrorDetails) -> list[str]:
        """pydantic's location without the names of union branches: keys and indexes only."""
        path: list[str] = []
        node: Node | None = self.tree
        last = len(error["loc"]) - 1
        for place, step in enumerate(error["loc"]):
            below = child(node, str(step))
            named = error["type"] in ("missing", "extra_forbidden") and place == last
            if below is not None or named:
                path.append(str(step))
                node = below
        return path

    def node(self, path: list[str]) -> Node | None:
        node: Node | None = self.tree
        for step in path:
            node = child(node, step)
        return node

    def section(self, path: list[str]) -> type[BaseModel]:
        section = self.kind
        for step in path:
            section = section_of(section, step) or section
        return section

    def example(self, above: list[str], key: str) -> str | None:
        """What the schema shows as an example of a value."""
        for name, info in self.section(above).model_fields.items():
            if (info.alias or name) == key and info.examples:
                return _yaml(info.examples[0])
        return None

    def what_to_add(self, above: list[str], key: str) -> str:
        section = section_of(self.section(above), key)
        if section is None:
            return f"add `{key}: {self.example(above, key) or '…'}`"
        needed = [
            info.alias or name for name, info in section.model_fields.items() if info.is_required()
        ]
        return f"add a section `{key}:` with {' and '.join(f'`{name}`' for name in needed)}"

    def key_span(self, path: list[str]) -> Span:
        parent = self.node(path[:-1]) if path else None
        if isinstance(parent, Map) and path[-1] in parent.entries:
            return parent.entries[path[-1]].key_span
        item = self.node(path) if isinstance(parent, Sequence) else None
        return self.tree.span if item is None else item.span

    def span(self, path: list[str], exact: bool = False) -> Span | None:
        """Where a value stands: a scalar or one-line value itself, else its key."""
        node = self.node(path)
        if node is None:
            return None if exact or not path else self.span(path[:-1])
        if node.span.line == node.span.end_line and path:
            return node.span
        return self.key_span(path)


def _collection(limit: Mapping[str, Any]) -> str:
    return "a map" if limit["field_type"] == "Dictionary" else "a list"


def _number(value: float) -> str:
    return str(int(value) if value == int(value) else value)


def _yaml(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
