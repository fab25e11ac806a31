"""One Python file as a key sees it: a digest of its meaning, and the modules it can reach."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.store.digest import digest_bytes

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+(:[A-Za-z_][\w.]*)?")
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class ModuleFacts:
    """`imports` holds absolute dotted names, each a module or a name in one; `mentions` those that
    stand in strings."""

    digest: str
    imports: tuple[str, ...]
    mentions: tuple[str, ...]


def module_facts(source: bytes, module: str, *, is_package: bool) -> ModuleFacts:
    """What a module's text means for a key.

    Comments, docstrings, layout and line numbers do not count. A string that spells a dotted
    name ("pkg.module:Class") is a mention, because registries name their classes so.

    Raises SyntaxError, ValueError or RecursionError for a text that Python cannot read.
    """
    tree = ast.parse(source)
    package = module if is_package else module.rpartition(".")[0]
    imports: set[str] = set()
    mentions: set[str] = set()
    for node in _running_nodes(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                imports.update(name for name in _imported(node, package) if name)
            case ast.Constant(value=str(text)) if _DOTTED.fullmatch(text):
                mentions.add(text.partition(":")[0])
    chunks: list[str] = []
    _describe(tree, chunks)
    digest = digest_bytes("".join(chunks).encode("utf-8", "surrogatepass"))
    return ModuleFacts(digest, tuple(sorted(imports)), tuple(sorted(mentions)))


def _describe(root: ast.AST, chunks: list[str]) -> None:
    """Spells a syntax tree, the same for every Python that can read it: empty fields, which
    differ between versions, are left out. Without recursion: long sums nest deeply."""
    work: list[object] = [root]
    while work:
        item = work.pop()
        if isinstance(item, _Text):
            chunks.append(item)
        elif isinstance(item, ast.AST):
            chunks.append(f"{type(item).__name__}(")
            work.append(_Text(")"))
            for name, value in reversed(list(_fields(item))):
                work += [_Text(","), value, _Text(f"{name}=")]
        elif isinstance(item, list):
            chunks.append("[")
            work.append(_Text("]"))
            for element in reversed(item):
                work += [_Text(","), element]
        else:
            chunks.append(f"{type(item).__name__} {item!r}")


class _Text(str):
    """Finished text among the things still to be spelled."""


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, _WITH_DOCSTRING) and _has_docstring(node):
            value = value[1:]
        is_constant = isinstance(node, ast.Constant) and name == "value"
        is_empty = value is None or value == [] or name in ("ctx", "type_ignores", "kind")
        if is_constant or not is_empty:
            yield name, value


def _has_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> bool:
    return ast.get_docstring(node, clean=False) is not None


def _running_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that can run: without what stands under `if TYPE_CHECKING`."""
    work: list[ast.AST] = [tree]
    while work:
        node = work.pop()
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            work += node.orelse
        else:
            yield node
            work += ast.iter_child_nodes(node)


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        parents = package.split(".")
        kept = parents[: len(parents) - node.level + 1]
        base = ".".join([*kept, *([base] if base else [])])
    yield base
    yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def _is_type_checking(test: ast.expr) -> bool:
    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return True
    return False
