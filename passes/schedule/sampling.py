"""Decisions that a schedule leaves open: what there is to choose from, and how one is drawn.

Steps record them; who decides (a seeded generator, whoever knows better, a search) is a function
`Decide` of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from random import Random
from typing import TypeAlias

from passes.ir.expr import Dim

Tile: TypeAlias = tuple[int | None, ...]
Choice: TypeAlias = int | Tile
Open: TypeAlias = tuple[Dim | None, ...]
"""Factors that stay undecided: dims, all but the outermost, which is what they leave."""
Sampling: TypeAlias = "Categorical | PerfectTile | PartitionedTile | ComputeLocation"
Decide: TypeAlias = "Callable[[Question], Choice | Open]"

INLINE, ROOT = -2, -1
"""Compute locations that are no loop: dissolved into the consumers; where it is."""


@dataclass(frozen=True)
class Question:
    """A decision to be made: one of what there is to choose from. `site` names the place in the
    program that schedules, `suggested` is what that would choose, if it knows."""

    sampling: Sampling
    site: str = ""
    suggested: Choice | None = None


def seeded(seed: int) -> Decide:
    """Draws by a generator of its own: the same decisions each time."""
    random = Random(seed)
    return lambda question: question.sampling.draw(random)


def suggested(question: Question) -> Choice:
    """What is suggested; where nothing is, a draw that depends on the site alone."""
    if question.suggested is not None:
        return question.suggested
    return question.sampling.draw(Random(question.site))


@dataclass(frozen=True)
class Categorical:
    """One of the candidates; the choice is its number."""

    candidates: tuple[int, ...]
    probabilities: tuple[float, ...]

    def draw(self, random: Random) -> int:
        return random.choices(range(len(self.candidates)), self.probabilities)[0]

    def fits(self, choice: Choice) -> bool:
        return isinstance(choice, int) and 0 <= choice < len(self.candidates)


@dataclass(frozen=True)
class PerfectTile:
    """Factors of an extent, outermost first, the innermost (of several) at most `innermost`.

    Without an extent (it is symbolic, and at most `bound`) the outermost factor is None: what the
    others leave. These may be anything then; drawn are powers of two.
    """

    extent: int | None
    parts: int
    innermost: int
    bound: int | None = None

    def draw(self, random: Random) -> Tile:
        whole = self.extent
        if whole is None:
            largest = self.innermost ** (self.parts - 1)
            most = largest if self.bound is None else min(self.bound, largest)
            whole = 1 << most.bit_length() - 1
        factors = _drawn(whole, self.parts, self.innermost, random)
        return factors if self.extent is not None else (None, *factors[1:])

    def fits(self, choice: Choice) -> bool:
        return (
            isinstance(choice, tuple)
            and len(choice) == self.parts
            and _tiles(choice, self.extent)
            and (self.parts == 1 or (choice[-1] or 0) <= self.innermost)
        )


@dataclass(frozen=True)
class PartitionedTile:
    """Factors of an extent of which those from number `partition` on make up `inner`."""

    extent: int | None
    parts: int
    partition: int
    inner: int
    bound: int | None = None

    def draw(self, random: Random) -> Tile:
        return self._outer.draw(random) + _drawn(
            self.inner, self.parts - self.partition, self.inner, random
        )

    def fits(self, choice: Choice) -> bool:
        if not isinstance(choice, tuple) or len(choice) != self.parts:
            return False
        outer, inner = choice[: self.partition], choice[self.partition :]
        return self._outer.fits(outer) and _tiles(inner, self.inner)

    @property
    def _outer(self) -> PerfectTile:
        if self.extent is not None:
            whole = self.extent // self.inner
            return PerfectTile(whole, self.partition, whole)
        bound = None if self.bound is None else max(1, self.bound // self.inner)
        return PerfectTile(None, self.partition, bound or 64, bound)


@dataclass(frozen=True)
class ComputeLocation:
    """Where a block is computed: a loop around all its consumers (its number from the root), INLINE
    or ROOT; the choice is one of the candidates."""

    candidates: tuple[int, ...]

    def draw(self, random: Random) -> int:
        return random.choice(self.candidates)

    def fits(self, choice: Choice) -> bool:
        return choice in self.candidates


def _tiles(factors: Sequence[int | None], extent: int | None) -> bool:
    """Whether the factors make up the extent, or leave the outermost open if there is none."""
    if extent is None:
        first, *rest = factors
        return first is None and all(f is not None and f >= 1 for f in rest)
    numbers = [f for f in factors if f is not None and f >= 1]
    return len(numbers) == len(factors) and prod(numbers) == extent


def _drawn(whole: int, parts: int, innermost: int, random: Random) -> tuple[int, ...]:
    """One of all the ways to write `whole` as a product, each as likely as any other."""
    factors: list[int] = []
    limit = innermost
    for left in range(parts - 1, 0, -1):
        choices = [d for d in _divisors(whole) if d <= limit]
        factor = random.choices(choices, [_ways(whole // d, left) for d in choices])[0]
        factors.append(factor)
        whole, limit = whole // factor, whole
    return (whole, *reversed(factors))


@lru_cache(maxsize=1 << 12)
def _divisors(n: int) -> tuple[int, ...]:
    low = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]
    return tuple(low + [n // d for d in reversed(low) if d * d != n])


@lru_cache(maxsize=1 << 14)
def _ways(n: int, parts: int) -> int:
    """In how many ways `n` is a product of that many factors."""
    return 1 if parts <= 1 else sum(_ways(n // d, parts - 1) for d in _divisors(n))
