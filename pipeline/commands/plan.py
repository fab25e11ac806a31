"""`doit plan recipe=NAME`: each stage hit or miss, and why; nothing runs."""

from __future__ import annotations

from typing import Any

from doit.cmd_base import Command

from pipeline.commands.errors import UsageError, plain_errors


class Plan(Command):  # type: ignore[misc]  # doit has no types
    """What a build would do."""

    name = "plan"
    doc_purpose = "show what a build would run, and why"
    doc_usage = "recipe=NAME [KEY.KEY=VALUE ...]"

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        from pipeline.commands.session import open_build
        from pipeline.commands.variables import given_variables, read_request
        from pipeline.stages.plan import plan, render_plan

        with plain_errors():
            if pos_args:
                raise UsageError(f"plan does not know '{pos_args[0]}': `doit plan recipe=NAME`")
            build = open_build(read_request(given_variables()), "plan")
            verdicts = list(plan(build))
            build.check_lock()
            print(render_plan(verdicts), flush=True)
            return 0
        return 0
