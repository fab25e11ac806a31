"""The speed a package has to have, against llama.cpp in the same run: `pytest -m bench`.

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
def test_faster_than_llama_cpp() -> None:
    peer = [] if PEER is None else [f"peer_python={PEER}"]
    command = ["doit", "bench", "recipe=llama-cpu", "against=llama.cpp", "threads=2", *peer]
    done = subprocess.run([sys.executable, "-m", *command], cwd=REPO, stdout=subprocess.PIPE)
    print(done.stdout.decode())
    assert done.returncode == 0
    records = json.loads((REPO / "artifacts/bench/llama-cpu.json").read_text())
    values = {
        (r["engine"], r["name"], r.get("tokens", r.get("context"))): r["value"] for r in records
    }

    def better(name: str, case: int) -> float:
        return float(values["ours", name, case] / values["llama.cpp", name, case])

    decode = {case: better("decode_tok_s", case) for case in (16, 128, 1024)}
    assert min(decode.values()) >= 1.2, decode
    assert better("prefill_tok_s", 512) >= 2.0
