"""Strategies without a model: draws, all there is, and what others found."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random

from passes.schedule.sampling import Categorical, Choice, ComputeLocation, PerfectTile, Sampling
from passes.search.space.decisions import Decisions, drawn
from passes.search.strategy.candidates import Candidate, Candidates

_TRIES = 20  # draws in vain before a space counts as exhausted
_TILES = 64  # choices of a tile that an exhaustive walk takes at most


@dataclass
class RandomSearch:
    """What the rules suggest, then draws."""

    candidates: Candidates
    seed: int
    boldness: float = 0.7
    name: str = "random"
    _seen: set[object] = field(default_factory=set)
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def propose(self, count: int) -> list[Candidate]:
        found: list[Candidate] = []
        tries = 0
        most = _TRIES * (count + len(self._seen))  # what was told of is drawn again at first
        while len(found) < count and tries < most:
            tries += 1
            first = not self._seen
            one = self.candidates.of({}) if first else self._draw()
            fits = one is not None and self.candidates.feasible([one])
            if one is not None and fits and one.key not in self._seen:
                self._seen.add(one.key)
                found.append(one)
        return found

    def observe(self, candidate: Candidate, ratio: float | None) -> None:
        self._seen.add(candidate.key)

    def _draw(self) -> Candidate | None:
        return self.candidates.decided(drawn(self._random, self.boldness))


@dataclass
class Replayed:
    """Decisions that are given, one after the other: those of records, or of similar tasks."""

    candidates: Candidates
    decisions: Sequence[Decisions]
    name: str = "replay"
    _next: int = 0
    _seen: set[object] = field(default_factory=set)

    def propose(self, count: int) -> list[Candidate]:
        found: list[Candidate] = []
        while len(found) < count and self._next < len(self.decisions):
            one = self.candidates.of(self.decisions[self._next])
            self._next += 1
            if one is not None and one.key not in self._seen:
                self._seen.add(one.key)
                found.append(one)
        return found

    def observe(self, candidate: Candidate, ratio: float | None) -> None:
        self._seen.add(candidate.key)


@dataclass
class Exhaustive:
    """Every candidate there is, from what the rules suggest outwards: those that differ at fewer
    sites first. For small spaces."""

    candidates: Candidates
    name: str = "exhaustive"
    _walk: Iterator[Candidate] | None = None
    _measured: set[object] = field(default_factory=set)

    def propose(self, count: int) -> list[Candidate]:
        if self._walk is None:
            self._walk = self._all()
        fresh = (one for one in self._walk if one.key not in self._measured)
        return list(islice(fresh, count))

    def observe(self, candidate: Candidate, ratio: float | None) -> None:
        self._measured.add(candidate.key)

    def _all(self) -> Iterator[Candidate]:
        first = self.candidates.of({})
        waiting = deque([] if first is None else [first])
        seen = {one.key for one in waiting}
        while waiting:
            one = waiting.popleft()
            if self.candidates.feasible([one]):
                yield one
            for site, sampling in one.structure.samplings.items():
                for choice in choices_of(sampling):
                    other = self.candidates.of({**one.decisions, site: choice})
                    if other is not None and other.key not in seen:
                        seen.add(other.key)
                        waiting.append(other)


def choices_of(sampling: Sampling) -> Sequence[Choice]:
    """All that there is to choose from; of tiles with very many ways the first of them."""
    match sampling:
        case Categorical(candidates):
            return list(range(len(candidates)))
        case ComputeLocation(candidates):
            return list(candidates)
        case PerfectTile(extent, parts, innermost, bound):
            return list(_tiles(extent, parts, innermost, bound))[:_TILES]
    random = Random(0)
    return list(dict.fromkeys(sampling.draw(random) for _ in range(_TILES)))


def _tiles(
    extent: int | None, parts: int, innermost: int, bound: int | None
) -> Iterator[tuple[int | None, ...]]:
    if extent is None:
        most = min(bound or innermost, innermost)
        sizes = [1 << k for k in range(most.bit_length())]
        for rest in _products(sizes, parts - 1):
            yield (None, *rest)
        return
    if parts == 1:
        yield (extent,)
        return
    for inner in range(1, min(extent, innermost) + 1):
        if extent % inner == 0:
            for outer in _tiles(extent // inner, parts - 1, extent, bound):
                yield (*outer, inner)


def _products(sizes: Sequence[int], parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 0:
        yield ()
        return
    for rest in _products(sizes, parts - 1):
        for size in sizes:
            yield (*rest, size)
