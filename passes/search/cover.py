"""The fewest schedules that are good everywhere.

        n = 1   16   128
A         1.0  1.4   2.0
B         1.1  1.0   1.02           B at 16 and 128, A at 1: within 5 % of the best at each
C         1.3  1.1   1.0
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

LOSS = 0.05
_MOST = 6  # schedules that are chosen from in all ways; beyond, the best of each point


def cover(
    times: Sequence[Sequence[float]], weights: Sequence[float], loss: float = LOSS
) -> list[int]:
    """For each point the number of the schedule to use there, of as few as are within `loss` of the
    best one at every point; of equally few those that take the least time, points weighted.

    `times[schedule][point]`, infinite where a schedule does not work; some schedule works anywhere.
    """
    points = range(len(weights))
    best = [min(row[p] for row in times) for p in points]
    fits = [[row[p] <= best[p] * (1 + loss) for p in points] for row in times]
    useful = [s for s, row in enumerate(fits) if any(row)]
    for count in range(1, min(len(useful), _MOST) + 1):
        good = [
            chosen
            for chosen in combinations(useful, count)
            if all(any(fits[s][p] for s in chosen) for p in points)
        ]
        if good:
            ways = [[min(chosen, key=lambda s: times[s][p]) for p in points] for chosen in good]
            return min(ways, key=lambda way: _total(times, weights, way))
    return [min(useful, key=lambda s: times[s][p]) for p in points]


def _total(times: Sequence[Sequence[float]], weights: Sequence[float], way: Sequence[int]) -> float:
    return sum([weights[p] * times[s][p] for p, s in enumerate(way)])
