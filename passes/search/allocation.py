"""Which of several tasks gets the next trials: the one whose gain is expected to shorten the whole
program most.

After Ansor (Zheng et al., OSDI 2020, section 6): the gain of the last trials goes on, or what is
left shrinks with the number of trials, whichever promises less; tasks that gained nothing for long
are finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_WINDOW = 16  # trials that the recent gain is taken from
_PATIENCE = 48  # trials without gain after which a task is finished
_BACKWARD = 0.2  # how much the recent gain counts, beside what might be gained
_GAIN = 1e-3  # what counts as gain, relative


@dataclass
class Progress:
    """One task's: how many `calls` of the default kernel a run of the program takes, `seconds` of
    such a call (None: not measured yet), and the best ratio to it after each trial."""

    calls: float = 1.0
    seconds: float | None = None
    best: list[float] = field(default_factory=list)
    exhausted: bool = False

    @property
    def ratio(self) -> float:
        """Of the best kernel's time to the default's."""
        return self.best[-1] if self.best else 1.0

    def observe(self, ratio: float | None) -> None:
        """A trial's ratio, None if it failed."""
        self.best.append(min(self.ratio, 1.0 if ratio is None else ratio))

    @property
    def finished(self) -> bool:
        """Whether more trials are not worth it."""
        if self.exhausted:
            return True
        if len(self.best) < _PATIENCE:
            return False
        return self.best[-_PATIENCE] - self.best[-1] < _GAIN

    def gain(self) -> float:
        """Seconds of the program that a trial is expected to save."""
        if not self.best or self.seconds is None:
            return float("inf")
        trials = len(self.best)
        before = self.best[-1 - _WINDOW] if trials > _WINDOW else 1.0
        recent = (before - self.ratio) / min(trials, _WINDOW)
        hoped = self.ratio / trials
        expected = _BACKWARD * recent + (1 - _BACKWARD) * min(hoped, 2 * recent + _GAIN)
        return self.calls * self.seconds * expected


def next_task(tasks: Sequence[Progress]) -> int | None:
    """The number of the task to go on with, the first of the best; None if all are finished."""
    open_ = [k for k, task in enumerate(tasks) if not task.finished]
    return max(open_, key=lambda k: (tasks[k].gain(), -len(tasks[k].best), -k), default=None)


def saved(tasks: Sequence[Progress]) -> float:
    """How long the program takes with the best kernels, relative to the default ones; of the tasks
    that were measured."""
    known = [(task.calls * task.seconds, task.ratio) for task in tasks if task.seconds is not None]
    whole = sum([seconds for seconds, _ in known])
    return sum([seconds * ratio for seconds, ratio in known]) / whole if whole else 1.0
