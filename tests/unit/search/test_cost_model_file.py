"""Models as files: the same again, the same bytes, plain errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from math import inf
from pathlib import Path

import numpy as np
import pytest

from passes.search.cost.model import CostModel
from passes.search.cost.model_file import ModelFileError, load, save
from passes.search.cost.scorer import Measured
from tests.unit.search.cost_rows import measured, programs

REPO = Path(__file__).resolve().parents[3]
_CURE = "delete it, and a model is trained anew from what is measured"
_MADE = """
import sys
from pathlib import Path
from passes.search.cost.model import CostModel
from passes.search.cost.model_file import save
from tests.unit.search.cost_rows import measured, programs

model = CostModel(seed=3)
model.update([measured("a", programs(60)), measured("b", programs(30, seed=1))])
save(model, Path(sys.argv[1]))
"""


def _model() -> CostModel:
    model = CostModel(seed=3)
    model.update([measured("a", programs(60)), Measured("b", programs(3, seed=2), [1.0, inf, 2.0])])
    model.update([measured("a", programs(5, seed=3))])
    return model


def test_a_model_that_was_saved_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    model = _model()
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    batch = programs(20, seed=4)
    np.testing.assert_array_equal(model.score(batch, "a"), again.score(batch, "a"))
    save(again, tmp_path / "again")
    assert (tmp_path / "model").read_bytes() == (tmp_path / "again").read_bytes()
    more = [measured("b", programs(40, seed=5))]
    assert model.update(more) and again.update(more)
    np.testing.assert_array_equal(model.score(batch, "b"), again.score(batch, "b"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "model"]


def test_a_model_without_samples_can_be_saved(tmp_path: Path) -> None:
    save(CostModel(with_prior=False), tmp_path / "model")
    again = load(tmp_path / "model")
    assert (again.samples, again.trees, again.with_prior) == ({}, "", False)


def test_another_process_makes_the_same_bytes(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(REPO)}
        command = [sys.executable, "-c", _MADE, str(tmp_path / seed)]
        subprocess.run(command, env=env, cwd=tmp_path, check=True)
    text = (tmp_path / "1").read_bytes()
    assert text == (tmp_path / "2").read_bytes()
    assert str(tmp_path) not in text.decode() and str(REPO) not in text.decode()


def test_files_that_are_no_model_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model"
    save(_model(), path)
    good = json.loads(path.read_text())
    other = {**good, "columns": ["steps"]}
    cases = {
        "tree": f"{path} is no cost model: it is no JSON; {_CURE}",
        path.read_text()[:-100]: f"{path} is no cost model: it is no JSON; {_CURE}",
        "[1]": f"{path} is no cost model: it is another kind of file; name one",
        json.dumps({**good, "version": 2}): (
            f"{path} is a cost model of version 2, and this program reads version 1; {_CURE}"
        ),
        json.dumps({**good, "seed": 4}): (
            f"{path} is a damaged cost model: its digest does not fit; {_CURE}"
        ),
        json.dumps(other): f"{path} is a damaged cost model: its digest does not fit; {_CURE}",
    }
    for text, message in cases.items():
        path.write_text(text)
        with pytest.raises(ModelFileError, match=f"^{re.escape(message)}$"):
            load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")


def test_a_model_of_other_features_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    save(_model(), path)
    monkeypatch.setattr("passes.search.cost.model_file.COLUMNS", ("steps",))
    text = f"{path} is a cost model for other features than this program computes; {_CURE}"
    with pytest.raises(ModelFileError, match=f"^{re.escape(text)}$"):
        load(path)
