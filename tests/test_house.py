"""Laws of the house that the source text alone can show."""

from __future__ import annotations

import ast
import getpass
import re
import socket
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
# A room imports itself and those before it. `schedule` knows loop functions only, and comes
# before `fuse` because layouts are chosen there with its primitives.
PASSES = (
    "plugins", "ir", "chain", "ops", "importers", "shape", "schedule", "fuse", "search", "codegen",
    "package",
)  # fmt: skip
PIPELINE = (
    "runtime", "recipe", "store", "workers", "stages", "bench", "workloads",
    "tuning", "commands", "dodo",
)  # fmt: skip
ORDERS = {"passes": PASSES, "pipeline": PIPELINE}
# What a package may need where it runs; all but numpy only when asked for.
RUNTIME_NEEDS = {"numpy", "tokenizers", "jinja2", "llvmlite"}
LONGEST = 600
HOSTS = {"json-schema.org", "www.apache.org", "spdx.org", "github.com", "x"}
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".txt", ""}


def modules(top: str) -> list[Path]:
    return sorted((REPO / top).rglob("*.py"))


def every_text() -> Iterator[Path]:
    """The files that are written by hand, or from them, and kept."""
    for top in ("passes", "pipeline", "configs", "recipes", "tests", ".ci"):
        for path in sorted((REPO / top).rglob("*")):
            if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts:
                yield path
    yield from (REPO / name for name in ("README.md", "pyproject.toml", ".gitignore"))


def imported(path: Path, *, lazily: bool = True) -> set[str]:
    """Names of the modules that a module imports, in full; without `lazily` only those at its
    top, where type checkers' own imports do not count."""
    own = path.relative_to(REPO).with_suffix("").parts
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        match node:
            case ast.Import():
                found.update(alias.name for alias in node.names)
            case ast.ImportFrom(module=module, level=level):
                base = [*own[:-level], *([module] if module else [])] if level else [module or ""]
                found.update(".".join([*base, alias.name]) for alias in node.names)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() if not lazily:
                return
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) if not lazily:
                return
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text("utf-8")))
    return found


def test_passes_never_import_pipeline() -> None:
    for path in modules("passes"):
        assert not {name for name in imported(path) if name.split(".")[0] == "pipeline"}, path


@pytest.mark.parametrize("top", ORDERS)
def test_rooms_import_downward_only(top: str) -> None:
    order = ORDERS[top]
    wrong = []
    for path in modules(top):
        room = path.relative_to(REPO / top).with_suffix("").parts[0]
        if room == "__init__":
            continue
        # dodo is loaded by a command, lazily, for doit to find it.
        for name in sorted(imported(path, lazily=(top == "passes"))):
            parts = name.split(".")
            if parts[0] == top and order.index(parts[1]) > order.index(room):
                wrong.append(f"{path.relative_to(REPO)} imports {name}")
    assert wrong == []


def test_every_room_has_its_place() -> None:
    for top, order in ORDERS.items():
        rooms = {path.relative_to(REPO / top).with_suffix("").parts[0] for path in modules(top)}
        assert rooms - {"__init__"} == set(order)


def test_the_readme_lists_the_rooms_in_their_order() -> None:
    text = (REPO / "README.md").read_text("utf-8")
    for top, order in ORDERS.items():
        block = re.search(rf"^{top}/ .*\n((?:  .*\n)+)", text, re.M)
        assert block is not None
        listed = re.findall(r"^  (\w+)/", block[1], re.M)
        assert listed == [room for room in order if (REPO / top / room).is_dir()]


def test_the_runtime_needs_numpy_alone() -> None:
    for path in modules("pipeline/runtime"):
        for lazily in (False, True):
            allowed = RUNTIME_NEEDS if lazily else {"numpy"}
            for name in imported(path, lazily=lazily):
                top = name.split(".")[0]
                ours = name.startswith("pipeline.runtime.")
                assert ours or top in allowed or top in sys.stdlib_module_names, (path, name)
        # A wheel carries the runtime under another name.
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert not (node.module or "").startswith("pipeline"), path


def test_modules_are_short_and_say_what_they_are() -> None:
    for path in (*modules("passes"), *modules("pipeline"), *modules("tests")):
        text = path.read_text("utf-8")
        assert len(text.splitlines()) <= LONGEST, path
        if path.relative_to(REPO).parts[0] != "tests":
            assert ast.get_docstring(ast.parse(text)), f"{path}: no docstring"


def test_nothing_names_a_machine() -> None:
    """No place of this machine, no address but those of public documents."""
    here = {str(REPO), str(Path.home()), tempfile.gettempdir(), socket.gethostname()}
    here |= {getpass.getuser()} - {"root"}
    # Short names (a user called "ci", a home "/") say nothing.
    names = sorted(name for name in here if len(name) >= 5)
    for path in every_text():
        text = path.read_text("utf-8")
        found = [name for name in names if re.search(rf"(?<![\w/.]){re.escape(name)}\b", text)]
        assert not found, f"{path} names {found}"
        assert not re.search(r"(?<![\w/.{])/(?:home|Users|mnt|srv)/\w", text), path
        hosts = set(re.findall(r"https?://([\w.-]+)", text))
        assert hosts <= HOSTS, f"{path} names {hosts - HOSTS}"


def test_the_licence_is_there() -> None:
    from passes.package.apache import APACHE_2_0

    assert (REPO / "LICENSE").read_text("utf-8") == APACHE_2_0
    project = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]
    assert (project["license"], project["readme"]) == ("Apache-2.0", "README.md")


def test_entry_points_lead_somewhere() -> None:
    settings = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))
    groups = [*settings["project"]["entry-points"].values()]
    groups += [*settings["tool"]["doit"]["plugins"].values()]
    for name, value in (item for group in groups for item in group.items()):
        module, _, attribute = value.partition(":")
        path = REPO.joinpath(*module.split(".")).with_suffix(".py")
        assert path.is_file(), f"{name} = {value}"
        names = {getattr(node, "name", None) for node in ast.parse(path.read_text("utf-8")).body}
        assert attribute in names, f"{name} = {value}"
