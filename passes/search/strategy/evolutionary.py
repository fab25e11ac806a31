"""Evolutionary search: chains of small changes, walked in parallel and annealed, of which the best
scored candidates are measured.

As MetaSchedule (Shao et al., NeurIPS 2022, section 4) describes it: Metropolis-Hastings on the
score of a cost model, at a temperature that falls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from passes.search.mutate import crossed, mutated
from passes.search.space.decisions import Decisions, drawn
from passes.search.strategy.candidates import Candidate, Candidates, Score


@dataclass
class Evolutionary:
    """Each round begins with the best candidates measured, with `seeds` (what was good for
    similar tasks), with draws of so many `structures` around what the rules suggest, and with small
    changes of all these; then `generations` of changes.
    A share of what is proposed is drawn, not chosen by score: the model may be wrong.
    """

    candidates: Candidates
    score: Score
    seed: int
    seeds: Sequence[Decisions] = ()
    population: int = 192
    generations: int = 4
    measured_share: float = 0.25
    structures: int = 24
    crossover: float = 0.1
    drawn_share: float = 0.1
    boldness: float = 0.4
    temperature: float = 1.0
    name: str = "evolutionary"
    scored: int = 0
    _random: Random = field(init=False)
    _proposed: dict[frozenset[tuple[str, object]], Candidate] = field(default_factory=dict)
    _measured: list[tuple[float, Candidate]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def propose(self, count: int) -> list[Candidate]:
        """The first of all proposals is what the rules suggest, the next are the seeds."""
        first = [c for d in ({}, *self.seeds) if (c := self.candidates.of(d)) is not None]
        chosen = self._fresh(first)[:count] if not self._measured else []
        if len(chosen) < count:
            population = self._population()
            ranked = self._evolved(population)
            bold = round(self.drawn_share * (count - len(chosen)))
            chosen += self._without(ranked, chosen)[: count - len(chosen) - bold]
            rest = self._without(self._fresh(population), chosen)
            self._random.shuffle(rest)
            chosen += rest[: count - len(chosen)]
            chosen += self._without(ranked, chosen)[: count - len(chosen)]
        self._proposed.update({one.key: one for one in chosen})
        return chosen

    def observe(self, candidate: Candidate, ratio: float | None) -> None:
        self._proposed[candidate.key] = candidate
        if ratio is not None:
            self._measured.append((ratio, candidate))
            self._measured.sort(key=lambda item: item[0])

    def _population(self) -> list[Candidate]:
        best = [one for _, one in self._measured[: round(self.measured_share * self.population)]]
        found = {one.key: one for one in best}
        for decisions in self.seeds:
            seeded = self.candidates.of(decisions)
            if seeded is not None:
                found.setdefault(seeded.key, seeded)
        for _ in range(self.structures):
            one = self._drawn(best)
            if one is not None:
                found.setdefault(one.key, one)
        parents = list(found.values())
        for _ in range(self.population - len(found) if parents else 0):
            one = self._changed(self._random.choice(parents))
            if one is not None:
                found.setdefault(one.key, one)
        return self.candidates.feasible(list(found.values()))

    def _drawn(self, best: Sequence[Candidate]) -> Candidate | None:
        """A draw, or two changes away from what is known to be good or suggested."""
        if self._random.random() < self.boldness or not best:
            return self.candidates.decided(drawn(self._random, self.boldness))
        one: Candidate | None = self._random.choice(best)
        for _ in range(2):
            one = None if one is None else self._changed(one)
        return one

    def _evolved(self, population: list[Candidate]) -> list[Candidate]:
        """All candidates met that were not proposed yet, the best scored first."""
        if not population:
            return []
        chains, scores = list(population), self._scores(population)
        met = {one.key: (s, one) for s, one in zip(scores, chains, strict=True)}
        scale = float(np.std(scores)) or 1.0
        for generation in range(self.generations):
            heat = self.temperature * scale * (1 - generation / self.generations)
            steps = [self._step(one, chains) for one in chains]
            changed = [k for k, one in enumerate(steps) if one is not None]
            fit = {id(one) for one in self.candidates.feasible([steps[k] for k in changed])}  # type: ignore[misc]
            changed = [k for k in changed if id(steps[k]) in fit]
            made = [one for k in changed if (one := steps[k]) is not None]
            for k, one, score in zip(changed, made, self._scores(made), strict=True):
                met.setdefault(one.key, (score, one))
                gain = (score - scores[k]) / max(heat, 1e-9)
                if gain >= 0 or self._random.random() < np.exp(gain):
                    chains[k], scores[k] = one, score
        ranked = sorted(met.values(), key=lambda item: -item[0])
        return self._fresh([one for _, one in ranked])

    def _step(self, one: Candidate, chains: Sequence[Candidate]) -> Candidate | None:
        if self._random.random() < self.crossover:
            other = self._random.choice(chains)
            return self.candidates.of(crossed(one.decisions, other.decisions, self._random))
        return self._changed(one)

    def _changed(self, one: Candidate) -> Candidate | None:
        made = mutated(one.decisions, one.structure.samplings, self._random)
        return None if made is None else self.candidates.of(made)

    def _scores(self, candidates: Sequence[Candidate]) -> np.ndarray:
        self.scored += len(candidates)
        return np.asarray(self.score(self.candidates.rows(candidates)), np.float64)

    def _fresh(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        found = {one.key: one for one in candidates if one.key not in self._proposed}
        return list(found.values())

    def _without(self, candidates: Sequence[Candidate], chosen: list[Candidate]) -> list[Candidate]:
        taken = {one.key for one in chosen}
        return [one for one in candidates if one.key not in taken]
