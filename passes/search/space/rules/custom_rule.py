"""custom_rule: a block says which rule schedules it."""

from __future__ import annotations

from dataclasses import dataclass

from passes.plugins import load
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError, get_block
from passes.search.space.rule import Context, Rule
from passes.search.space.rules.attempts import attempted

KEY = "schedule_rule"


@dataclass(frozen=True)
class CustomRule:
    """A block annotated `schedule_rule="name"` goes to the rule that an entry point of the group
    `tensorkiln.schedule_rules` has under that name; its schedules no longer have the annotation.

    Raises PluginError if there is none.
    """

    name: str = "custom_rule"
    group: str = "custom"

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        named = dict(get_block(s.function, label, self.name).annotations).get(KEY)
        if named is None:
            return [s]
        rule: Rule = load("schedule_rules", str(named))()
        s.unannotate(label, KEY)
        before = len(s.trace)
        try:
            return rule.apply(s, label, context)
        except ScheduleError as error:
            s.undo(before)
            refused = error

            def again(s: Schedule) -> None:
                raise refused

            return attempted(s, rule.name, label, again)
