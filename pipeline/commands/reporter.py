"""What doit says about tasks, in our words."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from doit.exceptions import UnmetDependency
from doit.reporter import ConsoleReporter


class Reporter(ConsoleReporter):  # type: ignore[misc]  # doit has no types
    """A line for every stage: stages that run tell of themselves, the rest is told here."""

    desc = "a line for each stage"

    def execute_task(self, task: Any) -> None:
        """Said by the stage's progress."""

    def skip_uptodate(self, task: Any) -> None:
        if "progress" in task.meta:
            task.meta["progress"].hit(task.meta["stage"])

    def add_failure(self, task: Any, fail: Any) -> None:
        stage = task.meta["stage"] if task.meta else task.name
        if "progress" in (task.meta or {}):
            task.meta["progress"].close()
        self.outstream.flush()
        stream: TextIO = sys.stderr
        if isinstance(fail, UnmetDependency):
            print(f"{stage}: not run, an earlier stage failed", file=stream)
        else:
            print(f"error: {fail.get_msg().rstrip()}", file=stream)

    def complete_run(self) -> None:
        for message in self.runtime_errors:
            print(f"error: {message}", file=sys.stderr)
