"""logits → the next token: greedily, or drawn with a seeded generator of our own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import CallError


@dataclass(frozen=True)
class Sampling:
    """How to choose: temperature 0 is greedy; `top_k` and `top_p` keep the likeliest only."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise CallError(f"temperature: expected a number from 0 on, found {self.temperature}")
        if self.top_k < 0:
            raise CallError(f"top_k: expected an integer from 0 (all) on, found {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise CallError(f"top_p: expected a number above 0 and up to 1, found {self.top_p}")
        if self.seed < 0:
            raise CallError(f"seed: expected an integer from 0 on, found {self.seed}")


class Sampler:
    """Draws tokens; the same settings and logits give the same tokens."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._generator = np.random.Generator(np.random.PCG64(sampling.seed))

    def choose(self, logits: npt.NDArray[Any]) -> int:
        """The next token; the first of equals when greedy.

        Raises CallError for logits that are not numbers.
        """
        best = int(logits.argmax())
        if not math.isfinite(logits[best]):
            raise CallError(
                "the model's logits are not finite numbers; report the recipe and the prompt"
            )
        if self._sampling.temperature == 0:
            return best
        scaled = (logits.astype(np.float64) - float(logits[best])) / self._sampling.temperature
        order = None
        if self._sampling.top_k or self._sampling.top_p < 1:
            # A stable order, so that equal logits keep their places in every numpy version.
            order = np.argsort(-scaled, kind="stable")[: self._sampling.top_k or None]
            scaled = scaled[order]
        mass = np.cumsum(np.exp(scaled))
        if self._sampling.top_p < 1:
            kept = int(np.searchsorted(mass, self._sampling.top_p * mass[-1])) + 1
            mass = mass[:kept]
        drawn = self._generator.random() * mass[-1]
        place = min(int(np.searchsorted(mass, drawn, side="right")), len(mass) - 1)
        return place if order is None else int(order[place])
