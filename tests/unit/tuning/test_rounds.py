"""Ratios of times that other work disturbs, and when enough is known."""

from __future__ import annotations

import numpy as np

from pipeline.tuning.rounds import Ratio, compare, in_rounds, typical


def test_turns_rotate() -> None:
    said: list[str] = []

    def turn(name: str, seconds: float) -> float:
        said.append(name)
        return seconds

    turns = [lambda: turn("a", 1.0), lambda: turn("b", 2.0), lambda: turn("c", 3.0)]
    times = in_rounds(turns, lambda times: len(times[0]) == 3)
    assert "".join(said) == "abcbcacab"
    assert times == [[1.0] * 3, [2.0] * 3, [3.0] * 3]


def test_foreign_load_decides_nothing() -> None:
    """Half of the turns are several times slower than they should be, and all of them drift."""
    rng = np.random.default_rng(1)
    for ratio in (0.8, 1.0, 1.25):
        drift = np.linspace(1.0, 1.2, 40)
        noise = np.where(rng.random((2, 40)) < 0.5, rng.uniform(1.0, 8.0, (2, 40)), 1.0)
        seconds, reference = ratio * drift * noise[0], drift * noise[1]
        found = compare(seconds.tolist(), reference.tolist())
        assert abs(found.value / ratio - 1) < 0.1
        assert found.low <= found.value <= found.high and found.rounds == 40


def test_the_ratio_is_that_of_what_is_typical() -> None:
    seconds, reference = [4.0, 2.0, 9.0, 3.0], [1.0, 1.0, 2.0, 1.5]
    assert typical(seconds) == 3.0
    assert compare(seconds, reference).value == 3.0
    assert compare(seconds, reference) == compare(seconds, reference)


def test_enough() -> None:
    assert Ratio(1.0, 0.99, 1.01, 6).narrow(0.03)
    assert not Ratio(1.0, 0.99, 1.01, 5).narrow(0.03)
    assert not Ratio(1.0, 0.97, 1.01, 9).narrow(0.03)
    assert Ratio(9.5, 9.5, 9.5, 1).clearly_worse(1.0)
    assert not Ratio(8.5, 8.5, 8.5, 1).clearly_worse(1.0)
    assert Ratio(1.2, 1.15, 1.3, 8).clearly_worse(1.0)
    assert not Ratio(1.2, 1.10, 1.3, 8).clearly_worse(1.0)
    assert not Ratio(9.5, 9.5, 9.5, 1).clearly_worse(None)
