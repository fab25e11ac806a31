"""Tuning: candidates proposed, measured and recorded, task by task, until the budget is spent."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import numpy as np

from passes.schedule.trace import Trace
from passes.search.allocation import Progress, next_task
from passes.search.cost.calibration import Calibration, calibrate
from passes.search.cost.scorer import Measured, Scorer
from passes.search.cover import cover
from passes.search.defaults import default_schedule
from passes.search.extract import Kernel
from passes.search.records.database import Database
from passes.search.records.failure import Failure
from passes.search.records.neighbours import nearest
from passes.search.records.record import Record
from passes.search.space.decisions import Decisions, decisions_of
from passes.search.space.space import Space
from passes.search.strategy.candidates import Candidate, Candidates, Score
from passes.search.strategy.strategy import Strategy
from pipeline.tuning.fleet import Fleet
from pipeline.tuning.outcome import Outcome, Setup
from pipeline.tuning.rounds import typical

MakeStrategy = Callable[[Candidates, Score, Sequence[Decisions]], Strategy]
_BATCH = 16  # trials between two looks at the model
_SEEDS = 8  # decisions that are taken over from similar tasks
_FINAL = 4  # candidates that meet the default schedule once more, head to head


@dataclass
class State:
    """How far the search for one kernel is."""

    kernel: Kernel
    setup: Setup
    candidates: Candidates
    strategy: Strategy
    progress: Progress
    rounds: list[Calibration] = field(default_factory=list)
    trials: list[Record] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What users call it."""
        sizes = " ".join([f"{name}={size}" for name, size in self.kernel.sizes.items()])
        return f"{self.kernel.name} {sizes}".rstrip()

    @property
    def key(self) -> str:
        """What tells the task from others, to the cost model."""
        return f"{self.kernel.task.workload}@{self.kernel.task.machine}@{self.setup.dims}"


