"""`shapes.past.max=2048` -> a tree to lay over the recipe, checked against the schema's keys.

The value is read by the strict YAML loader, so `[a, b]` is a list, `{min: 1, max: 8}` a map
(merged like a file's) and `010` an error. Of two overrides of one value the later one wins.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.recipe.diagnostics import Phase, Report, Source, Span, shown, suggestion
from pipeline.recipe.loader import load_tree
from pipeline.recipe.schema import Recipe, keys_of, section_of, value_paths
from pipeline.recipe.tree import Entry, Map, Node
from pipeline.recipe.validate import check

_FIXED = ("schema", "kind", "extends")


def override_tree(text: str, report: Report) -> Map | None:
    """The tree of one override, None if it is wrong; then `report` says why."""
    source = Source(f"override `{shown(text, 80)}`", text, is_file=False)
    report.saw(source)
    path, equals, value = text.partition("=")
    keys = path.split(".")
    span = Span(source, 1, 1, 1, max(len(path), 1) + 1)
    # YAML takes what follows a `#` for a comment.
    if not path or not equals or not value.strip() or value.lstrip().startswith("#"):
        report.add(
            Phase.SYNTAX,
            span,
            "an override has the form KEY.KEY=VALUE" + ("" if equals else ", here is no `=`"),
            "write a key and its value, for example `shapes.past.max=2048`",
        )
        return None
    if not _known_path(keys, span, report):
        return None
    if "\n" in text or "\r" in text:
        report.add(Phase.SYNTAX, span, "an override has one line", "write lists as `[a, b]`")
        return None
    loaded = load_tree(source, skip=len(path) + 1)
    report.extend(loaded.diagnostics)
    if loaded.tree is None:
        return None
    tree = _nested(keys, loaded.tree, source)
    check(Recipe, tree, report, partial=True)
    return tree


def _known_path(keys: list[str], span: Span, report: Report) -> bool:
    path = ".".join(keys)
    if path in _FIXED:
        report.add(
            Phase.STRUCTURE,
            span,
            f"`{path}` belongs to a file and cannot be overridden",
            "write a recipe of your own that extends this one",
        )
        return False
    section: type | None = Recipe
    for depth, key in enumerate(keys):
        if section is None:
            whole = ".".join(keys[:depth])
            report.add(
                Phase.STRUCTURE,
                span,
                f"`{whole}` is a value without parts, `{shown(path)}` is not in it",
                f"give the whole value: `{whole}=…`",
            )
            return False
        if key not in keys_of(section):
            report.add(
                Phase.STRUCTURE,
                span,
                f"unknown key `{shown(path)}`",
                _cure(keys, depth, keys_of(section)),
            )
            return False
        section = section_of(section, key)
    return True


def _cure(keys: list[str], depth: int, known: Iterable[str]) -> str:
    paths = [path for path in value_paths(Recipe) if path not in _FIXED]
    path = ".".join(keys)
    ends = [other for other in paths if other.endswith("." + path)]
    near = ends[0] if len(ends) == 1 else suggestion(path, paths)
    if near is not None:
        return f"did you mean `{near}`?"
    where = f"in `{'.'.join(keys[:depth])}`" if depth else "at the top"
    return f"the keys known {where} are {', '.join(k for k in known if k not in _FIXED)}"


def _nested(keys: list[str], value: Node, source: Source) -> Map:
    column = sum(len(key) + 1 for key in keys)
    node = value
    for key in reversed(keys):
        column -= len(key) + 1
        span = Span(source, 1, column + 1, 1, column + 1 + len(key))
        node = Map({key: Entry(span, node)}, span)
    assert isinstance(node, Map)
    return node
