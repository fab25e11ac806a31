"""Another candidate of a categorical decision, of one kind of site."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from passes.schedule.sampling import Categorical, Choice, Sampling

KINDS: dict[str, tuple[str, ...]] = {
    "tile rows": ("rows",),
    "vector width": ("vectors", "lanes", "vector"),
    "unroll": ("unroll", "steps"),
    "parallel": ("parallel", "grain"),
    "layout": ("factors", "layout", "rows outside"),
    "thread binding": ("bind", "threads"),
    "other": (),
}
"""The names of sites, behind the block's, by what they decide; any other name is of the last."""
_NEAR = 0.7  # how often a neighbour in the list is taken, rather than any


@dataclass(frozen=True)
class OtherCandidate:
    """Changes the decisions of a kind of `KINDS`; to less likely candidates less often."""

    name: str

    def takes(self, site: str, sampling: Sampling) -> bool:
        return isinstance(sampling, Categorical) and _kind(site) == self.name

    def other(self, sampling: Sampling, choice: Choice, random: Random) -> Choice | None:
        assert isinstance(sampling, Categorical) and isinstance(choice, int)
        others = [k for k in range(len(sampling.candidates)) if k != choice]
        near = [k for k in others if abs(k - choice) == 1]
        if not others:
            return None
        other = random.choice(near if near and random.random() < _NEAR else others)
        likely = sampling.probabilities
        return other if random.random() * likely[choice] <= likely[other] else None


def _kind(site: str) -> str:
    """`conv: rows 2` is of the kind of sites that are named rows."""
    name = site.rpartition(": ")[2].rstrip("0123456789 ")
    return next((kind for kind, names in KINDS.items() if name in names), "other")
