"""The recipes' model, its first layers, against the reference over the whole range of lengths.

TENSORKILN_LLAMA_GGUF names the model's file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pytest

from pipeline.runtime import Package, Session
from tests.e2e.packages import LEVELS, Floats, Request, build, error, last, runs_here, score
from tests.reference.llama import Llama
from tests.reference.llama_int8 import Int8Llama

MODEL = os.environ.get("TENSORKILN_LLAMA_GGUF")
LAYERS, NEW = 3, 512
REFERENCES = {"f32": Llama, "int8": Int8Llama}
# In int8 values that float32 noise rounds to the other side move the logits by up to 0.025 in the
# worst of 512 positions (half a percent in most); a mistake moves them by more than this.
BOUNDS = {"f32": 2e-3, "int8": 6e-2}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MODEL is None, reason="TENSORKILN_LLAMA_GGUF is not set"),
]


@dataclass
class Case:
    folder: Path
    tokens: list[int]
    want: Floats
    bound: float


@pytest.fixture(scope="module", params=REFERENCES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    assert MODEL is not None
    folder = tmp_path_factory.mktemp(request.param)
    wanted = Request(request.param, ("x86-64-v4-vnni", "x86-64-v3"), NEW, 1024, layers=LAYERS)
    build(Path(MODEL), folder, wanted)
    reference = REFERENCES[request.param](MODEL, LAYERS)
    tokens = np.random.default_rng(11).integers(3, 49152, NEW).tolist()
    return Case(folder / "package", tokens, reference.forward(tokens), BOUNDS[request.param])


@pytest.mark.parametrize("level", [level for level in LEVELS if level != "x86-64-v4"])
def test_lengths_and_splits(case: Case, level: str) -> None:
    if not runs_here(level):
        pytest.skip(f"this CPU is not {level}")
    package = Package(case.folder, level=level)
    random = Random(5)
    with Session(package) as session:
        for length in (1, 2, 3, 7, 8, 9, 31, 64, 65, 100, 255, 256, 500, NEW):
            session.reset()
            got = score(session, case.tokens[:length])
            assert error(got, case.want[:length]) < case.bound, length
        for _ in range(4):
            session.reset()
            begin = 0
            while begin < NEW:
                end = min(NEW, begin + random.choice([1, 2, 5, 16, 33, 128]))
                entry = "decode" if end - begin == 1 else "prefill"
                got = last(session, case.tokens[begin:end], entry)
                assert error(got, case.want[end - 1]) < case.bound, (begin, end)
                begin = end


def test_one_by_one(case: Case) -> None:
    with Session(Package(case.folder)) as session:
        for position, token in enumerate(case.tokens[:300]):
            got = last(session, [token], "decode")
            assert error(got, case.want[position]) < case.bound, position
