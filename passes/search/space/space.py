"""The space of a task: all that its rules can make of the kernel, decision by decision.

run     decisions → the schedule that they make
open    decisions → the structure that they lead to: a program in which numbers that are but extents
        of loops are left open, and which all candidates share that differ in these alone
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from passes.ir.loop.nodes import Function
from passes.schedule.memo import Memo
from passes.schedule.sampling import Choice, Decide, Question, Sampling
from passes.schedule.schedule import Schedule
from passes.schedule.tree import ScheduleError
from passes.search.defaults import ruled
from passes.search.defaults.choose import choose
from passes.search.space.decisions import (
    Chooser,
    Decisions,
    Number,
    Opening,
    decisions_of,
    given,
)
from passes.search.space.postprocess import postprocessed
from passes.search.space.rule import Context, Rule, composed
from passes.search.space.rules import rules_for
from passes.search.task import Task

EXPERT, GENERAL = 0, 1
_GROUPS = ("expert rules", "general rules")
"""What there is of them, as a group to be left out."""
_SHARES = (0.95, 0.05)
"""How often either is drawn: the general ones take several times as long, and rarely win."""


@dataclass(frozen=True, eq=False)
class Structure:
    """What candidates share that decide alike but for numbers.

    `asked` are the sites with what there is to choose from and what was chosen; `numbers` those
    left open in `function`, whose dims they are.
    """

    function: Function
    asked: Mapping[str, tuple[Sampling, Choice]]
    numbers: Mapping[str, Number]

    @property
    def closed(self) -> bool:
        """Whether numbers are decided in it, too: it is the structure of one candidate."""
        return any(isinstance(choice, tuple) for _, choice in self.asked.values())

    @property
    def samplings(self) -> dict[str, Sampling]:
        """What there is to choose from at each site."""
        numbers = {site: number.question.sampling for site, number in self.numbers.items()}
        return {site: sampling for site, (sampling, _) in self.asked.items()} | numbers

    def decisions(self, wanted: Decisions) -> dict[str, Choice]:
        """All that was asked for, numbers as wanted, where they fit, or else as suggested."""
        made = {site: choice for site, (_, choice) in self.asked.items()}
        for site, number in self.numbers.items():
            choice = wanted.get(site)
            fits = choice is not None and number.question.sampling.fits(choice)
            made[site] = choice if choice is not None and fits else number.choice
        return made


@dataclass
class Space:
    """The space of one task: what the expert rules make of the kernel, as models suggest or
    otherwise, and what the general ones can be composed to; groups of rules may be `off`.

    Steps done once are not done again: candidates that begin alike share what these made of the
    program.
    """

    task: Task
    off: frozenset[str] = frozenset()
    memo: Memo = field(default_factory=partial(Memo, 1 << 13))

    @cached_property
    def rules(self) -> Sequence[Rule]:
        """The general rules, in order."""
        return rules_for(self.task.target, self.off)

    def run(self, decide: Decide) -> Schedule:
        """Raises ScheduleError where the decisions do not fit together."""
        task = self.task
        s = Schedule(task.function, decide, self.memo)
        ways = [way for way in (EXPERT, GENERAL) if _GROUPS[way] not in self.off]
        shares = [_SHARES[way] for way in ways]
        if choose(s, "rules", ways, ways[0], shares) == EXPERT:
            return ruled(s, task.target, task.constants)
        context = Context(task.target, task.constants)
        return postprocessed(composed(s, self.rules, context), context)

    def scheduled(self, decisions: Decisions) -> Schedule:
        """The schedule that the decisions make; what they do not name is decided as suggested."""
        return self.run(given(decisions))

    def open(self, decide: Chooser) -> Structure:
        """The structure that decisions lead to; without numbers, where some step of the rules needs
        to know them. Raises ScheduleError where the decisions do not fit together."""
        opening = Opening(decide)
        try:
            s = self.run(opening)
        except ScheduleError:
            return self._closed(decide)
        if s.trace.notes:  # a rule was left out, perhaps for want of numbers
            return self._closed(decide)
        sites = {dict(step.options).get("site") for step in s.trace}
        return Structure(
            s.function,
            {n: (q.sampling, c) for n, (q, c) in opening.asked.items() if n in sites},
            {name: number for name, number in opening.numbers.items() if name in sites},
        )

    def _closed(self, decide: Chooser) -> Structure:
        asked: dict[str, Sampling] = {}

        def noting(question: Question) -> Choice:
            asked[question.site] = question.sampling
            return decide(question)

        s = self.run(noting)
        made = decisions_of(s.trace)
        if s.trace.notes and decisions_of(self.scheduled(made).trace) != made:
            # What a step asked for before it was refused is not in the trace.
            raise ScheduleError("rules", "the kernel", s.trace.notes[0], self.task.function)
        return Structure(s.function, {n: (asked[n], made[n]) for n in made}, {})
