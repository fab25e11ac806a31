"""MetaSchedule as a peer: what is told of it without tvm, and with it, `pytest -m bench`, that the
shipped cases come out right.

TENSORKILN_PEER_PYTHON names a Python that has tvm, if this one does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.bench.engine import LONGEST, BenchError
from pipeline.workloads.arrays import write_array
from pipeline.workloads.load import WORKLOADS, load_workload
from pipeline.workloads.peer_tvm import Tvm
from pipeline.workloads.peers import peers_of, versions
from pipeline.workloads.reference import expected, inputs_of, max_error, tolerance
from pipeline.workloads.schema import Case

ROOT = Path(__file__).resolve().parents[3]
PYTHON = os.environ.get("TENSORKILN_PEER_PYTHON", sys.executable)
CASES = {
    case.name: case for case in load_workload(ROOT / WORKLOADS / "metaschedule.yaml", ROOT).cases
}


def test_trials_are_told_and_waited_for() -> None:
    (peer,) = peers_of(["tvm"], "python", tvm_trials=64)
    assert (peer.engine, peer.options) == ("tvm", {"trials": 64})
    assert peer.longest == LONGEST + 64 * 60


def test_a_python_without_tvm(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    with pytest.raises(BenchError) as caught:
        versions(["tvm"], python)
    text = str(caught.value)
    assert text.startswith(f"{python} cannot import tvm (tvm: its process ended with exit code 1")
    assert text.endswith(
        "pip install -e '.[tvm]', or give peer_python=PATH of a Python that has it"
    )


@pytest.mark.parametrize("missing", ["tvm", "xgboost", "cloudpickle", "psutil"])
def test_all_that_tuning_needs_is_asked_for(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in ("tvm", "xgboost", "cloudpickle", "psutil"):
        monkeypatch.setitem(sys.modules, name, type(sys)(name))
    monkeypatch.setattr(sys.modules["tvm"], "__version__", "0.27", raising=False)
    assert Tvm().version("tvm") == "0.27"
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=missing):
        Tvm().version("tvm")


@pytest.mark.bench
@pytest.mark.parametrize("name", CASES)
def test_shipped_cases(tmp_path: Path, name: str) -> None:
    try:
        versions(["tvm"], PYTHON)
    except BenchError as error:
        pytest.skip(str(error))
    facts, error, allowed = _tuned(CASES[name], tmp_path)
    print(f"{name}: {facts['setting']}, error {error:.1e}")
    assert facts["trials"] <= 4 and facts["tune_cpu_seconds"] > 0
    assert error <= allowed


def _tuned(case: Case, space: Path) -> tuple[dict[str, Any], float, float]:
    """What the worker tells of a case of few trials; its error, and what is tolerated."""
    data, paths = case.data(), {}
    for name, array in inputs_of(data, {}).items():
        paths[name] = str(space / f"{name}.npy")
        write_array(paths[name], array)
    (wanted,) = expected(data, {}).values()
    (peer,) = peers_of(["tvm"], PYTHON, tvm_trials=4)
    with peer.start() as worker:
        facts = worker.ask("load", case=data, threads=1, inputs=paths, sizes={}, **peer.options)
        assert worker.ask("run", count=2) > 0
        types = worker.ask("results", paths=[str(space / "out.npy")])
    found = np.load(space / "out.npy")
    return facts, max_error(found, wanted), tolerance(data, wanted, types[0])
