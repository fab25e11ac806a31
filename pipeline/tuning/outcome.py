"""What is asked of a fleet and what comes of it, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

from passes.schedule.sampling import Choice
from pipeline.tuning.kernel import Size
from pipeline.tuning.rounds import Ratio, compare

Candidate: TypeAlias = Mapping[str, Choice] | str
"""Decisions by site, or the JSON text of a trace."""

Cause = Literal["refused", "build", "limit", "crash", "timeout", "wrong"]
"""refused   no schedule comes of the decisions, or the trace does not replay
build     the schedule cannot be code
limit     building it takes too long, too much memory, or its code is too large
crash     the code ends its process
timeout   a call takes longer than any sensible one
wrong     it gives other results than it should, or touches what is not its own"""


@dataclass(frozen=True)
class BuildLimits:
    """What building a candidate may take: CPU seconds, bytes of address space beyond what the
    builder has, size of its code."""

    cpu_seconds: float = 15.0
    memory_bytes: int = 4 << 30
    size: Size = field(default_factory=Size)


@dataclass(frozen=True)
class RunLimits:
    """How long a candidate is measured: until the interval of its ratio is `precision` of it, or
    for `seconds` of each thread's CPU time; at least 3 rounds.

    A call that takes `hang` times the reference's time (and `hang_seconds`) hangs. With
    `flush_bytes`, memory of that size passes through the caches before each call.
    """

    seconds: float = 0.6
    precision: float = 0.03
    hang: float = 100.0
    hang_seconds: float = 3.0
    flush_bytes: int = 0


@dataclass(frozen=True)
class Setup:
    """The sizes at which a task is measured, with how many threads, on which random inputs."""

    dims: Mapping[str, int]
    threads: int
    seed: int = 0
    limits: RunLimits = field(default_factory=RunLimits)


@dataclass(frozen=True)
class Outcome:
    """What came of a candidate: seconds of a call by round, and those of the default schedule in
    the same rounds; or an error: its cause, and a line of text.

    `trace` is None where there is no schedule. CPU seconds: what it cost, of all threads.
    """

    candidate: Candidate
    trace: str | None = None
    seconds: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()
    cause: Cause | None = None
    text: str = ""
    build_cpu_seconds: float = 0.0
    run_cpu_seconds: float = 0.0

    @property
    def ratio(self) -> float | None:
        """Its time in units of the default's; None for an error."""
        return None if self.spread is None else self.spread.value

    @cached_property
    def spread(self) -> Ratio | None:
        """That ratio, and between what it is sure to lie."""
        return None if self.cause else compare(self.seconds, self.reference)

    @property
    def error(self) -> dict[str, Any] | None:
        """As records keep it."""
        return {"cause": self.cause, "text": self.text} if self.cause else None


def winner(outcomes: Sequence[Outcome]) -> int | None:
    """Of a duel, who is the fastest; None where nobody is surely faster than the default: the
    high end of its ratio must be below 1."""
    spreads = [(o.spread, number) for number, o in enumerate(outcomes)]
    surely = [(s.value, number) for s, number in spreads if s is not None and s.high < 1]
    return min(surely)[1] if surely else None
