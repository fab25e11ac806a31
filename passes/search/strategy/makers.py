"""Strategies by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from passes.search.space.decisions import Decisions
from passes.search.strategy.candidates import Candidates, Score
from passes.search.strategy.drawn import Exhaustive, RandomSearch, Replayed
from passes.search.strategy.evolutionary import Evolutionary
from passes.search.strategy.strategy import Strategy

Maker = Callable[[Candidates, Score, Sequence[Decisions], int], Strategy]
"""Of candidates, how they are scored, what was good for similar tasks, and a seed."""

STRATEGIES: dict[str, Maker] = {
    "evolutionary": lambda found, score, near, seed: Evolutionary(found, score, seed, near),
    "random": lambda found, score, near, seed: RandomSearch(found, seed),
    "replay": lambda found, score, near, seed: Replayed(found, near),
    "exhaustive": lambda found, score, near, seed: Exhaustive(found),
}
