"""`doit build`, by doit's own `run` without its traps."""

from __future__ import annotations

from typing import Any

from doit.cmd_run import Run as DoitRun

from pipeline.commands.errors import plain_errors
from pipeline.workers.process import stop_all


class Run(DoitRun):  # type: ignore[misc]  # doit has no types
    """Runs tasks. Parallel runs (-n) use threads only: doit's process pool waits for ever for a
    child that was killed, and stages have processes of their own. With -a every stage runs again
    and has to give the same bytes."""

    name = "run"
    cmd_options = tuple(
        option for option in DoitRun.cmd_options if option["name"] not in ("par_type", "pdb")
    )

    def execute(self, params: Any, args: Any) -> Any:
        with plain_errors():
            try:
                return super().execute(params, args)
            finally:
                stop_all()

    def _execute(
        self,
        outfile: Any,
        verbosity: Any,
        always: bool,
        continue_: bool,
        reporter: Any,
        num_process: int,
        single: bool,
        auto_delayed_regex: bool,
        force_verbosity: bool,
        failure_verbosity: int,
    ) -> Any:
        build = self.loader.namespace["BUILD"]
        if build is not None:
            build.force = always
        return super()._execute(
            outfile,
            verbosity=verbosity,
            always=always,
            continue_=continue_,
            reporter=reporter,
            num_process=num_process,
            par_type="thread",
            single=single,
            auto_delayed_regex=auto_delayed_regex,
            force_verbosity=force_verbosity,
            failure_verbosity=failure_verbosity,
        )
