"""Candidates of one task: found by decisions, scored by the thousand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from passes.ir.expr import Dim
from passes.schedule.sampling import Choice
from passes.schedule.tree import ScheduleError
from passes.search.defaults.shape import told
from passes.search.features import ProgramFeatures, features_of
from passes.search.space.decisions import Chooser, Decisions, given
from passes.search.space.space import Space, Structure

Rows: TypeAlias = NDArray[np.float32]
Score: TypeAlias = Callable[[Sequence[Rows]], NDArray[np.float64]]
"""Feature rows of candidates → how good they are, the higher the better."""
_Key: TypeAlias = frozenset[tuple[str, Choice]]
_TOLD = 100  # characters of a cause that tell it from others


@dataclass(frozen=True, eq=False)
class Candidate:
    """A point of a space: all that was decided, and the structure that this leads to."""

    structure: Structure
    decisions: Mapping[str, Choice]

    @cached_property
    def key(self) -> _Key:
        """Equal for candidates that decide alike."""
        return frozenset(self.decisions.items())


@dataclass
class Candidates:
    """Makes candidates of a space, each structure once; `refused` counts, by cause, decisions that
    led to none. Features are those at the dims of `sizes`, for so many threads."""

    space: Space
    sizes: Mapping[str, int]
    threads: int
    refused: Counter[str] = field(default_factory=Counter)
    _structures: dict[_Key, Structure | None] = field(default_factory=dict)
    _canonical: dict[_Key, Structure] = field(default_factory=dict)
    _features: dict[Structure, ProgramFeatures] = field(default_factory=dict)

    def decided(self, decide: Chooser) -> Candidate | None:
        """The candidate that somebody's decisions lead to; None if they lead to none."""
        structure = self._opened(decide)
        return None if structure is None else Candidate(structure, structure.decisions({}))

    def of(self, decisions: Decisions) -> Candidate | None:
        """The candidate of given decisions; those that it does not ask for are dropped, those that
        are missing are as suggested."""
        every = frozenset(decisions.items())
        alike = frozenset([(site, c) for site, c in every if not isinstance(c, tuple)])
        key = every if every in self._structures else alike
        if key not in self._structures:
            structure = self._opened(given(decisions))
            key = every if structure is None or structure.closed else alike
            self._structures[key] = structure
        found = self._structures[key]
        return None if found is None else Candidate(found, found.decisions(decisions))

    def rows(self, candidates: Sequence[Candidate]) -> list[Rows]:
        """The feature rows of each."""
        found: list[Rows | None] = [None] * len(candidates)
        for structure, places in _grouped(candidates).items():
            values = self._values(structure, [candidates[k] for k in places])
            made = self._program(structure).evaluate(values, len(places))
            for k, rows in zip(places, made, strict=True):
                found[k] = rows
        return [rows for rows in found if rows is not None]

    def feasible(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that keep within the target's limits; the others count as refused."""
        fits = [True] * len(candidates)
        for structure, places in _grouped(candidates).items():
            values = self._values(structure, [candidates[k] for k in places])
            for cause, broken in self._program(structure).limits(values, len(places)).items():
                for k in np.flatnonzero(broken):
                    fits[places[k]] = False
                    self.refused[cause] += 1
        return [one for one, fitting in zip(candidates, fits, strict=True) if fitting]

    def _opened(self, decide: Chooser) -> Structure | None:
        """The first structure that was found with these decisions."""
        try:
            structure = self.space.open(decide)
        except ScheduleError as error:
            self.refused[told(error)[:_TOLD]] += 1
            return None
        key = frozenset([(site, choice) for site, (_, choice) in structure.asked.items()])
        return self._canonical.setdefault(key, structure)

    def _program(self, structure: Structure) -> ProgramFeatures:
        made = self._features.get(structure)
        if made is None:
            task = self.space.task
            made = features_of(structure.function, task.target, self.threads)
            self._features[structure] = made
        return made

    def _values(
        self, structure: Structure, candidates: Sequence[Candidate]
    ) -> dict[str, NDArray[np.int64]]:
        """The dims of a structure's program, one number a candidate."""
        count = len(candidates)
        values = {name: np.full(count, size, np.int64) for name, size in self.sizes.items()}
        for site, number in structure.numbers.items():
            for part, dim in enumerate(number.factors):
                if isinstance(dim, Dim):
                    chosen = [one.decisions[site][part] for one in candidates]  # type: ignore[index]
                    values[dim.name] = np.array(chosen, np.int64)
        return values


def _grouped(candidates: Sequence[Candidate]) -> dict[Structure, list[int]]:
    groups: dict[Structure, list[int]] = {}
    for k, one in enumerate(candidates):
        groups.setdefault(one.structure, []).append(k)
    return groups
