"""Times a package and llama.cpp in the same run and prints how they compare: `pytest -m bench`.

TENSORKILN_PEER_PYTHON names a Python that has llama-cpp-python, if this one does not.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PEER = os.environ.get("TENSORKILN_PEER_PYTHON")


@pytest.mark.bench
@pytest.mark.skipif(
    PEER is None and importlib.util.find_spec("llama_cpp") is None,
    reason="needs llama-cpp-python: pip install -e '.[bench]', or set TENSORKILN_PEER_PYTHON",
)
def test_against_llama_cpp() -> None:
    peer = [] if PEER is None else [f"peer_python={PEER}"]
    command = ["doit", "bench", "recipe=llama-cpu", "against=llama.cpp", "threads=2", *peer]
    done = subprocess.run([sys.executable, "-m", *command], cwd=REPO, stdout=subprocess.PIPE)
    print(done.stdout.decode())
    assert done.returncode == 0
    records = json.loads((REPO / "artifacts/bench/llama-cpu.json").read_text())
    measured = {
        (r["engine"], r["name"], r.get("tokens", r.get("context")))
        for r in records
        if r.get("threads") == 2
    }
    for engine in ("ours", "llama.cpp"):
        assert {(engine, "decode_tok_s", context) for context in (16, 128, 1024)} <= measured
        assert {(engine, "prefill_tok_s", tokens) for tokens in (128, 512)} <= measured