@dataclass
class Tuner:
    """Tunes kernels; every finished trial is on disk before the next one counts, so that a tuning
    that was killed goes on where it was. `note` is told of progress."""

    fleet: Fleet
    database: Database
    scorer: Scorer
    make: MakeStrategy
    threads: int
    seed: int
    toolchain: Mapping[str, str]
    note: Callable[[str], None] = lambda text: None

    def begin(self, kernel: Kernel) -> State:
        """The state of a kernel's search, trials of an earlier run with this seed taken in."""
        task = kernel.task
        setup = Setup(dict(kernel.sizes), self.threads, self.seed)
        candidates = Candidates(Space(task), kernel.sizes, self.threads)
        near = nearest(self.database, task, kernel.sizes, self.threads, _SEEDS)
        progress = Progress(kernel.calls)
        state = State(kernel, setup, candidates, None, progress)  # type: ignore[arg-type]
        score = partial(self.scorer.score, task=state.key)
        seeds = [r.decisions for r in near if r.workload != task.workload]
        state.strategy = self.make(candidates, score, seeds)
        self._resume(state)
        return state

    def tune(self, states: Sequence[State], trials: int | None, seconds: float | None) -> None:
        """Goes on until so many trials of each task, or seconds, are spent, or nothing is left
        that is worth it."""
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while time.monotonic() < deadline:
            number = next_task([state.progress for state in states])
            if number is None:
                return
            state = states[number]
            left = _BATCH if trials is None else min(_BATCH, trials - len(state.progress.best))
            if left <= 0 or not self.round(state, left):
                state.progress.exhausted = True

    def round(self, state: State, count: int) -> bool:
        """Proposes and measures so many candidates; False if there are none any more."""
        proposed = state.strategy.propose(count)
        if not proposed:
            return False
        rows = state.candidates.rows(proposed)
        scores = self.scorer.score(rows, state.key)
        best = state.progress.ratio if state.progress.best else None
        outcomes = self.fleet.measure(
            state.kernel.task, [one.decisions for one in proposed], state.setup, best
        )
        found: list[float] = []
        for candidate, outcome in zip(proposed, outcomes, strict=True):
            self._record(state, candidate, outcome)
            found.append(math.inf if outcome.ratio is None else outcome.ratio)
            self._observe(state, candidate, outcome)
        self.scorer.update([Measured(state.key, rows, found)])
        calibration = calibrate(state.key, len(state.rounds), scores, np.array(found))
        state.rounds.append(calibration)
        self._tell(state, calibration)
        return True

    def finish(self, states: Sequence[State], seconds: float = 3.0) -> list[Record]:
        """What is to be kept of one kernel's searches, at all its sizes: the records of the
        schedules that are used, one a point; none where the default is best at every one.

        The best candidates of each point and the default meet head to head at all of them, for
        so many seconds each. Schedules are as few as lose little at any point.
        """
        traces = list(dict.fromkeys(text for state in states for text in self._best(state)))
        if not traces:
            return []
        default = _default_trace(states[0])
        duels = [
            self.fleet.duel(state.kernel.task, traces, state.setup, seconds) for state in states
        ]
        times = [[1.0] * len(states)]
        times += [[_surely(duel[k]) for duel in duels] for k in range(len(traces))]
        weights = [one.kernel.calls * (one.progress.seconds or 0.0) for one in states]
        chosen = cover(times, weights)
        if not any(chosen):
            return []
        records = []
        for state, number, duel in zip(states, chosen, duels, strict=True):
            text = default if number == 0 else traces[number - 1]
            trace = Trace.from_json(text, state.kernel.task.function)
            outcome = _as_before(text, state) if number == 0 else duel[number - 1]
            records.append(self._made(state, trace, decisions_of(trace), outcome, "duel"))
        return records

    def _best(self, state: State) -> list[str]:
        """The traces of the best candidates, as JSON text."""
        timed = [one for one in state.trials if one.ratio is not None and one.ratio < 1]
        timed.sort(key=lambda one: one.ratio or 1.0)
        return [json.dumps(one.trace) for one in timed[:_FINAL]]

    def _resume(self, state: State) -> None:
        """Takes in what was measured for this very search before."""
        kernel, strategy = state.kernel, state.strategy
        own = [
            record
            for record in self.database.trials(kernel.task.workload, kernel.task.machine)
            if (dict(record.dims), record.threads, record.seed, record.strategy)
            == (dict(kernel.sizes), self.threads, self.seed, strategy.name)
            and record.toolchain == self.toolchain
        ]
        rows, ratios = [], []
        for record in own:
            candidate = state.candidates.of(record.decisions)
            if candidate is None:
                continue
            ratio = record.ratio
            strategy.observe(candidate, ratio)
            state.progress.observe(ratio)
            state.progress.seconds = record.reference or state.progress.seconds
            state.trials.append(record)
            rows += state.candidates.rows([candidate])
            ratios.append(math.inf if ratio is None else ratio)
        if own:
            self.scorer.update([Measured(state.key, rows, ratios)])
            self.note(f"{state.title}: {len(own)} trials are there already")

    def _observe(self, state: State, candidate: Candidate, outcome: Outcome) -> None:
        state.strategy.observe(candidate, outcome.ratio)
        state.progress.observe(outcome.ratio)
        if outcome.ratio is not None:
            state.progress.seconds = typical(outcome.reference)

    def _record(self, state: State, candidate: Candidate, outcome: Outcome) -> None:
        function = state.kernel.task.function
        trace = Trace() if outcome.trace is None else Trace.from_json(outcome.trace, function)
        record = self._made(state, trace, candidate.decisions, outcome, state.strategy.name)
        self.database.append(record)
        state.trials.append(record)

    def _made(
        self, state: State, trace: Trace, decisions: Decisions, outcome: Outcome,
        strategy: str,
    ) -> Record:  # fmt: skip
        ratio = outcome.ratio
        return Record.of(
            state.kernel.task,
            trace,
            dims=state.setup.dims,
            threads=self.threads,
            toolchain=self.toolchain,
            seed=self.seed,
            strategy=strategy,
            decisions=decisions,
            seconds=None if ratio is None else outcome.seconds,
            # So that the ratio is that of times compared in turns, not of two medians.
            reference=None if ratio is None else median(outcome.seconds) / ratio,
            error=Failure.of(outcome.cause or "refused", outcome.text) if ratio is None else None,
        )

    def _tell(self, state: State, calibration: Calibration) -> None:
        progress = state.progress
        known = "" if progress.seconds is None else f" of {progress.seconds * 1e3:.4g} ms"
        rank = calibration.correlation
        told = "" if rank is None else f", rank correlation {rank:.2f}"
        self.note(
            f"{state.title}: {len(progress.best)} trials, best {progress.ratio:.3f}{known}{told}"
        )


def _default_trace(state: State) -> str:
    task = state.kernel.task
    return default_schedule(task.function, task.target, task.constants).trace.as_json()


def _as_before(trace: str, state: State) -> Outcome:
    """The default's, as it was measured beside candidates."""
    assert state.progress.seconds is not None
    seconds = (state.progress.seconds,)
    return Outcome(trace, trace, seconds, seconds)


def _surely(outcome: Outcome) -> float:
    """A ratio to the default that is below 1 only where that is sure."""
    if outcome.spread is None:
        return math.inf
    return outcome.spread.value if outcome.spread.high < 1 else max(outcome.spread.value, 1.0)
