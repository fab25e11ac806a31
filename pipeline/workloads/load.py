"""A workload's name or path → its cases, or every error in the file."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.recipe.compose import check_schema_version, label_of, read_map
from pipeline.recipe.diagnostics import (
    Diagnostic,
    Phase,
    RecipeError,
    Report,
    Span,
    name_cure,
    shown,
    suggestion,
)
from pipeline.recipe.tree import Map, Node, Scalar, child
from pipeline.recipe.validate import check
from pipeline.workloads.schema import WORKLOAD_KIND, Case, Workload

if TYPE_CHECKING:
    from passes.importers.workload import CaseError

WORKLOADS = Path("configs") / "workloads"


@dataclass(frozen=True)
class LoadedWorkload:
    """A checked workload file; every case makes a graph."""

    name: str
    path: Path
    cases: tuple[Case, ...]

    def chosen(self, names: Sequence[str]) -> tuple[Case, ...]:
        """The cases of these names, or patterns such as `f32_*`, in the file's order; all if none
        are given.

        Raises RecipeError for a name that the file does not have.
        """
        known = [case.name for case in self.cases]
        wanted = set() if names else set(known)
        for name in names:
            found = fnmatch.filter(known, name)
            if not found:
                reason = f"workload {self.name} has no case `{shown(name)}`"
                raise RecipeError([Diagnostic(reason, name_cure(name, known, "cases"))])
            wanted.update(found)
        return tuple([case for case in self.cases if case.name in wanted])


def workload_names(root: Path) -> list[str]:
    """The workloads that the project ships."""
    return sorted(path.stem for path in (root / WORKLOADS).glob("*.yaml"))


def find_workload(name: str, root: Path) -> Path:
    """A name → its file in configs/workloads; what has a slash or ends in .yaml is a path.

    Raises RecipeError with the nearest name if there is none.
    """
    if "/" in name or name.endswith((".yaml", ".yml")):
        return Path(name)
    known = workload_names(root)
    if name in known:
        return root / WORKLOADS / f"{name}.yaml"
    reason = f"no workload `{shown(name)}` in {WORKLOADS.as_posix()}/"
    cure = f"{name_cure(name, known, 'workloads')}; a file elsewhere is given by its path"
    raise RecipeError([Diagnostic(reason, cure)])


def load_workload(path: Path, root: Path) -> LoadedWorkload:
    """Raises RecipeError with every error of the file."""
    report = Report()
    tree = read_map(path, label_of(path, root), report, None)
    workload = None
    if tree is not None and check_schema_version(tree, report) and _is_workload(tree, report):
        workload = check(Workload, tree, report)
    if workload is not None and not report:
        assert tree is not None
        for number, case in enumerate(workload.cases):
            _check_graph(case, tree, f"cases.{number}", report)
    report.raise_errors()
    assert workload is not None
    return LoadedWorkload(path.stem, path, workload.cases)


def _is_workload(tree: Map, report: Report) -> bool:
    kind = tree.entries.get("kind")
    if kind is not None and isinstance(kind.value, Scalar) and kind.value.value == WORKLOAD_KIND:
        return True
    span = tree.span if kind is None else kind.key_span
    reason = f"a workload file says `kind: {WORKLOAD_KIND}`"
    report.add(Phase.HEADER, span, reason, f"write `kind: {WORKLOAD_KIND}` below `schema: 1`")
    return False


def _check_graph(case: Case, tree: Map, at: str, report: Report) -> None:
    """Reports what keeps a case from being a graph, at the value that is to blame."""
    from passes.importers.workload import CaseError, graph_of

    try:
        graph_of(case.data())
    except CaseError as error:
        path = [*at.split("."), *error.at.split(".")]
        span = _key_span(tree, path) if error.is_key else _span(tree, path)
        report.add(Phase.MEANING, span, f"case `{case.name}`: {error}", _cure(error))


def _cure(error: CaseError) -> str:
    if isinstance(error.cure, str):
        return error.cure
    if error.is_key:
        return name_cure(error.at.rpartition(".")[2], error.cure, "attributes")
    near = suggestion(str(error).split("`")[1], error.cure)
    return f"did you mean `{near}`?" if near else f"operators are {', '.join(error.cure)}"


def _key_span(tree: Map, path: list[str]) -> Span:
    """The place of a key that is there."""
    *_, parent, _ = _along(tree, path)
    assert isinstance(parent, Map)
    return parent.entries[path[-1]].key_span


def _span(tree: Map, path: list[str]) -> Span:
    """The place of a value, or of the nearest one above it."""
    return list(_along(tree, path))[-1].span


def _along(tree: Map, path: list[str]) -> Iterator[Node]:
    node: Node | None = tree
    for step in [*path, ""]:
        if node is None:
            return
        yield node
        node = child(node, step)
