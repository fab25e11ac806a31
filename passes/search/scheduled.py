"""A kernel with its schedule, or with several of which its sizes choose one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from passes.ir.loop.nodes import Function
from passes.ir.node import IRError
from passes.schedule.schedule import Schedule
from passes.search.dispatch import Cut, Tree, dispatched
from passes.search.fold import Fold, folds_of


@dataclass(frozen=True)
class Scheduled:
    """The function as it will run, the layouts that it wants its parameters in, and the `trace`
    as text."""

    function: Function
    folds: Mapping[int, Fold]
    trace: str

    @staticmethod
    def of(schedule: Schedule) -> Scheduled:
        return Scheduled(schedule.function, folds_of(schedule), schedule.trace.as_python())

    @staticmethod
    def chosen(schedules: Sequence[Schedule], tree: Tree) -> Scheduled:
        """By the sizes it is called with. Raises IRError where the schedules do not agree on the
        layouts of parameters."""
        if len(schedules) == 1:
            return Scheduled.of(schedules[0])
        folds = [folds_of(schedule) for schedule in schedules]
        if any(one != folds[0] for one in folds):
            raise IRError("schedules to choose from lay out weights in several ways")
        function = dispatched([schedule.function for schedule in schedules], tree)
        parts = [
            f"# {_told(tree)}\n",
            *[f"\n# {number}\n{s.trace.as_python()}" for number, s in enumerate(schedules)],
        ]
        return Scheduled(function, folds[0], "".join(parts))


def _told(tree: Tree) -> str:
    """`0 if n <= 4 else 1`."""
    if not isinstance(tree, Cut):
        return str(tree)
    few, many = _told(tree.few), _told(tree.many)
    return f"({few} if {tree.dim} <= {tree.most} else {many})"
