"""Candidates of all kinds, measured by processes of their own: none stops the others."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from passes.schedule.schedule import Schedule
from pipeline.tuning import fleet as module
from pipeline.tuning.fleet import FleetError, LocalFleet
from pipeline.tuning.kernel import Size
from pipeline.tuning.outcome import BuildLimits, Outcome, RunLimits, Setup, winner
from tests.unit.tuning.programs import N, paneled, product, task

SETUP = Setup({}, 2, limits=RunLimits(seconds=0.05, hang=1.0, hang_seconds=0.5))
LIMITS = BuildLimits(cpu_seconds=1.0, size=Size(statements=200))


@pytest.fixture(scope="module")
def fleet() -> Iterator[LocalFleet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BUILDER", "tests.unit.tuning.tampering")
        with LocalFleet(1, LIMITS) as made:
            yield made


def test_all_causes(fleet: LocalFleet) -> None:
    kinds = (
        "none", "crash", "none", "hang", "wrong", "past the end", "inputs", "refuse", "panels",
        "large", "endless", "defect", "die", "none",
    )  # fmt: skip
    made = list(fleet.measure(task(product(), 1), [{"tamper": k} for k in kinds], SETUP))
    told = [(o.candidate["tamper"], o.cause) for o in made]  # type: ignore[index]
    assert told == [
        ("none", None), ("crash", "crash"), ("none", None), ("hang", "timeout"),
        ("wrong", "wrong"), ("past the end", "wrong"), ("inputs", "crash"), ("refuse", "crash"),
        ("panels", None), ("large", "limit"), ("endless", "limit"), ("defect", "refused"),
        ("die", "limit"), ("none", None),
    ]  # fmt: skip
    by_kind = {o.candidate["tamper"]: o for o in made}  # type: ignore[index]
    assert by_kind["crash"].text == "runner: its process ended by signal SIGILL"
    assert by_kind["hang"].text == "a call takes longer than any sensible one"
    assert by_kind["past the end"].text == "result 'y': memory beside it was written to"
    assert by_kind["inputs"].text == "runner: its process ended by signal SIGSEGV"
    assert by_kind["refuse"].text == (
        "runner: measure: RunError: the entry refuses the sizes (code 7)"
    )
    assert by_kind["large"].text == ("its loops unroll to 11521 statements; 200 are allowed")
    assert by_kind["endless"].text == "it takes more than 1 CPU seconds"
    assert by_kind["defect"].text == "KeyError: 'no such rule'"
    assert by_kind["die"].text.startswith("builder: its process ended by signal SIGABRT")
    for outcome in made:
        assert (outcome.error is None) == bool(outcome.seconds)
        assert len(outcome.seconds) == len(outcome.reference)
        if outcome.spread is not None:
            assert outcome.spread.low <= outcome.spread.high
            assert outcome.ratio == outcome.spread.value > 0
            assert outcome.run_cpu_seconds > 0
    panels = by_kind["panels"]
    assert panels.trace == paneled(task(product(), 1)).trace.as_json()
    assert panels.build_cpu_seconds > 0


def test_traces_and_a_duel(fleet: LocalFleet) -> None:
    one = task(product(N), 1)
    setup = Setup({"n": 40}, 1, limits=SETUP.limits)
    s = Schedule(one.function)
    s.unroll(s.loops("dot")[2])
    unreadable = s.trace.as_json().replace("unroll", "unrol")
    traces = [paneled(one).trace.as_json(), "[", unreadable, s.trace.as_json()]
    outcomes = list(fleet.measure(one, traces, setup, 1e-9))
    assert [o.cause for o in outcomes] == [None, "refused", "refused", None]
    assert all(len(o.seconds) == 1 for o in outcomes if not o.cause)  # clearly worse
    assert outcomes[1].text.startswith("the trace is not JSON: ")
    assert [o.trace for o in outcomes] == [traces[0], None, None, traces[3]]
    dueled = fleet.duel(one, traces, setup, 0.1)
    assert [o.cause for o in dueled] == [None, "refused", "refused", None]
    assert dueled[0].reference == dueled[3].reference
    assert len(dueled[0].seconds) >= 3


def test_a_default_that_cannot_be_measured(fleet: LocalFleet) -> None:
    with pytest.raises(FleetError, match=r"cannot be run: runner: load: KeyError: 'n'"):
        list(fleet.measure(task(product(N)), [{}], SETUP))


def test_the_winner_is_surely_faster() -> None:
    def outcome(*seconds: float) -> Outcome:
        return Outcome("[]", "[]", seconds, (1.0,) * len(seconds))

    wrong = Outcome("[]", "[]", cause="wrong", text="…")
    fast, faster = outcome(0.9, 0.91, 0.92, 0.9), outcome(0.8, 0.81, 0.8, 0.83)
    unsure = outcome(0.5, 1.5, 0.5, 1.6)
    assert winner([fast, wrong, faster, unsure]) == 2
    assert winner([unsure, wrong]) is None and winner([]) is None


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed while builders work or are stopped, a fleet ends at once."""
    monkeypatch.setattr(module, "BUILDER", "tests.unit.tuning.tampering")
    fleet = LocalFleet(1)
    outcomes = fleet.measure(task(product(), 1), [{}, {"tamper": "endless"}], SETUP)
    assert next(outcomes).cause is None
    engines = [w._engine for crew in (fleet._builders, fleet._runner) for w in crew.workers]
    pids = [engine.pid for engine in engines if engine is not None]
    assert len(pids) == 2
    os.kill(pids[0], signal.SIGSTOP)
    fleet.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not Path(fleet._folder.name).exists()
