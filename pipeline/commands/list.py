"""`doit list`: the tasks, the commands, the recipes and the workloads there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from doit.cmd_list import List as DoitList
from doit.doit_cmd import DoitMain

from pipeline.commands.errors import plain_errors
from pipeline.commands.session import recipe_names


class List(DoitList):  # type: ignore[misc]  # doit has no types
    """doit's list of tasks, and what else can be typed."""

    name = "list"
    doc_purpose = "list tasks, commands, recipes and workloads"

    def __init__(self, cmds: Any = None, **kwargs: Any) -> None:
        super().__init__(cmds=cmds, **kwargs)
        self._commands = cmds

    def execute(self, params: Any, args: list[str]) -> Any:
        with plain_errors():
            return super().execute(params, args)

    def _execute(
        self,
        subtasks: bool,
        quiet: bool,
        status: bool,
        private: bool,
        list_deps: bool,
        template: str | None,
        sort: str,
        pos_args: list[str],
    ) -> int:
        if pos_args or quiet or template is not None:
            code: int = super()._execute(
                subtasks, quiet, status, private, list_deps, template, sort, pos_args
            )
            return code
        ours = self._our_commands()
        tasks = [task.name for task in self.task_list if subtasks or not task.subtask_of]
        width = max(map(len, [*tasks, *ours])) + 3
        template = f"{{name:<{width}}}{{doc}}"
        if status:
            template = "{status} " + template
        super()._execute(subtasks, quiet, status, private, list_deps, template, "definition", [])
        for name, purpose in ours.items():
            self.outstream.write(f"{name:<{width}}{purpose}\n")
        self.outstream.write("\nrecipes (recipe=NAME)\n")
        for name in recipe_names(Path.cwd()):
            self.outstream.write(f"  {name}\n")
        from pipeline.workloads.load import workload_names

        workloads = workload_names(Path.cwd())
        if workloads:
            self.outstream.write("\nworkloads (bench workload=NAME)\n")
        for name in workloads:
            self.outstream.write(f"  {name}\n")
        return 0

    def _our_commands(self) -> dict[str, str]:
        """The commands that doit does not have of its own, and what they are for."""
        mine = {name: self._commands.get_plugin(name) for name in self.config.get("COMMAND", {})}
        known = {command.get_name() for command in DoitMain.DOIT_CMDS}
        return {name: cls.doc_purpose for name, cls in mine.items() if name not in known}
