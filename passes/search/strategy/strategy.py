"""How candidates to measure are found: a strategy proposes, is told what came of it, goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from passes.search.strategy.candidates import Candidate


class Strategy(Protocol):
    """`name` is that of recipes and records. The same seed, and the same answers, give the same
    proposals."""

    @property
    def name(self) -> str: ...

    def propose(self, count: int) -> Sequence[Candidate]:
        """So many candidates that were not proposed before, the most promising first; fewer, or
        none, where there are no more."""
        ...

    def observe(self, candidate: Candidate, ratio: float | None) -> None:
        """Tells what a candidate took, as a part of what the reference does; None if it failed."""
        ...
