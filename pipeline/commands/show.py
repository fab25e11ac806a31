"""`doit show recipe=NAME stage=STAGE [file=PATTERN]`: what a stage made."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from doit.cmd_base import Command

from pipeline.commands.errors import UsageError, plain_errors

if TYPE_CHECKING:
    from pipeline.stages.build import Build
    from pipeline.store import Tree

VARIABLES = ("stage", "file")


class Show(Command):  # type: ignore[misc]  # doit has no types
    """Without `file` the names of a stage's files; with it, the text of those that match."""

    name = "show"
    doc_purpose = "show the files that a stage made, or the text of some"
    doc_usage = (
        "recipe=NAME stage=STAGE [file=NAME, or a pattern such as 'loops/*'] [KEY=VALUE ...]"
    )

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        from pipeline.commands.session import open_build
        from pipeline.commands.variables import given_variables, read_request

        with plain_errors():
            if pos_args:
                raise UsageError(
                    f"show does not know '{pos_args[0]}': `doit show recipe=NAME stage=STAGE`"
                )
            request = read_request(given_variables(), VARIABLES)
            build = open_build(request, "show")
            tree = _tree(build, request.own.get("stage"))
            pattern = request.own.get("file")
            if pattern is None:
                print("\n".join(sorted(tree.files)))
            else:
                _print_texts(build, tree, pattern)
        return 0


def _tree(build: Build, stage: str | None) -> Tree:
    """What the stage made, as things are now. Raises UsageError, BuildError."""
    from pipeline.stages.errors import BuildError, Unknown

    names = [stage.name for stage in build.stages]
    if stage not in names:
        which = "say which stage" if stage is None else f"unknown stage '{stage}'"
        raise UsageError(f"{which}: stage=NAME, one of {', '.join(names)}")
    try:
        row = build.find(build.stage(stage), fetch=False)
    except Unknown:
        row = None
    tree = None if row is None else build.store.tree(row.output)
    if tree is None:
        raise BuildError(
            f"{stage} has not run as things are now: `doit build recipe={build.recipe}` with the "
            "same overrides runs it"
        )
    return tree


def _print_texts(build: Build, tree: Tree, pattern: str) -> None:
    """Raises UsageError if nothing matches, BuildError for what cannot be shown."""
    from pipeline.stages.errors import BuildError

    found = _matching(tree.files, pattern)
    for name in found:
        data = build.store.blobs.read(tree.files[name].digest)
        if data is None:
            raise BuildError(f"{name} is damaged in the store: run the build again")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise BuildError(f"{name} is not text") from None
        if len(found) > 1:
            print(f"# {name}")
        print(text, end="" if text.endswith("\n") else "\n")


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    """The names that match. Raises UsageError if none does."""
    every = sorted(names)
    found = [name for name in every if fnmatchcase(name, pattern)]
    if not found:
        near = difflib.get_close_matches(pattern, every, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "leave out file= to see them all"
        raise UsageError(f"file={pattern} is none of the stage's files; {hint}")
    return found
