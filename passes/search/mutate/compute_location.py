"""A block computed at another of the places where it may be."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from passes.schedule.sampling import Choice, ComputeLocation, Sampling


@dataclass(frozen=True)
class OtherLocation:
    """Any of the other places."""

    name: str = "compute location"

    def takes(self, site: str, sampling: Sampling) -> bool:
        return isinstance(sampling, ComputeLocation)

    def other(self, sampling: Sampling, choice: Choice, random: Random) -> Choice | None:
        assert isinstance(sampling, ComputeLocation)
        others = [place for place in sampling.candidates if place != choice]
        return random.choice(others) if others else None
