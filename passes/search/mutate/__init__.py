"""Small changes of a candidate's decisions: steps that a search takes.

tile_size          a factor moved from one part of a tile to another
compute_location   a block computed elsewhere
candidate          another candidate of a categorical decision, neighbours first: unrolled steps,
                   parallel loops, vectors, layouts, threads, whatever the site is named
crossover          the decisions of two candidates, site by site
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from passes.schedule.sampling import Sampling
from passes.search.mutate.candidate import KINDS, OtherCandidate
from passes.search.mutate.compute_location import OtherLocation
from passes.search.mutate.crossover import crossed
from passes.search.mutate.mutator import Mutator
from passes.search.mutate.tile_size import TileSize
from passes.search.space.decisions import Decisions

__all__ = ["MUTATORS", "Mutator", "Weighted", "crossed", "mutated"]


@dataclass(frozen=True)
class Weighted:
    """A mutator and how often it is taken, beside the others that fit."""

    mutator: Mutator
    weight: float


NUMBERS = 0.9
MUTATORS: tuple[Weighted, ...] = (
    Weighted(TileSize(), 1.0),
    Weighted(OtherLocation(), 1.0),
    *[Weighted(OtherCandidate(kind), 1.0) for kind in KINDS],
)


def mutated(
    decisions: Decisions,
    samplings: Mapping[str, Sampling],
    random: Random,
    mutators: Sequence[Weighted] = MUTATORS,
) -> Decisions | None:
    """The decisions with one of them changed; None where there is nothing to change.

    `samplings` is what there is to choose from at each site that is asked for. Where there are
    numbers, one of them is changed more often than all else, which leads to other structures.
    """
    numbers = {site for site in samplings if isinstance(decisions.get(site), tuple)}
    settled = bool(numbers) and random.random() < NUMBERS
    places = [
        (one.mutator, site, one.weight)
        for one in mutators
        for site in samplings
        if site in decisions and one.mutator.takes(site, samplings[site])
        if not settled or site in numbers
    ]
    while places:
        weights = [weight for _, _, weight in places]
        number = random.choices(range(len(places)), weights)[0]
        mutator, site, _ = places.pop(number)
        choice = mutator.other(samplings[site], decisions[site], random)
        if choice is not None:
            return {**decisions, site: choice}
    return None
