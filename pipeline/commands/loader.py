"""The first of our code that doit runs: checks its arguments, then loads pipeline/dodo.py."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from doit.cmd_base import NamespaceTaskLoader

from pipeline.commands.errors import UsageError, plain_errors
from pipeline.commands.session import code_root, open_build, require_recipe
from pipeline.commands.variables import check_arguments, given_variables, read_request


class Loader(NamespaceTaskLoader):  # type: ignore[misc]  # doit has no types
    """Loads our tasks; what is wrong with the command line is said here, before doit meets it."""

    def __init__(self) -> None:
        super().__init__()
        with plain_errors():
            _check_place()
            check_arguments(sys.argv[1:])

    def setup(self, opt_values: Any) -> None:
        from pipeline import dodo

        self.namespace = vars(dodo)

    def load_tasks(self, cmd: Any, pos_args: Sequence[str]) -> Any:
        with plain_errors():
            request = read_request(given_variables())
            if cmd.execute_tasks:
                self._check_tasks(pos_args)
                require_recipe(request, "build", Path.cwd())
            if request.recipe is not None:
                self.namespace["BUILD"] = open_build(request, "build")
            return super().load_tasks(cmd, pos_args)

    def _check_tasks(self, names: Sequence[str]) -> None:
        for name in names:
            if name != "build" and not name.startswith(("build:", "-")) and "*" not in name:
                near = difflib.get_close_matches(name, ["build", *self.cmd_names], n=1)
                hint = f"did you mean '{near[0]}'?" if near else "`doit list` shows what there is"
                raise UsageError(f"unknown command or task '{name}'; {hint}")


def _check_place() -> None:
    """An installed copy of this program must not build, silently, with other code than the
    folder's."""
    here, ours = Path.cwd(), code_root()
    if here.resolve() != ours and (here / "pipeline" / "dodo.py").is_file():
        raise UsageError(
            f"doit would run the tensorkiln installed in {ours}, not the one in this folder: "
            "run `pip install -e .` here"
        )
