"""`doit bench workload=…`: a user's own file, built, checked, timed, beside another engine."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.bench_workload import run
from pipeline.runtime import cpu
from pipeline.workloads import peers
from pipeline.workloads.measure import Measurement, Peer
from tests.toys.project import REPO

FILE = """\
schema: 1
kind: workload
cases:
  - name: product
    operator: contract
    attributes: {equation: "mk,kn->mn"}
    dims: {rows: {min: 1, max: 64}}
    sizes: [{rows: 5}]
    inputs:
      a: f32[rows, 48]
      b: f32[48, 32]
    constant: [b]
  - name: packed
    operator: matmul
    inputs:
      x: f32[3, 64]
      w: Q4_1[48, 64]
    constant: [w]
    compute: int8
"""
WHAT = {"case", "engine", "threads", "ms", "gflops", "fraction_of_peak", "max_error"}
STUB = "tests.unit.workloads.stub_peer"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(REPO / "configs" / "targets", tmp_path / "configs" / "targets")
    (tmp_path / "mine.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stubs(monkeypatch: pytest.MonkeyPatch, *settings: dict[str, Any]) -> None:
    """The peers are stubs, whatever they are called."""
    made = [Peer("torch", STUB, sys.executable, options) for options in settings]
    monkeypatch.setattr(peers, "versions", lambda names, python: {"torch": "0"})
    monkeypatch.setattr(peers, "peers_of", lambda names, python, trials: made)


def test_a_case_that_fails_leaves_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_one = Measurement.run

    def failing(self: Measurement, *args: Any) -> Any:
        if self.case.name == "product":
            raise MemoryError("Unable to allocate 4 TiB")
        return run_one(self, *args)

    monkeypatch.setattr(Measurement, "run", failing)
    given = {"workload": "mine.yaml", "threads": "1", "repeats": "1", "target": "x86-64-v3"}
    assert not run(given)
    records = json.loads((folder / "artifacts/bench/mine.json").read_text())
    assert [(r["case"], "ms" in r) for r in records] == [("product", False), ("packed", True)]
    said = capsys.readouterr()
    assert "product: Unable to allocate 4 TiB\n" in said.out
    assert "bench: product rows=5 is left out: Unable to allocate 4 TiB\n" in said.err


def measured(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    records = json.loads((folder / "artifacts/bench/mine.json").read_text())
    assert all(r.keys() >= WHAT for r in records)
    return {(r["case"], r["engine"]): r for r in records}


def test_a_file_of_ones_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cpu, "usable_cpus", lambda: 2)
    # Of two settings the better counts; a third is the second by another name.
    stubs(monkeypatch, {"delay": 0.02}, {"delay": 0.004}, {"delay": -1.0}, {"refuses": True})
    right = run(
        {"workload": "mine.yaml", "threads": "1,2", "repeats": "2", "against": "torch",
         "target": "x86-64-v3"}
    )  # fmt: skip
    assert right
    found = measured(folder)
    assert set(found) == {("product", "ours"), ("product", "torch"), ("packed", "ours")}
    ours, theirs = found["product", "ours"], found["product", "torch"]
    assert ours["sizes"] == {"rows": 5} and ours["setting"] == "x86-64-v3"
    assert theirs["setting"] == "delay 0.004" and 4 <= theirs["ms"] < 15
    assert ours["gflops"] == pytest.approx(2 * 5 * 48 * 32 / ours["ms"] / 1e6, rel=1e-4)
    assert 0 < ours["max_error"] < ours["tolerance"] == 1e-4
    assert 0 < ours["fraction_of_peak"] < 1.5 and ours["limit"] in ("compute", "memory")
    assert found["packed", "ours"]["tolerance"] == 0.03
    said = capsys.readouterr()
    # Whoever refuses is asked, and told of, once.
    refusal = "bench: product rows=5: torch: load: RuntimeError: knows no products\n"
    assert said.err.count(refusal) == 1
    assert "bench: packed: no peer reads Q4_1[48, 64]\n" in said.err
    title, head, line, *_ = said.out.splitlines()
    assert title.startswith("mine (x86-64-v3) on ") and line.startswith("product rows=5 ")
    assert " ".join(head.split()) == "threads ms Gop/s of limit error torch ms vs torch"
    assert said.out.endswith("records: artifacts/bench/mine.json\n")
    # Again, with what is in the store: a peer that is wrong is marked, and no failure of ours.
    stubs(monkeypatch, {"error": 0.5})
    wanted = {"workload": "mine.yaml", "case": "prod*", "threads": "1", "repeats": "1"}
    assert run(wanted | {"against": "torch", "target": "x86-64-v3"})
    assert "WRONG" in capsys.readouterr().out
    assert measured(folder)["product", "torch"]["max_error"] > 0.01
    # What it only rounds to a narrow type is no error.
    stubs(monkeypatch, {"rounds": True})
    assert run(wanted | {"against": "torch", "target": "x86-64-v3"})
    assert "WRONG" not in capsys.readouterr().out
    assert measured(folder)["product", "torch"]["max_error"] > 1e-3
    machine = json.loads((folder / "artifacts/bench/mine.machine.json").read_text())
    assert {"engine": "torch", "name": "version", "value": "0"} in machine
