"""Rules: the pieces that design spaces are composed of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from passes.schedule.sampling import Categorical
from passes.schedule.schedule import Schedule
from passes.schedule.tree import blocks_in
from passes.search.defaults.target import Target


@dataclass(frozen=True)
class Context:
    """What rules know besides the program: the target, the parameters (by number) whose layout is
    theirs to choose, how many threads there are."""

    target: Target
    constants: frozenset[int] = frozenset()
    threads: int = 1


class Rule(Protocol):
    """One way to go on with a block. `name` is that of its decisions, `group` that by which a set
    of rules is left out of a space."""

    @property
    def name(self) -> str: ...

    @property
    def group(self) -> str: ...

    def apply(self, s: Schedule, label: str, context: Context) -> list[Schedule]:
        """The schedules that may go on from here, the suggested one first; `[s]` if the block is
        none of the rule's. `s` is the rule's to change."""
        ...


def composed(s: Schedule, rules: Sequence[Rule], context: Context) -> Schedule:
    """The schedule continued by every rule for every block in order. Which of a rule's schedules it
    goes on with is a decision."""
    for rule in rules:
        done: set[str] = set()
        while (label := _next(s, done)) is not None:
            done.add(label)
            s = _one(s, rule, label, context)
    return s


def _next(s: Schedule, done: set[str]) -> str | None:
    """The last block, consumers before producers, that a rule has not seen."""
    labels = [block.label for block in blocks_in(s.function.body)]
    return next((label for label in reversed(labels) if label not in done), None)


def _one(s: Schedule, rule: Rule, label: str, context: Context) -> Schedule:
    made = rule.apply(s, label, context)
    if len(made) == 1:
        return made[0]
    given = tuple(range(len(made)))
    asked = s.asked(Categorical(given, (1.0,) * len(given)), f"{label}: {rule.name}", 0)
    choice = s.decide(asked)
    assert isinstance(choice, int)
    chosen = made[choice]
    chosen.sample_categorical(given, choice=choice, site=asked.site)
    return chosen
