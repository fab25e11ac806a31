"""Kernels in place: what they are given, whether they are right, how they are timed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passes.ir.expr import index
from passes.ir.loop.nodes import For, Function, Seq, seq
from passes.schedule.schedule import Schedule
from passes.search.task import Task
from pipeline.tuning import runner as module
from pipeline.tuning.bench import Bench, Kernel
from pipeline.tuning.cpus import timing_cpus
from pipeline.tuning.inputs import ranges_of
from pipeline.tuning.runner import Runner
from tests.unit.tuning.programs import LIMITS, N, built, gathered, paneled, plain, product, task


@pytest.fixture(autouse=True)
def _unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner pins its process, which here is that of all tests."""
    monkeypatch.setattr(module.os, "sched_setaffinity", lambda process, cpus: None)


def loaded(folder: Path, one: Task, **changed: Any) -> Runner:
    runner = Runner()
    given: dict[str, Any] = {"dims": {}, "threads": 2, "seed": 0, "limits": LIMITS, **changed}
    default = built(folder, "default", Schedule(one.function))
    told = runner.load(one.data(), plain=plain(folder, one), default=default, **given)
    assert told["seconds"] > 0 and told["plain_seconds"] > 0
    return runner


def test_a_right_candidate_is_timed_with_the_default(tmp_path: Path) -> None:
    one = task(product(), 1)
    runner = loaded(tmp_path, one)
    s = Schedule(one.function)
    s.parallel(s.loops("dot")[0])
    made = runner.measure(built(tmp_path, "parallel", s), None)
    assert len(made["seconds"]) == len(made["reference"]) >= 3
    assert min(made["seconds"] + made["reference"]) > 0 and made["cpu_seconds"] > 0
    runner.close()


def test_a_wrong_candidate_is_not_timed(tmp_path: Path) -> None:
    runner = loaded(tmp_path, task(product(), 1))
    other = task(product(combine=lambda a, b: a - b), 1)
    made = runner.measure(built(tmp_path, "other", Schedule(other.function)), None)
    assert "seconds" not in made and made["reference"] == []
    assert made["error"]["cause"] == "wrong"
    told = (
        r"result 'y': \d+ of 240 elements differ, the first at \d+: [\d.]+ instead of [\d.]+; "
        r"the largest difference of numbers is [\d.]+, their mean size [\d.]+, "
        r"tolerated 1.9e-05 of it"
    )
    assert re.fullmatch(told, made["error"]["text"])
    runner.close()


def test_what_is_not_stored_is_noticed(tmp_path: Path) -> None:
    """Outputs are poisoned, so the right results of the last kernel are no help."""
    runner = loaded(tmp_path, task(product(), 1))
    function = product()
    assert isinstance(function.body, Seq)
    *before, last = function.body.stmts
    assert isinstance(last, For)
    half = function.replace(body=seq(*before, last.replace(extent=index(6))))
    made = runner.measure(built(tmp_path, "half", Schedule(half)), None)
    assert "nan instead of" in made["error"]["text"]
    runner.close()


def test_constants_are_laid_out_as_the_schedule_says(tmp_path: Path) -> None:
    one = task(product(), 1)
    runner = loaded(tmp_path, one)
    candidate = built(tmp_path, "panels", paneled(one))
    assert candidate["folds"] == [
        {
            "parameter": 1,
            "axes": ["i0", "i1"],
            "places": ["i0//8", "i1", "i0%8"],
            "shape": [3, 24, 8],
            "fill": 0.0,
        }
    ]
    assert "error" not in runner.measure(candidate, None)
    unfolded = {**candidate, "folds": []}
    assert runner.measure(unfolded, None)["error"]["cause"] == "wrong"
    runner.close()


@pytest.mark.parametrize("n", [1, 17, 64])
def test_symbolic_dims(tmp_path: Path, n: int) -> None:
    one = task(product(N), 1)
    runner = loaded(tmp_path, one, dims={"n": n})
    assert "error" not in runner.measure(built(tmp_path, "panels", paneled(one)), None)
    runner.close()


def test_in_place_and_by_index(tmp_path: Path) -> None:
    one = task(gathered())
    runner = loaded(tmp_path, one)
    s = Schedule(one.function)
    s.parallel(s.loops("add")[0])
    assert "error" not in runner.measure(built(tmp_path, "parallel", s), None)
    runner.close()


def test_flushed_caches(tmp_path: Path) -> None:
    one = task(product(), 1)
    runner = loaded(tmp_path, one, limits={**LIMITS, "flush_bytes": 1 << 20})
    assert "error" not in runner.measure(built(tmp_path, "same", Schedule(one.function)), None)
    runner.close()


def test_a_duel(tmp_path: Path) -> None:
    one = task(product(), 1)
    runner = loaded(tmp_path, one)
    other = task(product(combine=lambda a, b: a + b), 1)
    able = built(tmp_path, "panels", paneled(one))
    made = runner.duel([able, built(tmp_path, "other", Schedule(other.function)), able], 0.1)
    assert [len(seconds) for seconds in made["seconds"]] == [
        len(made["reference"]), 0, len(made["reference"]),
    ]  # fmt: skip
    assert [error and error["cause"] for error in made["errors"]] == [None, "wrong", None]
    runner.close()


def test_a_wrong_default_is_told(tmp_path: Path) -> None:
    one = task(product(), 1)
    other = task(product(combine=lambda a, b: a - b), 1)
    default = built(tmp_path, "default", Schedule(other.function))
    told = Runner().load(one.data(), {}, 1, 0, plain(tmp_path, one), default, LIMITS)
    assert told["error"]["cause"] == "wrong"


def test_the_same_seed_gives_the_same_inputs() -> None:
    def contents(function: Function, seed: int) -> list[np.ndarray]:
        bench = Bench(task(function), {}, seed, ranges_of(function), "normal")
        bench.reset()
        return [bench.array(number, {}) for number in range(len(function.params))]

    for function in (product(), gathered()):
        first, again, other = (contents(function, seed) for seed in (3, 3, 4))
        for number, array in enumerate(first):
            np.testing.assert_array_equal(array, again[number])
        assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_a_kernel_cannot_write_to_its_inputs(tmp_path: Path) -> None:
    one = task(product())
    bench = Bench(one, {}, 0, ranges_of(one.function), "normal")
    kernel = Kernel(built(tmp_path, "plain", Schedule(one.function)), bench, timing_cpus(1))
    assert kernel.call(60.0) > 0
    with pytest.raises(ValueError, match="read-only"):
        bench.array(0, {})[0] = 1
    kernel.close()
