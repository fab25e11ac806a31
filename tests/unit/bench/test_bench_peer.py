"""llama.cpp itself, where a Python that has it is named by TENSORKILN_PEER_PYTHON or is this."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.bench.engine import Engine
from tests.reference.llama import Llama
from tests.reference.tiny_gguf import TinyLlama, write_tiny_gguf

PEER = os.environ.get("TENSORKILN_PEER_PYTHON")
TOKENS = [5, 17, 80, 250, 260, 3, 1, 2, 0, 99, 100, 101]


@pytest.mark.skipif(
    PEER is None and importlib.util.find_spec("llama_cpp") is None,
    reason="needs llama-cpp-python: pip install -e '.[bench]', or set TENSORKILN_PEER_PYTHON",
)
@pytest.mark.parametrize("flash", [True, False])
def test_it_runs_the_model(tmp_path: Path, flash: bool) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", TinyLlama(types="F32"))
    reference = Llama(path)
    with Engine("llama.cpp", "pipeline.bench.peer", PEER or sys.executable) as engine:
        facts = engine.ask("load", model=str(path), threads=1, capacity=256, flash=flash)
        assert (facts["capacity"], facts["vocabulary"]) == (256, 320)
        assert facts["setting"] == f"flash attention {'on' if flash else 'off'}"
        engine.ask("prefill", ids=TOKENS)
        # Steps behind a shorter context, twice: they leave nothing behind.
        assert engine.ask("decode", context=4, steps=3) > 0
        assert engine.ask("decode", context=4, steps=3) > 0
        engine.ask("prefill", ids=TOKENS)
        found = np.array(engine.ask("logits"))
    wanted = reference.forward(TOKENS)[-1]
    assert np.linalg.norm(found - wanted) < 0.01 * np.linalg.norm(wanted)
