"""Design spaces: probabilistic programs that schedule a kernel.

decisions   what is decided at which site, and who decides
space       the space of a task: schedules, and the structures that candidates share
rule        how spaces are composed of rules
"""

from __future__ import annotations

from passes.schedule.schedule import Schedule
from passes.search.space.decisions import Decisions
from passes.search.space.space import Space
from passes.search.task import Task

__all__ = ["Decisions", "Space", "scheduled"]


def scheduled(task: Task, decisions: Decisions) -> Schedule:
    """The schedule that the task's space makes with these decisions; sites that they do not name
    are decided as the rules suggest. Raises ScheduleError where the decisions do not fit."""
    return Space(task).scheduled(decisions)
