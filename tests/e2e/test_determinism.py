"""The same inputs give the same bytes of every stage: elsewhere, another time, other hash seeds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.packages import LEVELS, REPO, Request, run_stages
from tests.reference.tiny_gguf import MATRICES, TinyLlama, write_tiny_gguf

MODEL = TinyLlama(layers=1, dim=32, heads=2, kv_heads=1, ffn=64,
                  types={**dict.fromkeys(MATRICES, "Q4_1"), "token_embd": "Q8_0"})  # fmt: skip
SCRIPT = """\
import sys
from pathlib import Path
from tests.e2e.packages import Request, run_stages
gguf, folder, compute, level = sys.argv[1:]
run_stages(Path(gguf), Path(folder), Request(compute, (level,), 8, 16, ("decode",)))
"""


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("compute", ["int8", pytest.param("f32", marks=pytest.mark.slow)])
def test_every_stage(tmp_path: Path, compute: str) -> None:
    level = LEVELS[0]
    (tmp_path / "here").mkdir()
    gguf = write_tiny_gguf(tmp_path / "here" / "tiny.gguf", MODEL)
    request = Request(compute, (level,), 8, 16, ("decode",))
    run_stages(gguf, tmp_path / "here" / "out", request)
    far = tmp_path / "a folder with another, much longer name" / "deeper"
    far.mkdir(parents=True)
    moved = far / "other.gguf"
    moved.write_bytes(gguf.read_bytes())
    out = far / "out"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(moved), str(out), compute, level],
        cwd=far,
        env={**os.environ, "PYTHONPATH": str(REPO), "PYTHONHASHSEED": "4242", "TZ": "Asia/Tokyo",
             "LC_ALL": "C", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = contents(tmp_path / "here" / "out"), contents(out)
    assert first.keys() == second.keys() and len(first) > 20
    assert [name for name in first if first[name] != second[name]] == []
    assert [name for name in first if str(tmp_path).encode() in first[name]] == []
