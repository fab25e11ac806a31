"""Those of doit's commands that have no meaning where doit keeps no state and knows no files."""

from __future__ import annotations

from typing import Any

from doit.cmd_base import Command

from pipeline.commands.errors import UsageError, plain_errors


class Stateless(Command):  # type: ignore[misc]  # doit has no types
    """Stands for clean, dumpdb, forget, ignore, info, reset-dep and strace."""

    doc_purpose = "(not used here: the store under artifacts/ is the truth)"

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        with plain_errors():
            raise UsageError(
                "doit keeps no state of its own here, the store under artifacts/ is the truth: "
                "`doit plan recipe=NAME` tells what would run and why, "
                "`doit run -a build recipe=NAME` runs every stage again, "
                "removing artifacts/ frees the disk"
            )
        return 0
