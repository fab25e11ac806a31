"""Decisions by site, and who makes them.

{"dot: rows": 5, "dot: share": (4, 8)}       the number of a candidate; factors, outermost first
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from passes.ir.expr import Dim
from passes.schedule.sampling import (
    Choice,
    Open,
    PartitionedTile,
    PerfectTile,
    Question,
    suggested,
)
from passes.schedule.trace import Trace

Decisions: TypeAlias = Mapping[str, Choice]
Chooser: TypeAlias = Callable[[Question], Choice]
_LARGEST = 1 << 20  # what a factor of an extent without a bound may be


def decisions_of(trace: Trace) -> dict[str, Choice]:
    """What was decided at each site of a trace, in order."""
    named = [(dict(step.options).get("site"), step.choice) for step in trace]
    return {site: choice for site, choice in named if site is not None and choice is not None}


def given(decisions: Decisions) -> Chooser:
    """Decides as given; what is not, or is no choice there any more, as suggested."""

    def decide(question: Question) -> Choice:
        choice = decisions.get(question.site)
        fits = choice is not None and question.sampling.fits(choice)
        return choice if choice is not None and fits else suggested(question)

    return decide


def drawn(random: Random, boldness: float) -> Chooser:
    """Draws, with that probability at each site; else decides as suggested."""

    def decide(question: Question) -> Choice:
        return question.sampling.draw(random) if random.random() < boldness else suggested(question)

    return decide


@dataclass(frozen=True)
class Number:
    """A question whose factors are left open: what they are called, outermost first, the outermost
    being what the others leave; and their values if decided as asked for."""

    question: Question
    factors: Open
    choice: Choice


@dataclass
class Opening:
    """Leaves open all numbers that a program may leave open; decides the rest by another one.

    `numbers` and `asked` tell what was left open and what not, in order.
    """

    decide: Chooser
    numbers: dict[str, Number] = field(default_factory=dict)
    asked: dict[str, tuple[Question, Choice]] = field(default_factory=dict)

    def __call__(self, question: Question) -> Choice | Open:
        choice = self.decide(question)
        sampling = question.sampling
        if not isinstance(sampling, PerfectTile | PartitionedTile) or not question.site:
            self.asked[question.site] = question, choice
            return choice
        most = sampling.extent or sampling.bound or _LARGEST
        first = sum(len(number.factors) for number in self.numbers.values())
        factors = (None, *[Dim(f"t{first + k}", 1, most) for k in range(1, sampling.parts)])
        self.numbers[question.site] = Number(question, factors, choice)
        return factors
