"""`doit show recipe=NAME stage=STAGE [file=PATTERN | function=PATTERN]`: what a stage made."""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase
from typing import Any

from doit.cmd_base import Command

from pipeline.commands.errors import UsageError, plain_errors
from pipeline.commands.stage_files import StageFiles

VARIABLES = ("stage", "file", "function", "level")


class Show(Command):  # type: ignore[misc]  # doit has no types
    """Without more the names of a stage's files; with `file` the text of those that match; with
    `function` a loop function's text, its loop nest, what its loops touch, its trace and the hot
    loop of its code."""

    name = "show"
    doc_purpose = "show the files that a stage made, or all about a function"
    doc_usage = (
        "recipe=NAME stage=STAGE [file=NAME, or a pattern such as 'loops/*'] "
        "[function=NAME, or a pattern [level=LEVEL]] [KEY=VALUE ...]"
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
            own = request.own
            if "function" in own and "file" in own:
                raise UsageError("function= and file= are two questions: ask one of them")
            if "level" in own and "function" not in own:
                raise UsageError("level= says which code of a function is meant: add function=NAME")
            files = StageFiles(open_build(request, "show"), own.get("stage"))
            if "function" in own:
                from pipeline.commands.show_function import show_function

                show_function(files, own["function"], own.get("level"))
            elif "file" in own:
                _print_texts(files, own["file"])
            else:
                print("\n".join(files.names))
        return 0


def _print_texts(files: StageFiles, pattern: str) -> None:
    """Raises UsageError if nothing matches, BuildError for what cannot be shown."""
    found = [name for name in files.names if fnmatchcase(name, pattern)]
    if not found:
        near = difflib.get_close_matches(pattern, files.names, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "leave out file= to see them all"
        raise UsageError(f"file={pattern} is none of the stage's files; {hint}")
    for name in found:
        text = files.text(name)
        if len(found) > 1:
            print(f"# {name}")
        print(text, end="" if text.endswith("\n") else "\n")
