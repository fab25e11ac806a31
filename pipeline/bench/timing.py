"""Fair timing of several candidates: in turns, so that what the machine does besides hits all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one figure."""

    median: float
    low: float
    high: float
    repeats: int


def spread(values: Sequence[float]) -> Spread:
    """[3.0, 1.0, 2.0] -> median 2.0, from 1.0 to 3.0, of 3."""
    return Spread(median(values), min(values), max(values), len(values))


def in_turns(
    measures: Mapping[str, Callable[[], float]], repeats: int, *, warm_ups: int = 1
) -> dict[str, list[float]]:
    """Calls every candidate once a round; who begins changes from round to round.

    {"a": f, "b": g} -> f g | g f | f g ..., results by candidate without those of the warm-ups.
    """
    names = list(measures)
    results: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-warm_ups, repeats):
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            result = measures[name]()
            if turn >= 0:
                results[name].append(result)
    return results
