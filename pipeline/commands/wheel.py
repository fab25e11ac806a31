"""`doit wheel recipe=NAME`: the package as a wheel that runs with numpy alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from doit.cmd_base import Command

from pipeline.commands.errors import FAILED, UsageError, leave, plain_errors

VARIABLES = ("version",)


class Wheel(Command):  # type: ignore[misc]  # doit has no types
    """Builds what is missing (told on standard error), writes the wheel, prints its path."""

    name = "wheel"
    doc_purpose = "make an installable wheel of a recipe's package"
    doc_usage = "recipe=NAME [version=0.1.0] [KEY.KEY=VALUE ...]"

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        from pipeline.commands.session import open_build
        from pipeline.commands.variables import given_variables, read_request
        from pipeline.workers.progress import Progress

        with plain_errors():
            if pos_args:
                raise UsageError(f"wheel does not know '{pos_args[0]}': `doit wheel recipe=NAME`")
            request = read_request(given_variables(), VARIABLES)
            build = open_build(request, "wheel")
            progress = Progress(sys.stderr)
            try:
                folder = build.build_all(progress)
            finally:
                progress.close()
            _write_wheel(folder, build.name, request.own.get("version", "0.1.0"))
        return 0


def _write_wheel(folder: Path, build_name: str, version: str) -> None:
    """Ends the process with a message where no wheel can be made."""
    from passes.package.manifest import ManifestError
    from passes.package.wheel import WheelError, build_wheel
    from pipeline.commands.session import ARTIFACTS, code_root
    from pipeline.store.errors import plain_os_errors

    # Wheels are named by the recipe, so one of an overridden build has a folder of its own.
    out = ARTIFACTS / "wheels" / build_name
    runtime = code_root() / "pipeline" / "runtime"
    try:
        with plain_os_errors(f"writing a wheel to {out}"):
            wheel = build_wheel(folder, out, runtime=runtime, version=version)
    except (WheelError, ManifestError) as error:
        leave(f"error: {error}", FAILED)
    print(wheel.as_posix())
