"""A ranking loss over candidates whose times are sums over stores.

Of two candidates of one task the quicker shall be predicted to be quicker: cross entropy of the
probability of that (RankNet, Burges et al. 2005), whose target is less sure the nearer their
measured times are, so that noise need not be ordered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Indices = NDArray[np.intp]

SHARPNESS = 30.0
"""Of the probability: a candidate that is 5 % quicker is so with a probability of 0.82."""
_PARTNERS = 16
"""With how many others of its task a candidate is compared, about twice."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Candidates `left` and `right` of one task each: the probability wanted that the left one is
    quicker, and the weight of the pair."""

    left: Indices
    right: Indices
    wanted: Numbers
    weight: Numbers


def pairs_of(groups: Sequence[Indices], seconds: Numbers) -> Pairs:
    """Pairs within the groups of candidates; pairs of failures tell nothing and are left out.

    A pair weighs as much as its quicker one is quick beside the best of the group; all pairs of a
    candidate weigh about 1 together.
    """
    left: list[Indices] = []
    right: list[Indices] = []
    weight: list[Numbers] = []
    for group in groups:
        times = seconds[group]
        best = times.min()
        if len(group) < 2 or not np.isfinite(best):
            continue
        a, b = _partners(len(group))
        quicker = np.minimum(times[a], times[b])
        told = np.isfinite(quicker)
        a, b, quicker = a[told], b[told], quicker[told]
        left.append(group[a])
        right.append(group[b])
        weight.append(best / quicker * len(group) / (2 * len(a)))
    if not left:
        nothing = np.zeros(0, np.intp)
        return Pairs(nothing, nothing, np.zeros(0), np.zeros(0))
    a, b = np.concatenate(left), np.concatenate(right)
    with np.errstate(divide="ignore"):
        wanted = _logistic(SHARPNESS * (np.log(seconds[b]) - np.log(seconds[a])))
    return Pairs(a, b, wanted, np.concatenate(weight))


def _partners(count: int) -> tuple[Indices, Indices]:
    """All pairs of a few candidates; else each with others at distances spread over all."""
    if count <= 2 * _PARTNERS + 1:
        a, b = np.triu_indices(count, 1)
        return a.astype(np.intp), b.astype(np.intp)
    away = np.unique(np.linspace(1, count // 2, _PARTNERS).astype(np.intp))
    start = np.tile(np.arange(count), len(away))
    return start, (start + np.repeat(away, count)) % count


@dataclass(frozen=True, eq=False)
class Objective:
    """Of the logarithms of seconds of stores, one a row: the loss's slope and curvature. Rows are
    those of candidates one after the other, which begin at `starts`."""

    starts: Indices
    pairs: Pairs

    def __call__(self, stores: Numbers) -> tuple[Numbers, Numbers]:
        times, shares = summed(stores, self.starts)
        pairs, count = self.pairs, len(self.starts)
        said = _logistic(SHARPNESS * (times[pairs.right] - times[pairs.left]))
        push = pairs.weight * SHARPNESS * (pairs.wanted - said)
        bend = pairs.weight * SHARPNESS**2 * said * (1 - said)
        slope = np.bincount(pairs.left, push, count) - np.bincount(pairs.right, push, count)
        curve = np.bincount(pairs.left, bend, count) + np.bincount(pairs.right, bend, count)
        sizes = np.diff([*self.starts, len(stores)])
        return np.repeat(slope, sizes) * shares, np.repeat(curve, sizes) * shares


def starts_of(batch: Sequence[NDArray[np.float32]]) -> Indices:
    """Where the rows of each candidate begin when all lie one after the other."""
    sizes = [len(rows) for rows in batch]
    return np.cumsum([0, *sizes[:-1]]).astype(np.intp)


def summed(stores: Numbers, starts: Indices) -> tuple[Numbers, Numbers]:
    """The logarithm of each candidate's seconds, and the share of them that is each store's."""
    sizes = np.diff([*starts, len(stores)])
    most = np.repeat(np.maximum.reduceat(stores, starts), sizes)
    parts = np.exp(stores - most)
    whole = np.repeat(np.add.reduceat(parts, starts), sizes)
    return (np.log(whole) + most)[starts], parts / whole


def _logistic(x: Numbers) -> Numbers:
    """1 / (1 + exp(-x)), also where x is infinite."""
    result: Numbers = 0.5 * (1 + np.tanh(x / 2))
    return result
