"""`doit bench workload=…`: a user's own file, built, checked, timed, beside another engine."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.bench_workload import run
from pipeline.workloads import peers
from pipeline.workloads.measure import Peer
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
    monkeypatch.setattr(peers, "peers_of", lambda names, python: made)


def measured(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    records = json.loads((folder / "artifacts/bench/mine.json").read_text())
    return {(r["case"], r["engine"]): r for r in records if "ms" in r}


def test_a_file_of_ones_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of two settings the better counts; a third is the second by another name.
    stubs(monkeypatch, {"delay": 0.02}, {"delay": 0.004}, {"delay": -1.0}, {"refuses": True})
    right = run(
        {"workload": "mine.yaml", "threads": "1", "repeats": "2", "against": "torch",
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
    assert "bench: product rows=5: torch: load: RuntimeError: knows no products\n" in said.err
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
