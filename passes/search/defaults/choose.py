"""What a rule leaves open: one of some numbers, of which it suggests the one that its model finds
best."""

from __future__ import annotations

from collections.abc import Sequence

from passes.schedule.schedule import Schedule


def choose(
    s: Schedule,
    site: str,
    candidates: Sequence[int],
    best: int,
    probabilities: Sequence[float] | None = None,
) -> int:
    """One of the candidates, decided at a site, where `best` is suggested. Nothing is asked where
    there is nothing to choose from."""
    if len(candidates) == 1:
        return candidates[0]
    place = list(candidates).index(best)
    return int(s.sample_categorical(candidates, probabilities, site=site, suggested=place))


def choose_whether(s: Schedule, site: str, best: bool) -> bool:
    """Yes or no."""
    return bool(choose(s, site, (0, 1), int(best)))
