"""`doit generate recipe=NAME prompt="..."`: new text, alone on standard output."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from doit.cmd_base import Command

from pipeline.commands.errors import UsageError, plain_errors

VARIABLES = ("prompt", "chat", "tokens", "temperature", "seed", "threads")


class Generate(Command):  # type: ignore[misc]  # doit has no types
    """Builds what is missing (told on standard error), then hands over to the package's runtime."""

    name = "generate"
    doc_purpose = "generate text with a recipe's package, building it if needed"
    doc_usage = (
        "recipe=NAME prompt=TEXT|chat=TEXT [tokens=N] [temperature=T] [seed=N] [threads=N] "
        "[KEY.KEY=VALUE ...]"
    )

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        from pipeline.commands.session import code_root, open_build
        from pipeline.commands.variables import given_variables, read_request
        from pipeline.workers.progress import Progress

        with plain_errors():
            if pos_args:
                raise UsageError(
                    f"generate does not know '{pos_args[0]}': "
                    '`doit generate recipe=NAME prompt="TEXT"` (mind the quotes)'
                )
            request = read_request(given_variables(), VARIABLES)
            options = runtime_options(request.own)
            build = open_build(request, "generate")
            progress = Progress(sys.stderr)
            try:
                folder = build.build_all(progress)
            finally:
                progress.close()
            _become_runtime(folder, options, code_root())
        return 0


def runtime_options(own: Mapping[str, str]) -> list[str]:
    """The variables as options of the runtime, values checked; its defaults are the recipe's.

    Raises UsageError.
    """
    from pipeline.commands.variables import whole_number

    texts = [name for name in ("prompt", "chat") if name in own]
    if len(texts) != 1:
        raise UsageError('give either prompt="TEXT" (raw) or chat="TEXT" (by the chat template)')
    if not own[texts[0]]:
        raise UsageError(f"{texts[0]}= is empty: there is nothing to go on from")
    options = [f"--{texts[0]}={own[texts[0]]}"]
    for name, least in (("tokens", 1), ("seed", 0), ("threads", 1)):
        if name in own:
            options.append(f"--{name}={whole_number(name, own[name], least)}")
    if "temperature" in own:
        options.append(f"--temperature={_temperature(own['temperature'])}")
    return options


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"temperature={text} is no number from 0 on (0: always the likeliest)")
    return value


def _become_runtime(folder: Path, options: list[str], root: Path) -> None:
    """Replaces this process: Ctrl-C, exit code and memory are then the runtime's own."""
    sys.stdout.flush()
    sys.stderr.flush()
    here = os.path.relpath(folder)
    places = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    command = [sys.executable, "-m", "pipeline.runtime", here, *options]
    os.execve(sys.executable, command, environment)
