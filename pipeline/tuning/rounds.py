"""Timing in turns: kernels take one after the other in rounds, so that what else the machine does
hits all of them, and only ratios of one round are compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Turn = Callable[[], float]
"""Seconds of one call, over a turn of them."""

_FEWEST = 6  # rounds that an interval is believed of
_DRAWS, _INTERVAL = 200, (0.05, 0.95)  # of the bootstrap
_QUIET = 2e-3  # seconds in which a pool that rests takes less than a tenth of CPU time
_RESTLESS = 0.1  # seconds after which it is not waited for any more


def in_rounds(
    turns: Sequence[Turn], enough: Callable[[list[list[float]]], bool]
) -> list[list[float]]:
    """Seconds by kernel and round. Who begins changes from round to round; between turns the
    threads of the last one come to rest. `enough` is asked after each round."""
    times: list[list[float]] = [[] for _ in turns]
    number = 0
    while not number or not enough(times):
        for k in range(len(turns)):
            who = (number + k) % len(turns)
            rest()
            times[who].append(turns[who]())
        number += 1
    return times


def rest() -> None:
    """Waits until the threads of this process sleep."""
    deadline = time.monotonic() + _RESTLESS
    while time.monotonic() < deadline:
        before = time.process_time()
        time.sleep(_QUIET)
        if time.process_time() - before < _QUIET / 10:
            return


@dataclass(frozen=True)
class Ratio:
    """How long one kernel takes in units of another's time; known from so many `rounds` to lie
    between `low` and `high` (in nine of ten cases)."""

    value: float
    low: float
    high: float
    rounds: int

    def narrow(self, precision: float) -> bool:
        """Whether it is known to within a fraction of itself."""
        return self.rounds >= _FEWEST and self.high - self.low <= precision * self.value

    def clearly_worse(self, best: float | None) -> bool:
        """Whether it is above the best one, however that is meant: 9 times it after one round,
        3 times after two, 1 + 8/n² times after n."""
        return best is not None and self.low > best * (1 + 8 / self.rounds**2)


def typical(seconds: Sequence[float]) -> float:
    """The lower quartile over rounds: what else a machine does only adds time, and often to more
    than half of them."""
    return sorted(seconds)[len(seconds) // 4]


def compare(seconds: Sequence[float], reference: Sequence[float]) -> Ratio:
    """The ratio of what is typical of each. The interval is by bootstrap over rounds."""
    times = np.array([seconds, reference])
    count = times.shape[1]
    drawn = np.random.default_rng(0).integers(0, count, (_DRAWS, count))
    again = np.sort(times[:, drawn], axis=2)[:, :, count // 4]
    low, high = np.quantile(again[0] / again[1], _INTERVAL)
    return Ratio(typical(seconds) / typical(reference), float(low), float(high), count)
