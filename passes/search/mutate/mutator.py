"""What changes one decision of a candidate."""

from __future__ import annotations

from random import Random
from typing import Protocol

from passes.schedule.sampling import Choice, Sampling


class Mutator(Protocol):
    """`name` is that of reports."""

    @property
    def name(self) -> str: ...

    def takes(self, site: str, sampling: Sampling) -> bool:
        """Whether a decision is one that it changes."""
        ...

    def other(self, sampling: Sampling, choice: Choice, random: Random) -> Choice | None:
        """Another choice, near the one there is; None if there is no other."""
        ...
